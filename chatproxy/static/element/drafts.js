// What was written and has not reached the server, by session, for as long as the tab lives: a reload loses nothing.

/** @param {string | null} sessionId */
const key = (sessionId) => `chatproxy draft ${sessionId ?? ""}`;

/** @param {string | null} sessionId @returns {string} */
export function draftOf(sessionId) {
  try {
    return sessionStorage.getItem(key(sessionId)) ?? "";
  } catch {
    return ""; // a page may be denied its storage; it then goes without
  }
}

/** @param {string | null} sessionId @param {string} text */
export function keepDraft(sessionId, text) {
  try {
    if (text) sessionStorage.setItem(key(sessionId), text);
    else sessionStorage.removeItem(key(sessionId));
  } catch {
    // denied, or full
  }
}
