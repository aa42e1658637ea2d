// The session that a visitor returns to, kept in the browser for the pages of this origin.

export class Memory {
  #key;
  /** @type {string | null} the session, as it was last read or written */
  sessionId;

  /** @param {string | null} name which memory it is; null: one that keeps nothing */
  constructor(name) {
    this.#key = name === null ? null : `chatproxy session ${name}`;
    this.sessionId = this.#read();
  }

  /**
   * Keep a session, or with null none.
   *
   * @param {string | null} sessionId
   */
  keep(sessionId) {
    try {
      if (this.#key === null) return;
      if (sessionId === null) localStorage.removeItem(this.#key);
      else localStorage.setItem(this.#key, sessionId);
    } catch {
      // no access, or no space left: what is not kept is not followed either
    }
    this.sessionId = this.#read();
  }

  /** Read it again, and return whether another tab has changed it. */
  changed() {
    const before = this.sessionId;
    this.sessionId = this.#read();
    return this.sessionId !== before;
  }

  #read() {
    try {
      return this.#key === null ? null : localStorage.getItem(this.#key);
    } catch {
      return null; // the page has no access to storage
    }
  }
}
