// One answer, watched to its end over as many connections as it takes.
//
// Before `start`, a broken connection is mended by posting again with the same clientMessageId, which
// attaches to what the first post may have begun; after it, by resuming at the last cursor. What comes
// out is the one unbroken stream that the server's contract describes: `start` once, each character and
// each warning once, one terminal event.

import { AnswerText } from "./text-cursor.js";
import { aborted, ChatError, connectionLost } from "./chat-error.js";
import { EventLog } from "./event-log.js";
import { waitAfter } from "./backoff.js";
import { createParser } from "../sse.js";

/**
 * @typedef {import("./http.js").Http} Http
 * @typedef {import("../types.js").ChatEvent} ChatEvent
 * @typedef {import("../types.js").DoneEvent} DoneEvent
 * @typedef {import("../types.js").StartEvent} StartEvent
 * @typedef {import("../types.js").WarningEvent} WarningEvent
 * @typedef {import("../types.js").ThinkingEvent | import("../types.js").ChunkEvent} TextEvent
 * @typedef {import("../types.js").AnswerJSON} AnswerJSON
 * @typedef {import("../types.js").AnswerCallbacks} Callbacks
 *
 * What is watched: a message to send, or an answer that exists.
 * @typedef {{endpoint: string, body: Record<string, unknown>}} Question
 * @typedef {{messageId: number, cursor?: string | null}} Place
 */

const SILENCE = 60_000; // ms; a server that lives says something every 10 s
const STABLE = 5_000; // ms; a connection that held so long does not count as another failure

export class AnswerStream {
  /** @type {AnswerJSON | undefined} the answer as one object, where the server gave it so */
  json;
  events = new EventLog();
  #http;
  #sessionId;
  #session;
  #question;
  #callbacks;
  #signal;
  #connection = new AbortController();
  #text = new AnswerText();
  /** @type {StartEvent | undefined} */
  #start;
  /** @type {number | null} */
  #messageId;
  #cursor;
  #midway; // it began at the caller's cursor; what is before that, only the caller knows
  #warnings = new Set(); // that were given on
  /** @type {ChatEvent | undefined} */
  #terminal;
  /** @type {ChatError | undefined} why there is no answer, when the terminal event is an error */
  #failure;
  #cancelling = false;
  #wake = () => {};

  /**
   * @param {Http} http @param {string} sessionId @param {Question | Place} what
   * @param {Callbacks} [callbacks] @param {AbortSignal | null} [signal]
   */
  constructor(http, sessionId, what, callbacks = {}, signal = null) {
    this.#http = http;
    this.#sessionId = sessionId;
    this.#session = `chat/sessions/${encodeURIComponent(sessionId)}`;
    this.#question = "body" in what ? what : undefined;
    this.#messageId = "body" in what ? null : what.messageId;
    this.#cursor = "body" in what ? null : what.cursor;
    this.#midway = Boolean(this.#cursor);
    this.#callbacks = callbacks;
    this.#signal = signal;
  }

