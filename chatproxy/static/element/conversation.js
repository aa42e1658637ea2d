// One session's messages and the answer that is being produced: what the element shows, without the DOM.
//
// It says what happens as events: `reset` (look at all messages again), `read` (they are as they were), `added`,
// `changed` and `text` (with `message`), `status` and the answer's own (`start`, `sources`, `done`, `error`, `session`).

/**
 * @typedef {{error: string, code: string, retryable?: boolean}} Failure
 * @typedef {{
 *   id: number | null, role: "user" | "assistant", content: string, thinking: string, status: string,
 *   cursor?: string | null, sources: any[], warnings: {code: string, message: string}[], error: Failure | null,
 *   finishReason?: string | null, usage?: any, model?: string | null, modelReason?: string | null,
 *   documentId?: number | null, imageCount: number, images?: Picture[], clientMessageId?: string | null, replaces?: number,
 * }} Message
 * @typedef {{name: string, data: string, url: string}} Picture `data` is base64, `url` shows it here
 * @typedef {{message: string, images: Picture[], replaces?: number, clientMessageId: string}} Sending
 */

export class Conversation extends EventTarget {
  /** @type {Message[]} */
  messages = [];
  /** Whether it is known what the session has. */
  known;
  /** @type {number | null} */
  earlier = null; // the cursor of the messages before these
  /** @type {{message: Message, stream: any, stopped: boolean} | null} */
  answering = null;
  /** @type {number | null | undefined} */
  documentId; // the session's document; undefined where that is not known yet
  /** @type {AbortController} */
  #watching = new AbortController();

  /** @param {any} client @param {string | null} sessionId */
  constructor(client, sessionId) {
    super();
    this.client = client;
    this.sessionId = sessionId;
    this.known = sessionId === null;
  }

  /** Reads the messages, and goes on with the answer that is being produced. May be repeated at any time. */
  async load() {
    if (!this.sessionId || this.answering || this.#watching.signal.aborted) return;
    let page;
    try {
      page = await this.client.messages.list(this.sessionId);
    } catch (error) {
      return this.#say("error", { failure: failureOf(error), message: null });
    }
    if (this.answering || this.#watching.signal.aborted) return;
    this.#take(page.messages, page.next ?? null);
    const growing = this.messages.find(({ status }) => status === "streaming");
    if (growing) await this.#resume(growing);
  }

  async loadEarlier() {
    if (!this.sessionId || this.earlier === null) return;
    let page;
    try {
      page = await this.client.messages.list(this.sessionId, { before: this.earlier });
    } catch (error) {
      return this.#say("error", { failure: failureOf(error), message: null });
    }
    this.earlier = page.next ?? null;
    this.messages = [...page.messages, ...this.messages];
    this.#say("reset");
  }

  /**
   * @param {string} message
   * @param {{images?: Picture[], replaces?: number, options?: Record<string, any>, clientMessageId?: string}} [more]
   */
  async send(message, { images = [], replaces, options = {}, clientMessageId = newId() } = {}) {
    if (this.answering) return;
    const { documentId = this.documentId } = options; // absent keeps what the session has
    const asked = { content: message, images, imageCount: images.length, clientMessageId, replaces, documentId };
    const question = own("user", asked);
    const answer = own("assistant", { status: "streaming", clientMessageId });
    const replaced = replaces === undefined ? [] : this.#drop(this.messages.findIndex((old) => old.id === replaces));
    this.messages.push(question, answer);
    this.answering = { message: answer, stream: null, stopped: false };
    this.#say("added", { message: question });
    this.#say("added", { message: answer });
    await this.#follow(answer, () => this.#post(question, options), question, replaced);
  }

  /** Sends a question again, whose answer failed or does not please. @param {Message} answer @param {any} [options] */
  async again(answer, options) {
    const question = this.questionOf(answer);
    if (question) await this.resend(question, question.content, options);
  }

  /** In a question's place, perhaps in other words. @param {Message} question @param {string} message @param {any} [options] */
  async resend(question, message, options) {
    if (this.answering) return;
    const images = question.images ?? [];
    if (question.id !== null) return this.send(message, { images, replaces: question.id, options });
    this.#drop(this.messages.indexOf(question), 2); // the server does not know it; what follows stays there, and so here
    const same = message === question.content ? (question.clientMessageId ?? undefined) : undefined;
    await this.send(message, { images, replaces: question.replaces, options, clientMessageId: same });
  }

  /** @param {Message} answer */
  questionOf(answer) {
    return this.messages.slice(0, this.messages.indexOf(answer)).findLast(({ role }) => role === "user");
  }

  async stop() {
    const answering = this.answering;
    if (!answering || answering.stopped) return;
    answering.stopped = true;
    try {
      if (answering.message.id !== null) await this.client.messages.cancel(this.sessionId, answering.message.id);
      else await answering.stream?.cancel();
    } catch (error) {
      answering.stopped = false;
      this.#say("error", { failure: failureOf(error), message: answering.message });
    }
  }

  /** Watches no longer; the answer itself goes on. */
  leave() {
    this.#watching.abort();
  }

  async #haveSession() {
    if (this.sessionId) return;
    const session = await this.client.sessions.create({});
    this.sessionId = session.id;
    this.#say("session", { session });
  }

  /** @param {Message} question @param {Record<string, any>} options */
  #post(question, options) {
    const images = question.images?.length ? question.images.map(({ data }) => data) : undefined;
    const { content: message, clientMessageId, replaces } = question;
    const body = { ...options, message, images, clientMessageId, replaces, signal: this.#watching.signal };
    return this.client.sendMessageStream(this.sessionId, body, undefined, undefined, () => {});
  }

  /** @param {Message} answer */
  async #resume(answer) {
    this.answering = { message: answer, stream: null, stopped: false };
    const { sessionId } = this;
    const signal = this.#watching.signal;
    await this.#follow(answer, () => this.client.resume(sessionId, answer.id, answer.cursor, { signal }));
  }

