// Tells the other tabs of this browser that a session has changed, so that they read it again.

export class CrossTab {
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {string | null} */
  #sessionId = null;

  /** @param {() => void} onchange called when another tab has changed the session */
  constructor(onchange) {
    this.onchange = onchange;
  }

  /** @param {string} endpoint @param {string | null} sessionId */
  join(endpoint, sessionId) {
    this.leave();
    this.#sessionId = sessionId;
    try {
      this.#channel = new BroadcastChannel(`chatproxy ${endpoint}`);
    } catch {
      return; // the page may not use any
    }
    this.#channel.onmessage = ({ data }) => {
      if (sessionId && data?.sessionId === sessionId) this.onchange();
    };
  }

  /** Announce a change of the session. */
  announce() {
    this.#channel?.postMessage({ sessionId: this.#sessionId });
  }

  leave() {
    this.#channel?.close();
    this.#channel = null;
  }
}