  /** To the end, with the callbacks called on the way. Rejects only where nobody else hears of a failure. */
  async watch() {
    const leave = () => this.#leave(this.#signal?.reason);
    this.#signal?.addEventListener("abort", leave);
    if (this.#signal?.aborted) leave();
    await this.#follow();
    this.#signal?.removeEventListener("abort", leave);
    return this.#finish(/** @type {ChatEvent} */ (this.#terminal));
  }

  /** Stops the answer itself, for everybody who watches it; `done` then says `cancelled`. */
  async cancel() {
    if (this.#terminal !== undefined || this.#cancelling) return;
    this.#cancelling = true;
    try {
      await this.#cancelAt(this.#messageId ?? (await this.#find()));
    } catch {
      this.#stopHere(); // the server cannot be reached: at least nothing more is shown
    }
    this.#wake();
  }

  // -- connections

  async #follow() {
    for (let failures = 0; this.#terminal === undefined; failures++) {
      const opened = Date.now();
      const before = this.#given();
      try {
        await this.#connect();
      } catch (error) {
        if (this.#given() > before || Date.now() - opened > STABLE) failures = 0;
        await this.#mend(this.#told(error), failures);
      }
    }
  }

  /** @returns {Promise<void>} */
  async #connect() {
    const response = await this.#open();
    if (response.status === 204) return this.#replay();
    const type = response.headers.get("Content-Type") ?? "";
    if (type.startsWith("application/json")) await this.#readJSON(response);
    else if (type.startsWith("text/event-stream") && response.body) await this.#read(response.body);
    else throw new ChatError("This address does not answer as a chat server does; check it.", "unexpected_answer");
    if (this.#terminal === undefined) throw connectionLost();
  }

  #open() {
    const { signal } = this.#connection;
    if (this.#messageId !== null) {
      const path = `${this.#session}/messages/${this.#messageId}/stream`;
      return this.#http.request("GET", path, { query: { after: this.#cursor || null }, signal });
    }
    const { endpoint, body } = /** @type {Question} */ (this.#question);
    return this.#http.request("POST", `${this.#session}/${endpoint}`, { json: body, signal });
  }

  /** The cursor was that of the end: only the terminal event is of interest. */
  #replay() {
    this.#cursor = null;
    this.#text.skipAll();
    return this.#connect();
  }

  /** @param {Response} response */
  async #readJSON(response) {
    this.json = await response.json();
    for (const event of eventsOf(/** @type {AnswerJSON} */ (this.json), this.#sessionId)) this.#take(event);
  }

  /** @param {ReadableStream<Uint8Array>} body */
  async #read(body) {
    const reader = body.getReader();
    const parser = createParser(({ data }) => this.#take(JSON.parse(data)));
    const drop = () => void reader.cancel().catch(() => {});
    while (this.#terminal === undefined) {
      const silence = setTimeout(drop, SILENCE);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done) return;
      parser.feed(value);
    }
    drop();
  }

  /** Waits, if another attempt is worth it; otherwise that was the end. @param {ChatError} error @param {number} failures */
  async #mend(error, failures) {
    if (this.#terminal !== undefined) return;
    const refused = error.status > 0 && this.#messageId === null;
    const wait = waitAfter(error, failures);
    if (wait === undefined) return this.#fail(error);
    if (!refused) this.events.push({ type: "status", state: "reconnecting", elapsedMs: 0 });
    if (!(refused && this.#cancelling)) await this.#pause(wait);
    if (refused && this.#cancelling) this.#stopHere(); // nothing has begun
  }

  /** @param {number} wait */
  #pause(wait) {
    return /** @type {Promise<void>} */ (
      new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        if (this.#connection.signal.aborted) this.#wake();
      })
    );
  }

  /** @param {unknown} reason */
  #leave(reason) {
    this.#connection.abort(reason);
    this.#wake();
  }

  /** @param {unknown} error @returns {ChatError} */
  #told(error) {
    if (this.#connection.signal.aborted) return aborted(this.#connection.signal.reason);
    return error instanceof ChatError ? error : connectionLost(error);
  }

  // -- events

  /** @param {ChatEvent} event */
  #take(event) {
    if (this.#terminal !== undefined) return;
    if (event.type === "start") this.#begin(event);
    else if (event.type === "thinking") this.#grow("thinking", event);
    else if (event.type === "chunk") this.#grow("content", event);
    else if (event.type === "warning") this.#warn(event);
    else if (event.type === "status") this.events.push(event);
    else if (event.type === "done") this.#terminal = event;
    else if (event.type === "error") this.#fail(new ChatError(event.error, event.code, event), event);
    // anything else is a later version's
  }

  /** @param {StartEvent} event */
  #begin(event) {
    if (event.reset) this.#restart();
    if (this.#start === undefined) this.events.push(event);
    this.#start ??= event;
    this.#messageId = event.assistantMessageId;
    if (this.#cancelling) this.#cancelAt(this.#messageId).catch(() => this.#stopHere());
  }

  /** The server has lost the end of the text, and tells all of it: what was given on is compared with it, or,
   * where that is not all of it either, to be thrown away by the caller. */
  #restart() {
    if (!this.#midway) return this.#text.restart();
    this.#midway = false;
    this.#text = new AnswerText();
    this.#start = undefined; // this one is the caller's to see
    call(this.#callbacks.onReset);
  }

  /** @param {"thinking" | "content"} kind @param {TextEvent} event */
  #grow(kind, event) {
    const fresh = this.#text.fresh(kind, event.content);
    this.#cursor = event.cursor;
    if (fresh === "") return;
    this.events.push({ ...event, content: fresh });
    if (kind === "content") call(this.#callbacks.onChunk, fresh);
  }

  /** Each connection repeats those that still hold. @param {WarningEvent} event */
  #warn(event) {
    const key = `${event.code} ${event.message}`;
    if (!this.#warnings.has(key)) this.events.push(event);
    this.#warnings.add(key);
  }

  #given() {
    return this.#text.thinking.length + this.#text.content.length;
  }

  // -- the end

  /** @param {ChatError} error @param {ChatEvent} [event] the server's own */
  #fail(error, event) {
    error.fullResponse ||= this.#text.content;
    error.assistantMessageId ??= this.#messageId;
    this.#failure = error;
    const { message, code, retryable, assistantMessageId, fullResponse } = error;
    const cursor = this.#cursor ?? "";
    this.#terminal = event ?? { type: "error", error: message, code, retryable, assistantMessageId, fullResponse, cursor };
  }

  /** Ends as cancelled, without the server. */
  #stopHere() {
    this.#terminal ??= {
      type: "done",
      assistantMessageId: this.#messageId,
      fullResponse: this.#text.content,
      sources: this.#start?.sources ?? [],
      finishReason: "cancelled",
      model: this.#start?.model ?? null,
      usage: null,
      cursor: this.#cursor ?? "",
    };
    this.#leave("cancelled");
  }

  /** @param {ChatEvent} terminal @returns {Promise<DoneEvent | undefined>} */
  async #finish(terminal) {
    this.events.push(terminal);
    this.events.end();
    const { onComplete, onError } = this.#callbacks;
    if (terminal.type === "done") {
      await call(onComplete, terminal.fullResponse, terminal.assistantMessageId, terminal.sources);
      return terminal;
    }
    if (!onError) throw this.#failure;
    await call(onError, this.#failure);
    return undefined;
  }

  // -- cancelling

  /** @param {number | null} messageId null: `start` will tell it, and cancel then */
  async #cancelAt(messageId) {
    if (messageId !== null) await this.#http.json("POST", `${this.#session}/messages/${messageId}/cancel`);
  }

  /** The answer to this message, where no `start` has told it: the server may be answering with JSON. */
  async #find() {
    const { messages } = await this.#http.json("GET", `${this.#session}/messages`, { query: { limit: 10 } });
    const id = this.#question?.body["clientMessageId"];
    const place = messages.findIndex((/** @type {any} */ message) => message.role === "user" && message.clientMessageId === id);
    return place < 0 ? null : (messages[place + 1]?.id ?? null);
  }
}

/**
 * What a stream would have said.
 * @param {AnswerJSON} answer @param {string} sessionId @returns {Generator<ChatEvent>}
 */
function* eventsOf({ userMessageId, modelReason, warnings, thinking, ...answer }, sessionId) {
  const { assistantMessageId, sources, model, fullResponse, finishReason, usage } = answer;
  const cursor = ""; // there is no place in between to come back to
  yield { type: "start", userMessageId, assistantMessageId, sources, model, modelReason, sessionId };
  for (const { code, message } of warnings) yield { type: "warning", code, message };
  if (thinking) yield { type: "thinking", content: thinking, cursor };
  if (fullResponse) yield { type: "chunk", content: fullResponse, cursor };
  yield { type: "done", assistantMessageId, fullResponse, sources, finishReason, model, usage, cursor };
}

/**
 * The caller's function; what goes wrong in it is the caller's, and stops nothing here.
 * @param {Function | null | undefined} callback @param {unknown[]} values
 */
const call = async (callback, ...values) => {
  try {
    await callback?.(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
};