  /** @param {Message} answer @param {() => any} open @param {Message} [question] @param {Message[]} [replaced] by it */
  async #follow(answer, open, question, replaced = []) {
    const answering = /** @type {NonNullable<typeof this.answering>} */ (this.answering);
    try {
      await this.#haveSession();
      answering.stream = open();
      for await (const event of answering.stream) {
        if (this.#watching.signal.aborted) return;
        this.#apply(event, answer, question);
      }
      if (answer.status === "streaming" && !this.#watching.signal.aborted) this.#ended(answer);
    } catch (error) {
      if (!this.#watching.signal.aborted) this.#fail(answer, failureOf(error));
    } finally {
      if (question?.id === null && !this.#watching.signal.aborted) this.#putBack(replaced, question);
      if (this.answering === answering) this.answering = null;
      if (!this.#watching.signal.aborted) this.#say("idle", { message: answer });
    }
  }

  /** @param {any} event @param {Message} answer @param {Message} [question] */
  #apply(event, answer, question) {
    switch (event.type) {
      case "start": {
        if (question) {
          question.id = event.userMessageId;
          this.documentId = question.documentId;
        }
        Object.assign(answer, { id: event.assistantMessageId, sources: event.sources ?? [] });
        Object.assign(answer, { model: event.model, modelReason: event.modelReason });
        if (event.reset) Object.assign(answer, { content: "", thinking: "" });
        this.#say("start", { message: answer, question });
        if (event.reset || answer.sources.length) this.#say("changed", { message: answer });
        if (answer.sources.length) this.#say("sources", { message: answer });
        if (this.answering?.stopped) this.client.messages.cancel(this.sessionId, answer.id).catch(() => {});
        break;
      }
      case "status":
        this.#say("status", { status: event });
        break;
      case "thinking":
        answer.thinking += event.content;
        this.#say("text", { message: answer, thinking: event.content });
        break;
      case "chunk":
        answer.content += event.content;
        this.#say("text", { message: answer, content: event.content });
        break;
      case "warning":
        answer.warnings = answer.warnings.filter(({ code }) => code !== event.code); // the newest holds
        answer.warnings.push({ code: event.code, message: event.message });
        if (event.code === "document_gone") this.documentId = null;
        this.#say("changed", { message: answer });
        break;
      case "done":
        answer.status = event.finishReason === "cancelled" ? "cancelled" : "complete";
        answer.sources = event.sources ?? answer.sources;
        Object.assign(answer, { finishReason: event.finishReason, usage: event.usage, model: event.model });
        this.#settle(answer, event.fullResponse);
        this.#say("done", { message: answer });
        break;
      case "error":
        this.#settle(answer, event.fullResponse);
        this.#fail(answer, { error: event.error, code: event.code, retryable: event.retryable });
        break;
    }
  }

  /** The whole text is right even where what came before it was not all. @param {Message} answer @param {string | undefined} text */
  #settle(answer, text) {
    if (typeof text === "string") answer.content = text;
    this.#say("changed", { message: answer });
  }

  /** Without a terminal event: stopped before the server knew of it, or ended elsewhere. @param {Message} answer */
  #ended(answer) {
    if (this.answering?.stopped || answer.id === null) {
      Object.assign(answer, { status: "cancelled", finishReason: "cancelled" });
      this.#say("changed", { message: answer });
      this.#say("done", { message: answer });
    } else {
      queueMicrotask(() => this.load());
    }
  }

  /** @param {Message} answer @param {Failure} failure */
  #fail(answer, failure) {
    if (this.answering?.stopped && answer.id === null) return this.#ended(answer);
    Object.assign(answer, { status: "failed", error: failure });
    this.#say("changed", { message: answer });
    this.#say("error", { message: answer, failure });
  }

