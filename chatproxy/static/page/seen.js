// Which sessions have an answer that this browser has not shown. All times are the server's.
//
// It keeps when each opened session was last used, and for all others a time before which nothing is new. The oldest
// are dropped, and that time becomes theirs.

import { store, stored } from "../client/storage.js";

/** @typedef {import("../types.js").SessionItem} SessionItem */

const KEY = "chatproxy seen";
const MOST = 300; // sessions

/** @typedef {{since: string | null, opened: Record<string, string>}} Times */

export class Seen {
  /** @type {string | null} */
  #stored = null; // what `#times` was read from
  /** @type {Times} */
  #times = { since: null, opened: {} };

  /** @type {Set<string>} sessions whose answer was seen to its end, until the list has been read since */
  #ended = new Set();

  /** @param {SessionItem} session */
  isNew({ id, usedAt, activeMessageId, messageCount }) {
    const { since, opened } = this.#read();
    if (activeMessageId !== null || messageCount === 0 || this.#ended.has(id)) return false;
    return since !== null && usedAt > (opened[id] ?? since);
  }

  /**
   * Take note of what is listed, of which one is open. What is there at first is not new.
   *
   * @param {SessionItem[]} sessions
   * @param {string | null} currentId
   */
  note(sessions, currentId) {
    if (sessions.length === 0) return; // they may not have been read yet
    const { since, opened } = this.#read();
    const latest = sessions.reduce((time, { usedAt }) => (usedAt > time ? usedAt : time), "");
    const current = sessions.find(({ id }) => id === currentId);
    if (since !== null && (!current || opened[current.id] === current.usedAt)) return;
    if (current) opened[current.id] = current.usedAt;
    write(since ?? latest, opened);
  }

  /**
   * An answer was seen to its end, however it ended. Its time is known when the list is read.
   *
   * @param {string} id of the session
   */
  end(id) {
    this.#ended.add(id);
  }

  /**
   * Take note of what was read just now.
   *
   * @param {SessionItem[]} sessions
   */
  read(sessions) {
    for (const session of sessions) {
      if (session.activeMessageId === null && this.#ended.delete(session.id)) this.note(sessions, session.id);
    }
  }

  /** Return the times, which another tab may have changed. */
  #read() {
    const kept = stored("localStorage", KEY);
    if (kept !== this.#stored) this.#times = parse(kept);
    this.#stored = kept;
    return this.#times;
  }
}

/** @param {string | null} stored @returns {Times} */
function parse(stored) {
  try {
    const { since, opened } = JSON.parse(stored ?? "");
    if (typeof since === "string" && typeof opened === "object") return { since, opened: { ...opened } };
  } catch {
    // It is not what this page writes.
  }
  return { since: null, opened: {} };
}

/** @param {string} since @param {Record<string, string>} opened */
function write(since, opened) {
  const newest = Object.entries(opened).sort(([, one], [, other]) => (one < other ? 1 : -1));
  const dropped = newest[MOST]?.[1] ?? "";
  const kept = { since: dropped > since ? dropped : since, opened: Object.fromEntries(newest.slice(0, MOST)) };
  store("localStorage", KEY, JSON.stringify(kept));
}
