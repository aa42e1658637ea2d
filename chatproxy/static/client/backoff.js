// How long to wait before another attempt, and when to give up: after about half a minute of nothing.

/** @typedef {import("./chat-error.js").ChatError} ChatError */

const ATTEMPTS = 10; // without any new text between them
const FIRST = 100; // ms; doubled each time
const LONGEST = 8_000;
const LONGEST_ASKED = 60_000; // a Retry-After beyond it is for the reader to decide

/**
 * Milliseconds before the next attempt; undefined when there is none.
 * @param {ChatError} error @param {number} failures before this one
 */
export const waitAfter = (error, failures) => {
  const asked = error.retryAfter ?? 0;
  if (failures >= ATTEMPTS || asked > LONGEST_ASKED || !passes(error)) return undefined;
  return asked + Math.min(LONGEST, FIRST * 2 ** failures) * (0.5 + Math.random() / 2);
};

/** Whether the same request may fare better. @param {ChatError} error */
const passes = ({ code, status, assistantMessageId }) => {
  if (code === "connection_lost") return true;
  if (assistantMessageId !== null) return false; // a stored answer that failed; it fails again
  if (code === "http_error" && status >= 500) return true;
  return (status === 429 || status === 503) && code !== "no_models";
};
