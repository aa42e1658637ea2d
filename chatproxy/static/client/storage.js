// What is kept in the browser. Where that is denied or full, it is kept as long as the page is open.

/** @typedef {"localStorage" | "sessionStorage"} Area */

/** @type {Map<string, string>} what could not be kept elsewhere */
const here = new Map();

/** @param {Area} area @param {string} key */
export function stored(area, key) {
  try {
    return here.get(key) ?? storage(area).getItem(key);
  } catch {
    return null;
  }
}

/** @param {Area} area @param {string} key @param {string} value */
export function store(area, key, value) {
  try {
    storage(area).setItem(key, value);
    here.delete(key);
  } catch {
    here.set(key, value);
  }
}

/**
 * Return the browser's storage. It throws where there is none, or where the page may not use it.
 *
 * @param {Area} area
 */
function storage(area) {
  if (typeof document === "undefined") throw new Error("only browsers have one"); // Node warns of its own
  return globalThis[area];
}
