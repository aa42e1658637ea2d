// What every failed call ends with: a sentence for people, a code for programs, the text so far.

/** @typedef {import("../types.js").ErrorBody} ErrorBody */

const RETRYABLE = [409, 429, 503]; // the same call may succeed later; after the first byte, the server says it

export class ChatError extends Error {
  /**
   * @param {string} message
   * @param {string} code
   * @param {ErrorBody & {status?: number, retryAfter?: number, cause?: unknown}} [more]
   */
  constructor(message, code, { status = 0, retryAfter, cause, ...body } = {}) {
    super(message, { cause });
    this.name = code === "aborted" ? "AbortError" : "ChatError";
    this.code = code;
    this.status = status;
    this.retryAfter = retryAfter;
    this.retryable = body.retryable ?? (code === "connection_lost" || RETRYABLE.includes(status));
    this.fullResponse = body.fullResponse ?? "";
    this.assistantMessageId = body.assistantMessageId ?? null;
    this.activeMessageId = body.activeMessageId ?? null;
    this.field = body.field;
  }
}

/** @param {unknown} reason the signal's */
export const aborted = (reason) =>
  new ChatError("The request was aborted.", "aborted", { cause: reason, retryable: false });

/** @param {unknown} [cause] with the browser's own words, which are not for readers */
export const connectionLost = (cause) =>
  new ChatError("The connection to the server was lost; try again.", "connection_lost", { cause });
