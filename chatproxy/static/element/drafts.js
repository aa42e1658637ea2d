// Unsent text by session, kept for the lifetime of the tab so that a reload loses nothing.

/** @param {string | null} sessionId */
const key = (sessionId) => `chatproxy draft ${sessionId ?? ""}`;

/** @param {string | null} sessionId */
export function loadDraft(sessionId) {
  try {
    return sessionStorage.getItem(key(sessionId)) ?? "";
  } catch {
    return ""; // the page has no access to storage
  }
}

/** @param {string | null} sessionId @param {string} text */
export function saveDraft(sessionId, text) {
  try {
    if (text) sessionStorage.setItem(key(sessionId), text);
    else sessionStorage.removeItem(key(sessionId));
  } catch {
    // no access, or no space left
  }
}
