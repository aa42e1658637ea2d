// How much of an answer's text has been passed on: each character once, whatever a new connection repeats.

export class TextCursor {
  /** The thinking passed on so far. */
  thinking = "";
  /** The content passed on so far. */
  content = "";
  #position = { thinking: 0, content: 0 }; // where the connection is in the text

  /** Go back to the beginning: the connection repeats the text from there. */
  rewind() {
    this.#position = { thinking: 0, content: 0 };
  }

  /** Regard everything that follows as known: the caller has the whole text. */
  skipAll() {
    this.#position = { thinking: -Infinity, content: -Infinity };
  }

  /**
   * Return whether the text that was passed on began with that kind; undefined if nothing was.
   *
   * @param {"thinking" | "content"} kind
   */
  beganWith(kind) {
    const first = this.thinking ? "thinking" : this.content && "content";
    return first ? first === kind : undefined;
  }

  /**
   * Advance by the next piece of the connection, and return the part of it that is new.
   *
   * @param {"thinking" | "content"} kind
   * @param {string} piece
   */
  takeNew(kind, piece) {
    const added = piece.slice(Math.max(0, this[kind].length - this.#position[kind]));
    this.#position[kind] += piece.length;
    this[kind] += added;
    return added;
  }
}