  /** What the server has, but for what only we have: pictures, and questions that never arrived.
   * @param {any[]} stored @param {number | null} next */
  #take(stored, next) {
    const mine = new Map(this.messages.map((message) => [message.id, message]));
    const arrived = new Set(stored.map(({ clientMessageId }) => clientMessageId));
    const unsent = this.messages.filter(({ id, clientMessageId }) => id === null && !arrived.has(clientMessageId));
    const oldest = stored[0]?.id ?? Infinity;
    const before = next === null ? [] : this.messages.filter(({ id }) => id !== null && id < oldest);
    const fresh = stored.map((message) => {
      const known = mine.get(message.id);
      if (known && same(known, message)) return known;
      return { ...message, images: known?.images };
    });
    this.documentId = stored.findLast(({ role }) => role === "user")?.documentId ?? null;
    const messages = [...before, ...fresh, ...unsent];
    if (!before.length) this.earlier = next; // else it belongs to those that were read before
    const changed =
      !this.known ||
      messages.length !== this.messages.length || messages.some((message, index) => message !== this.messages[index]);
    this.messages = messages;
    this.known = true;
    this.#say(changed ? "reset" : "read");
  }

  /** @param {number} index @returns {Message[]} what is out of sight now */
  #drop(index, count = Infinity) {
    if (index < 0) return [];
    const dropped = this.messages.splice(index, count);
    this.#say("reset");
    return dropped;
  }

  /** What a question would have replaced, had it arrived. @param {Message[]} replaced @param {Message} question */
  #putBack(replaced, question) {
    const index = this.messages.indexOf(question);
    if (index < 0 || !replaced.length) return;
    this.messages.splice(index, 0, ...replaced);
    this.#say("reset");
  }

  /** @param {string} type @param {any} [detail] */
  #say(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** @param {"user" | "assistant"} role @param {Partial<Message>} fields @returns {Message} */
function own(role, fields) {
  const empty = { id: null, content: "", thinking: "", status: "complete", sources: [], warnings: [], error: null };
  return { role, ...empty, imageCount: 0, ...fields };
}

/** @param {Message} one @param {Message} other */
function same(one, other) {
  return one.status === other.status && one.status !== "streaming" && one.content === other.content;
}

/** @param {any} error @returns {Failure} */
function failureOf(error) {
  const sentence = error?.error ?? error?.message ?? String(error);
  return { error: sentence, code: error?.code ?? "internal", retryable: error?.retryable ?? true };
}

/** Unguessable enough to be unique; `crypto.randomUUID` is undefined on insecure origins. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
