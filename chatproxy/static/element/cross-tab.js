// Tabs of one browser tell each other that a session has changed; each then reads it for itself.

export class Tabs {
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {string | null} */
  #sessionId = null;

  /** @param {() => void} onchange */
  constructor(onchange) {
    this.onchange = onchange;
  }

  /** @param {string} endpoint @param {string | null} sessionId */
  join(endpoint, sessionId) {
    this.leave();
    this.#sessionId = sessionId;
    this.#channel = new BroadcastChannel(`chatproxy ${endpoint}`);
    this.#channel.onmessage = ({ data }) => data?.sessionId === this.#sessionId && sessionId && this.onchange();
  }

  tell() {
    this.#channel?.postMessage({ sessionId: this.#sessionId });
  }

  leave() {
    this.#channel?.close();
    this.#channel = null;
  }
}
