// One answer, watched to its end over as many connections as it takes.
//
// Before `start`, a broken connection is replaced by posting the same clientMessageId again, which attaches
// to whatever the first post began. After it, the client resumes at the last cursor. The caller sees one
// unbroken stream, as the server's contract describes it: `start` once, each character and each warning once,
// one terminal event.
//
// With a permit, it stays connected. Without one, it looks: every LOOK_EVERY, it is connected until it has
// caught up with the answer.

import { createParser } from "../sse.js";
import { retryDelay } from "./backoff.js";
import { aborted, ChatError, connectionLost, unexpectedAnswer } from "./chat-error.js";
import { EventLog } from "./event-log.js";
import { takePermit, takeTurn } from "./permits.js";
import { TextCursor } from "./text-cursor.js";

/**
 * @typedef {import("./http.js").Http} Http
 * @typedef {import("../types.js").ChatEvent} ChatEvent
 * @typedef {import("../types.js").DoneEvent} DoneEvent
 * @typedef {import("../types.js").ErrorEvent} ErrorEvent
 * @typedef {import("../types.js").StartEvent} StartEvent
 * @typedef {import("../types.js").StatusEvent} StatusEvent
 * @typedef {import("../types.js").WarningEvent} WarningEvent
 * @typedef {import("../types.js").ThinkingEvent | import("../types.js").ChunkEvent} TextEvent
 * @typedef {import("../types.js").WholeAnswer} WholeAnswer
 * @typedef {import("../types.js").MessagePage} MessagePage
 * @typedef {import("../types.js").AnswerCallbacks} Callbacks
 *
 * What to watch: the answer to a message that has yet to be posted, or an answer that exists.
 * @typedef {{endpoint: string, body: import("../types.js").SendRequest}} Post
 * @typedef {{messageId: number, cursor?: string | null}} Position
 */

const SILENCE = 60_000; // ms without a byte that count as a broken connection; heartbeats come every 10 s
const STABLE = 5_000; // ms that a connection has to hold for its end not to count as a failure in a row
const LOOK_EVERY = 2_000; // ms
const AWAY = 90; // s until the next look at the latest: timers of hidden pages may run once a minute
const LONGEST_EVENT = 16 * 1024 * 1024; // characters; `done` repeats the whole answer, which is far shorter

export class AnswerStream {
  events = new EventLog();
  #http;
  #sessionId;
  #sessionPath;
  #post;
  #callbacks;
  #signal;
  #connection = new AbortController();
  #text = new TextCursor();
  /** @type {StartEvent | undefined} */
  #start;
  /** @type {number | null} */
  #messageId;
  #cursor;
  #beganMidway; // at the caller's cursor; only the caller knows the text before it
  /** @type {StartEvent | undefined} of a connection that repeats the text, until its first text */
  #repeats;
  /** @type {Map<string, import("../types.js").Notice>} those passed on */
  #warnings = new Map();
  /** @type {DoneEvent | ErrorEvent | undefined} */
  #terminal;
  /** @type {ChatError | undefined} the cause, if the terminal event is `error` */
  #error;
  #cancelling = false;
  #cancelSent = false;
  #endDelay = () => {};
  #paused = Promise.resolve(); // while this waits, nothing connects
  #leaving = false; // the connection is to be given up once the answer can be gone on with
  #left = false; // it has been
  #close = () => {};

  /**
   * @param {Http} http
   * @param {string} sessionId
   * @param {Post | Position} target
   * @param {Callbacks} [callbacks]
   * @param {AbortSignal | null} [signal]
   */
  constructor(http, sessionId, target, callbacks = {}, signal = null) {
    this.#http = http;
    this.#sessionId = sessionId;
    this.#sessionPath = `chat/sessions/${encodeURIComponent(sessionId)}`;
    this.#post = "body" in target ? target : undefined;
    this.#messageId = "body" in target ? null : target.messageId;
    this.#cursor = "body" in target ? null : target.cursor;
    this.#beganMidway = Boolean(this.#cursor);
    this.#callbacks = callbacks;
    this.#signal = signal;
  }

