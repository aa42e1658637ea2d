// How long to wait before the next attempt, and when to give up: after about half a minute without new text.

/** @typedef {import("./chat-error.js").ChatError} ChatError */

const ATTEMPTS = 10; // in a row without new text
const FIRST = 100; // ms; doubles with each attempt
const LONGEST = 8_000; // ms
const LONGEST_RETRY_AFTER = 60_000; // ms; whether to wait longer is for the user to decide

/**
 * Return the milliseconds to wait before the next attempt, or undefined if there should be none.
 *
 * @param {ChatError} error
 * @param {number} failures in a row before this one
 */
export const retryDelay = (error, failures) => {
  const retryAfter = error.retryAfter ?? 0;
  if (failures >= ATTEMPTS || retryAfter > LONGEST_RETRY_AFTER || !isTransient(error)) return undefined;
  return retryAfter + Math.min(LONGEST, FIRST * 2 ** failures) * (0.5 + Math.random() / 2);
};

/**
 * Return whether the same request may succeed on another attempt.
 *
 * @param {ChatError} error
 */
const isTransient = ({ code, status, assistantMessageId }) => {
  if (code === "connection_lost") return true;
  if (assistantMessageId !== null) return false; // a stored answer that failed; asking again returns the same
  if (code === "http_error" && status >= 500) return true; // a proxy, while chatproxy restarts
  return (status === 429 || status === 503) && code !== "no_models";
};
