// The id under which the server's log has more about an error, out of the way until somebody looks for it.

import { h } from "../dom/dom.js";

/** @typedef {import("../chat-interface.js").Labels} Labels */

/**
 * Return what to put after the sentence of an error: nothing, if no server has answered.
 *
 * @param {unknown} error of a call; or what is stored of it with an answer
 * @param {Labels} labels
 */
export function requestIdOf(error, labels) {
  const { requestId } = /** @type {{requestId?: string}} */ (error ?? {});
  if (!requestId) return [];
  const code = h("code", { dir: "ltr" }, `X-Request-Id: ${requestId}`);
  return [h("details", { class: "request-id" }, h("summary", {}, labels.errorDetails), code)];
}
