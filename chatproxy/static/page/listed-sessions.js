// The sessions as the page lists them: those that are pinned come first, and each has what a search has found in it.

import { LONGEST_PAGE } from "../dom/session-list.js";

/**
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").SessionItem & {hit?: import("../types.js").Hit}} ListedSession
 */

/**
 * Return the client's `sessions.list` with this order. Without `q`, the first page has all that are pinned besides;
 * they come once more at their own places.
 *
 * @param {ChatClient} client
 * @returns {ChatClient["sessions"]["list"]}
 */
export const listSessions = (client) => async (query = {}) => {
  const first = !query.q && !query.before;
  const [pinned, page] = await Promise.all([first ? allPinned(client) : [], client.sessions.list(query)]);
  const hits = new Map((page.hits ?? []).map((hit) => [hit.sessionId, hit]));
  /** @type {ListedSession[]} */
  const listed = page.sessions.map((session) => ({ ...session, hit: hits.get(session.id) }));
  return { ...page, sessions: [...pinned, ...listed] };
};

/** @param {ChatClient} client */
async function allPinned(client) {
  const pinned = [];
  /** @type {string | null} */
  let before = null;
  do {
    /** @type {import("../types.js").SessionPage} */
    const page = await client.sessions.list({ pinned: true, before, limit: LONGEST_PAGE });
    pinned.push(...page.sessions);
    before = page.next;
  } while (before !== null);
  return pinned;
}
