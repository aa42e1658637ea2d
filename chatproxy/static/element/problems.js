// What readers are shown of an error. The server's sentences are also for those who write programs; where these say
// what only a program can do, the labels have a sentence for the reader in their place.

/** @typedef {import("../chat-interface.js").Labels} Labels */

/**
 * Return the sentence for readers.
 *
 * @param {unknown} error of a call; or what is stored of it with an answer
 * @param {Labels} labels
 */
export function sentenceFor(error, { errors, failed }) {
  const { code = "", field = "", message, error: stored } = /** @type {Problem} */ (error ?? {});
  const [part = ""] = field.split(/[.[]/);
  return errors[`${code} ${part}`] ?? errors[code] ?? stored ?? message ?? failed;
}

/** @typedef {{code?: string, field?: string | undefined, message?: string, error?: string}} Problem */