  /** Watch to the end, calling the callbacks on the way. Rejects only if there is no `onError`. */
  async watch() {
    const abort = () => this.#abort(this.#signal?.reason);
    this.#signal?.addEventListener("abort", abort);
    if (this.#signal?.aborted) abort();
    const terminal = await this.#connectUntilEnd();
    this.#signal?.removeEventListener("abort", abort);
    return this.#settle(terminal);
  }

  /** @param {string} sessionId @param {number} messageId */
  isOf(sessionId, messageId) {
    return this.#sessionId === sessionId && this.#messageId === messageId;
  }

  /**
   * Give up the connection, which the browser may need for a request, until the returned function is called.
   */
  pause() {
    let goOn = () => {};
    this.#paused = new Promise((resolve) => (goOn = resolve));
    this.#leave();
    return () => {
      goOn();
      this.#endDelay();
    };
  }

  /** Stop the answer itself, for all readers; `done` then has the finishReason `cancelled`. */
  async cancel() {
    if (this.#terminal !== undefined || this.#cancelling) return;
    this.#cancelling = true;
    try {
      await this.#cancelMessage(this.#messageId ?? (await this.#findAnswerId()));
    } catch {
      this.#endAsCancelled(); // the server is out of reach; at least nothing more is shown
    }
    this.#endDelay();
  }

  // -- connections

  async #connectUntilEnd() {
    let failures = 0;
    let permit = await this.#takePermit(0);
    while (this.#terminal === undefined) {
      const opened = Date.now();
      const lengthBefore = this.#textLength();
      const looked = permit === null && this.#messageId !== null;
      try {
        await this.#connect(permit);
      } catch (error) {
        if (this.#left || this.#textLength() > lengthBefore || Date.now() - opened > STABLE) failures = 0;
        if (!this.#left) await this.#waitOrFail(this.#asChatError(error), failures++);
      }
      if (this.#left) {
        permit?.release();
        permit = null;
      }
      await this.#paused;
      if (looked && this.#terminal === undefined) permit = await this.#takePermit(LOOK_EVERY);
    }
    permit?.release();
    return this.#terminal;
  }

  /** @param {number} ms */
  #takePermit(ms) {
    const wait = new AbortController();
    this.#endDelay = () => wait.abort();
    if (this.#connection.signal.aborted) wait.abort();
    return takePermit(this.#http.baseUrl, ms, wait.signal);
  }

  /**
   * Connect, and return at the end of the answer; throw if the connection ends before, or is given up.
   *
   * @param {import("./permits.js").Permit | null} permit
   * @returns {Promise<void>}
   */
  async #connect(permit) {
    this.#leaving = permit?.wanted ?? true;
    this.#left = false;
    if (permit) permit.onwanted = () => this.#leave();
    const response = await this.#open(permit === null);
    if (response.status === 204) return this.#readTerminalEvent(permit);
    const type = response.headers.get("Content-Type") ?? "";
    if (type.startsWith("application/json")) await this.#readJSON(response);
    else if (type.startsWith("text/event-stream") && response.body) await this.#readStream(response.body);
    else throw unexpectedAnswer();
    if (this.#terminal === undefined) throw connectionLost();
  }

  /** Give up the connection, as soon as the answer has begun. */
  #leave() {
    this.#leaving = true;
    if (this.#messageId !== null) this.#close();
  }

  /** @param {boolean} looking */
  #open(looking) {
    const { signal } = this.#connection;
    if (this.#messageId !== null) {
      const path = `${this.#sessionPath}/messages/${this.#messageId}/stream`;
      const query = { after: this.#cursor || null, away: looking ? AWAY : null };
      return this.#http.request("GET", path, { query, signal });
    }
    return this.#send(/** @type {Post} */ (this.#post));
  }

  /**
   * Post the message. If the response may come as late as the end of the answer (JSON), and the connection is to
   * be given up, find out whether the answer has begun.
   *
   * @param {Post} post
   */
  async #send({ endpoint, body }) {
    const { signal } = this.#connection;
    const attempt = new AbortController();
    signal.addEventListener("abort", () => attempt.abort(), { signal: attempt.signal });
    if (signal.aborted) attempt.abort();
    this.#close = () => {
      this.#left = true;
      attempt.abort();
    };
    const endTurn = this.#leaving ? await takeTurn(this.#http.baseUrl, attempt.signal) : () => {};
    const asking = setInterval(() => this.#leaving && this.#findBegun(), LOOK_EVERY);
    try {
      const path = `${this.#sessionPath}/${endpoint}`;
      return await this.#http.request("POST", path, { json: body, signal: attempt.signal });
    } finally {
      clearInterval(asking);
      endTurn();
    }
  }

  async #findBegun() {
    const id = await this.#findAnswerId().catch(() => null);
    if (id === null || !this.#leaving) return;
    this.#messageId ??= id;
    this.#close();
  }

  /**
   * The cursor is at the end of the answer (204): read it once more, only for its terminal event.
   *
   * @param {import("./permits.js").Permit | null} permit
   */
  #readTerminalEvent(permit) {
    this.#cursor = null;
    this.#text.skipAll();
    return this.#connect(permit);
  }

  /** @param {Response} response */
  async #readJSON(response) {
    const answer = /** @type {WholeAnswer} */ (await response.json());
    for (const event of eventsOf(answer, this.#sessionId)) this.#handle(event);
  }

  /** @param {ReadableStream<Uint8Array>} body */
  async #readStream(body) {
    const reader = body.getReader();
    const close = () => void reader.cancel().catch(() => {});
    this.#close = () => {
      this.#left = true;
      close();
    };
    const onError = (/** @type {import("../sse.js").ParseError} */ { type }) => {
      if (type !== "max-buffer-size-exceeded") return; // a field of a later version, say
      const message = "This address sends more than a chat server's answer can be; check it.";
      this.#fail(new ChatError(message, "unexpected_answer"));
    };
    const options = { onError, maxBufferSize: LONGEST_EVENT };
    const parser = createParser(({ data }) => this.#handle(JSON.parse(data)), options);
    while (this.#terminal === undefined && !this.#left) {
      const silence = setTimeout(close, SILENCE);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      parser.feed(value);
    }
    close();
  }

  /**
   * Wait for the next attempt, or fail if there should be none.
   *
   * @param {ChatError} error
   * @param {number} failures
   */
  async #waitOrFail(error, failures) {
    if (this.#terminal !== undefined) return;
    const refused = error.status > 0 && this.#messageId === null; // no answer has begun
    const delay = retryDelay(error, failures);
    if (delay === undefined) return this.#fail(error);
    if (!refused) this.events.push({ type: "status", state: "reconnecting", elapsedMs: 0 });
    if (!(refused && this.#cancelling)) await this.#delay(delay);
    if (refused && this.#cancelling) this.#endAsCancelled();
  }

  /** @param {number} ms @returns {Promise<void>} */
  #delay(ms) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endDelay = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#connection.signal.aborted) this.#endDelay();
    });
  }

  /** @param {unknown} reason */
  #abort(reason) {
    this.#connection.abort(reason);
    this.#endDelay();
  }

  /** @param {unknown} error @returns {ChatError} */
  #asChatError(error) {
    if (this.#connection.signal.aborted) return aborted(this.#connection.signal.reason);
    return error instanceof ChatError ? error : connectionLost(error);
  }

  // -- events

  /** @param {ChatEvent} event */
  #handle(event) {
    if (this.#terminal !== undefined) return;
    if (event.type === "start") this.#handleStart(event);
    else if (event.type === "thinking") this.#addText("thinking", event);
    else if (event.type === "chunk") this.#addText("content", event);
    else if (event.type === "warning") this.#addWarning(event);
    else if (event.type === "status") this.#handleStatus(event);
    else if (event.type === "done") this.#terminal = event;
    else if (event.type === "error") this.#fail(new ChatError(event.error, event.code, event), event);
    // other types come from a later version of the server
  }

  /** @param {StartEvent} event */
  #handleStart(event) {
    if (event.reset) this.#handleReset(event);
    if (this.#start === undefined) this.events.push(event);
    this.#start ??= event;
    this.#messageId = event.assistantMessageId;
    if (this.#cancelling) this.#cancelMessage(this.#messageId).catch(() => this.#endAsCancelled());
  }

  /** The first one of a connection says that it has brought all there is. @param {StatusEvent} event */
  #handleStatus(event) {
    this.events.push(event);
    if (this.#leaving) this.#close();
  }

  /**
   * The server repeats all of the text: it has lost the end of it, or what was the answer is thinking, or the
   * other way round. What was passed on is compared with it. If that began midway, it cannot be, and the
   * caller has to drop the text.
   *
   * @param {StartEvent} event
   */
  #handleReset(event) {
    this.#text.rewind();
    this.#repeats = event;
    if (this.#beganMidway) this.#dropText();
  }

  /** Pass the repeated text on from its `start`. */
  #dropText() {
    const start = /** @type {StartEvent} */ (this.#repeats);
    this.#repeats = undefined;
    this.#beganMidway = false;
    this.#text = new TextCursor();
    this.#start = start;
    this.events.push(start);
    call(this.#callbacks.onReset);
  }

  /** @param {"thinking" | "content"} kind @param {TextEvent} event */
  #addText(kind, event) {
    if (this.#repeats && this.#text.beganWith(kind) === false) this.#dropText();
    this.#repeats = undefined;
    const content = this.#text.takeNew(kind, event.content);
    this.#cursor = event.cursor;
    if (content === "") return;
    this.events.push({ ...event, content });
    if (kind === "content") call(this.#callbacks.onChunk, content);
  }

  /**
   * Pass on a warning once: each connection repeats those that still hold.
   *
   * @param {WarningEvent} event
   */
  #addWarning(event) {
    const { code, message } = event;
    const key = `${code} ${message}`;
    if (!this.#warnings.has(key)) this.events.push(event);
    this.#warnings.set(key, { code, message });
  }

  #textLength() {
    return this.#text.thinking.length + this.#text.content.length;
  }

  // -- the end

  /** @param {ChatError} error @param {ErrorEvent} [event] the server's, if it sent one */
  #fail(error, event) {
    error.fullResponse ||= this.#text.content;
    error.assistantMessageId ??= this.#messageId;
    this.#error = error;
    const { message, code, retryable, assistantMessageId, fullResponse, field, requestId } = error;
    const cursor = this.#cursor ?? "";
    this.#terminal = event ?? {
      type: "error",
      error: message,
      code,
      retryable,
      assistantMessageId,
      fullResponse,
      cursor,
      ...(field === undefined ? {} : { field }),
      ...(requestId === undefined ? {} : { requestId }),
    };
  }

  /** End without hearing it from the server. */
  #endAsCancelled() {
    this.#terminal ??= {
      type: "done",
      assistantMessageId: this.#messageId,
      fullResponse: this.#text.content,
      sources: this.#start?.sources ?? [],
      finishReason: "cancelled",
      model: this.#start?.model ?? null,
      modelReason: this.#start?.modelReason ?? null,
      usage: null,
      cursor: this.#cursor ?? "",
    };
    this.#abort("cancelled");
  }

