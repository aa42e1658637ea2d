// Text that waits to be rendered: added in pieces of any length, taken in pieces of the reader's.

export class TextQueue {
  /** @type {string[]} */
  #pieces = [];
  #next = 0; // the index of the first piece that has not been taken

  get empty() {
    return this.#next === this.#pieces.length;
  }

  /** @param {string} text */
  add(text) {
    if (text) this.#pieces.push(text);
  }

  /**
   * Take up to so many characters, O(length): one long string would be copied whole after each addition.
   *
   * @param {number} length
   */
  take(length) {
    let taken = "";
    while (taken.length < length && !this.empty) {
      const piece = /** @type {string} */ (this.#pieces[this.#next]);
      const part = piece.slice(0, length - taken.length);
      taken += part;
      this.#pieces[this.#next] = piece.slice(part.length);
      if (part.length === piece.length) this.#next += 1;
    }
    if (this.empty) {
      this.#pieces = [];
      this.#next = 0;
    }
    return taken;
  }
}
