// The text of one answer as it was given on: each character once, whatever new connections repeat.

export class AnswerText {
  thinking = "";
  content = "";
  #at = { thinking: 0, content: 0 }; // where the connection is in the text

  /** The server begins anew, at the beginning. */
  restart() {
    this.#at = { thinking: 0, content: 0 };
  }

  /** The caller has it all: what comes now is nothing new. */
  skipAll() {
    this.#at = { thinking: -Infinity, content: -Infinity };
  }

  /**
   * Takes the connection's next piece; the part of it that was not given on before.
   * @param {"thinking" | "content"} kind @param {string} piece
   */
  fresh(kind, piece) {
    const fresh = piece.slice(Math.max(0, this[kind].length - this.#at[kind]));
    this.#at[kind] += piece.length;
    this[kind] += fresh;
    return fresh;
  }
}