  /** @param {DoneEvent | ErrorEvent} terminal */
  async #settle(terminal) {
    this.events.push(terminal);
    this.events.end();
    const { onComplete, onError } = this.#callbacks;
    if (terminal.type === "done") {
      await call(onComplete, terminal.fullResponse, terminal.assistantMessageId, terminal.sources);
      return terminal;
    }
    if (!onError) throw this.#error;
    await call(onError, /** @type {ChatError} */ (this.#error));
    return undefined;
  }

  /**
   * The answer as one object, after its end.
   *
   * @returns {WholeAnswer}
   */
  get whole() {
    const { assistantMessageId, fullResponse, sources, model, modelReason, finishReason, usage } =
      /** @type {DoneEvent & {assistantMessageId: number}} */ (this.#terminal);
    const { userMessageId = null, documentIds = [] } = this.#start ?? {};
    const { thinking } = this.#text;
    const warnings = [...this.#warnings.values()];
    const ids = { userMessageId, assistantMessageId, documentIds };
    return { ...ids, fullResponse, thinking, sources, warnings, model, modelReason, finishReason, usage };
  }

  // -- cancelling

  /** @param {number | null} messageId null if it is not known yet; `start` brings it, and then cancels */
  async #cancelMessage(messageId) {
    if (messageId === null || this.#cancelSent) return;
    this.#cancelSent = true;
    const goOn = this.pause();
    await this.#http
      .json("POST", `${this.#sessionPath}/messages/${messageId}/cancel`)
      .finally(goOn);
  }

  /**
   * Find the answer to the posted message although no `start` has come: the server may answer with JSON only.
   *
   * @returns {Promise<number | null>}
   */
  async #findAnswerId() {
    /** @type {MessagePage["messages"]} */
    const messages = [];
    /** @type {number | null | undefined} */
    let before;
    while (before !== null && messages.length < 10) {
      const query = { limit: 10, before };
      const page = /** @type {MessagePage} */ (
        await this.#http.json("GET", `${this.#sessionPath}/messages`, { query })
      );
      messages.unshift(...page.messages);
      before = page.next;
    }
    const id = this.#post?.body.clientMessageId;
    const index = messages.findIndex(
      ({ role, clientMessageId }) => role === "user" && clientMessageId === id,
    );
    return index < 0 ? null : (messages[index + 1]?.id ?? null);
  }
}

/**
 * Yield the events that a stream of this answer would have had.
 *
 * @param {WholeAnswer} answer
 * @param {string} sessionId
 * @returns {Generator<ChatEvent>}
 */
function* eventsOf({ userMessageId, documentIds, modelReason, warnings, thinking, ...answer }, sessionId) {
  const { assistantMessageId, sources, model, fullResponse, usage } = answer;
  const finishReason = answer.finishReason ?? "stop";
  const cursor = ""; // there is no place in between to resume from
  yield { type: "start", userMessageId, assistantMessageId, documentIds, sources, model, modelReason, sessionId };
  for (const { code, message } of warnings) yield { type: "warning", code, message };
  if (thinking) yield { type: "thinking", content: thinking, cursor };
  if (fullResponse) yield { type: "chunk", content: fullResponse, cursor };
  yield { type: "done", assistantMessageId, fullResponse, sources, finishReason, model, modelReason, usage, cursor };
}

/**
 * Call the caller's function, if there is one. An exception in it is reported and stops nothing here.
 *
 * @template {unknown[]} Values
 * @param {((...values: Values) => unknown) | null | undefined} callback
 * @param {Values} values
 */
const call = async (callback, ...values) => {
  try {
    await callback?.(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
};
