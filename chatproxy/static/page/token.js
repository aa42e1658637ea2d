// The server's token in this tab: taken from `#token=…`, so that a link can carry it to no server's log, and kept
// as long as the tab is.

const KEY = "chatproxy token";

/** Moves it out of the address, where it would be seen and copied. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  keepToken(given);
  history.replaceState(history.state, "", location.pathname + location.search);
}

/** @param {string} token */
export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** @returns {Record<string, string>} */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}
