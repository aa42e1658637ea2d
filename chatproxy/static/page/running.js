// Notices when answers end that another tab or device asked for. It looks only while there are some and the page is
// visible, and only at the newest sessions: those that run were used last.

/**
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").SessionItem} SessionItem
 */

const PAUSE = 3000; // ms between two looks
const LONG_PAUSE = 10_000; // while the server cannot be reached
const NEWEST = 50;

export class Running {
  #client;
  #handlers;
  /** @type {Map<string, SessionItem>} */
  #running = new Map();
  #timer = 0;

  /**
   * @param {ChatClient} client
   * @param {{onend: (session: SessionItem) => void, onchange: () => void}} handlers `onchange`: the list is to be read
   */
  constructor(client, handlers) {
    this.#client = client;
    this.#handlers = handlers;
    document.addEventListener("visibilitychange", () => this.#schedule(0));
  }

  /**
   * Take note of what is listed. Of the open session, the page hears without looking, while it shows an answer.
   *
   * @param {SessionItem[]} sessions
   * @param {string | null} currentId
   * @param {(id: string) => boolean} isShown whether the page shows the answer that is in progress
   */
  note(sessions, currentId, isShown) {
    const before = this.#running;
    const active = sessions.filter(({ activeMessageId }) => activeMessageId !== null);
    this.#running = new Map(active.map((session) => [session.id, session]));
    for (const session of sessions) {
      const ended = before.has(session.id) && !this.#running.has(session.id);
      if (ended && session.id !== currentId) this.#handlers.onend(session);
    }
    if (currentId !== null && isShown(currentId)) this.#running.delete(currentId);
    this.#schedule(PAUSE);
  }

  /** @param {number} pause */
  #schedule(pause) {
    clearTimeout(this.#timer);
    if (this.#running.size > 0 && !document.hidden) this.#timer = setTimeout(() => this.#look(), pause);
  }

  async #look() {
    const watched = this.#running;
    try {
      const { sessions } = await this.#client.sessions.list({ limit: NEWEST });
      if (watched !== this.#running) return;
      const active = new Set(sessions.filter(isActive).map(({ id }) => id));
      if ([...watched.keys()].some((id) => !active.has(id))) this.#handlers.onchange();
      this.#schedule(PAUSE); // `onchange` may fail, or list other sessions
    } catch {
      if (watched === this.#running) this.#schedule(LONG_PAUSE);
    }
  }
}

/** @param {SessionItem} session */
const isActive = ({ activeMessageId }) => activeMessageId !== null;
