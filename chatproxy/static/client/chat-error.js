// The error of every failed call: a sentence for people, a code for programs, and the text so far.

/** @typedef {import("../types.js").ErrorCode} ErrorCode */

const RETRYABLE = [409, 429, 503]; // statuses; after the response began, the server says whether to retry

export class ChatError extends Error {
  /** @param {string} message @param {ErrorCode} code @param {import("../types.js").ErrorDetails} [details] */
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
    this.installed = body.installed;
    this.neededTokens = body.neededTokens;
    this.contextLength = body.contextLength;
    this.requestId = body.requestId;
  }
}

/** @param {unknown} reason the signal's */
export const aborted = (reason) =>
  new ChatError("The request was aborted.", "aborted", { cause: reason, retryable: false });

export const unexpectedAnswer = () =>
  new ChatError("This address does not answer as a chat server does; check it.", "unexpected_answer");

/** @param {number} [status] @param {unknown} [cause] */
export const loginExpired = (status = 0, cause = undefined) =>
  new ChatError("The login has expired; log in again.", "login_expired", { status, cause, retryable: false });

/** @param {unknown} [cause] the browser's error, whose message is too technical to show */
export const connectionLost = (cause) =>
  new ChatError("The connection to the server was lost; try again.", "connection_lost", { cause });
