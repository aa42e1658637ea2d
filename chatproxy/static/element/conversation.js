// One session's messages and the answer in progress: what the element shows, without the DOM.
//
// It reports what happens as events; see ConversationEvents.

import { newMessageId } from "../client/message-id.js";

/**
 * @typedef {import("../chat-interface.js").ConversationMessage} ConversationMessage
 * @typedef {import("../chat-interface.js").ImageAttachment} ImageAttachment
 * @typedef {import("../types.js").AnswerStream} AnswerStream
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").ChatEvent} ChatEvent
 * @typedef {import("../types.js").Failure<import("../types.js").ErrorCode> & {field?: string | undefined}} Failure
 * @typedef {import("../types.js").RefusalEvent} RefusalEvent
 * @typedef {import("../types.js").Message} Message
 * @typedef {Pick<import("../types.js").SendRequest, "documentIds" | "model">} SendOptions
 */

const VERSIONS = 100; // of one message that can be looked at: the latest ones

/**
 * The details of the events, by type.
 *
 * @typedef {object} ConversationEvents
 * @property {null} reset `messages` is another list
 * @property {null} unchanged the server was read, and `messages` is as it was
 * @property {{message: ConversationMessage}} added
 * @property {{message: ConversationMessage}} changed anything but text that was appended
 * @property {{message: ConversationMessage, content?: string, thinking?: string}} text appended to a message
 * @property {{status: import("../types.js").StatusEvent}} status
 * @property {{session: import("../types.js").Session}} session the first message created it
 * @property {{message: ConversationMessage, userMessage?: ConversationMessage}} start
 * @property {{message: ConversationMessage}} sources
 * @property {{message: ConversationMessage}} done
 * @property {{message: ConversationMessage | null, failure: Failure}} error
 * @property {{failure: Failure}} gone the session was deleted elsewhere
 * @property {null} idle no answer is in progress any more
 */

export class Conversation extends EventTarget {
  /** @type {ConversationMessage[]} */
  messages = [];
  /** Whether the server's messages have been read. */
  loaded;
  /** Whether the first message created the session. */
  created = false;
  /** Whether the session was deleted elsewhere: the next message begins another one. */
  gone = false;
  /** @type {number | null} the `before` of the page with earlier messages */
  earlierPage = null;
  /**
   * @type {{message: ConversationMessage, stream: AnswerStream | null, stopped: boolean} | null} the answer
   *   in progress
   */
  active = null;
  /** @type {number[] | undefined} the session's documents; undefined until they are known */
  documentIds;
  /** @type {number[]} of those that a message named before it was refused because some were deleted, the others */
  documentsLeft = [];
  #watching = new AbortController();
  /** @type {Promise<boolean> | null} */
  #readingEarlier = null;
  /** @type {number | null} when the answer in progress began to think, on the page's clock */
  #thinkingSince = null;

  /** @param {ChatClient} client @param {string | null} sessionId null: the first message creates a session */
  constructor(client, sessionId) {
    super();
    this.client = client;
    this.sessionId = sessionId;
    this.loaded = sessionId === null;
  }

  /** Read the messages, and resume the answer in progress. May be called at any time, again and again. */
  async load() {
    if (!this.sessionId || this.gone || this.active || this.#watching.signal.aborted) return;
    let page;
    try {
      page = await this.client.messages.list(this.sessionId);
    } catch (error) {
      return this.#failToRead(error);
    }
    if (this.active || this.#watching.signal.aborted) return;
    this.#merge(page);
    const streaming = this.messages.find(({ status }) => status === "streaming");
    if (streaming) await this.#resume(streaming);
  }

  /** Read a page of earlier messages, once for all who ask meanwhile, and return whether there was one. */
  loadEarlier() {
    this.#readingEarlier ??= this.#readEarlier().finally(() => (this.#readingEarlier = null));
    return this.#readingEarlier;
  }

  async #readEarlier() {
    if (!this.sessionId || this.earlierPage === null || this.#watching.signal.aborted) return false;
    let page;
    try {
      page = await this.client.messages.list(this.sessionId, { before: this.earlierPage });
    } catch (error) {
      this.#failToRead(error);
      return false;
    }
    if (this.#watching.signal.aborted) return false;
    this.earlierPage = page.next;
    this.messages = [...page.messages, ...this.messages];
    this.#emit("reset", null);
    return true;
  }

  /**
   * Return a message, and read earlier ones until it is there; undefined if it is not in the session.
   *
   * @param {number} messageId
   */
  async find(messageId) {
    if (!this.loaded && !this.gone) await this.#read();
    let found;
    do found = this.messages.find(({ id }) => id === messageId);
    while (!found && (await this.loadEarlier()));
    return found;
  }

  /** Wait until the messages have been read, or cannot be. */
  #read() {
    return new Promise((resolve) => {
      for (const type of ["reset", "error", "gone"]) this.addEventListener(type, resolve, { once: true });
      const { signal } = this.#watching;
      if (signal.aborted) resolve(undefined);
      else signal.addEventListener("abort", resolve, { once: true });
    });
  }

  /** @param {unknown} error */
  #failToRead(error) {
    const failure = failureFrom(error);
    if (this.active || this.#watching.signal.aborted) return;
    if (failure.code !== "not_found") return this.#emit("error", { failure, message: null });
    this.gone = true;
    this.#emit("gone", { failure: { ...failure, code: "session_gone" } });
  }

  /** Leave the session that is gone. What did not reach it stays. */
  #startOver() {
    this.gone = this.created = false;
    this.sessionId = this.earlierPage = null;
    this.messages = this.messages.filter(({ id }) => id === null);
    this.#emit("reset", null);
  }

  /**
   * Send a message, and follow its answer to the end.
   *
   * @param {string} content
   * @param {{images?: ImageAttachment[], imageCount?: number, replaces?: number, options?: SendOptions,
   *   clientMessageId?: string}} [more] `imageCount` is that of the message that is replaced, whose images the
   *   new one keeps if it has none
   */
  async send(
    content,
    { images = [], imageCount = 0, replaces, options = {}, clientMessageId = newMessageId() } = {},
  ) {
    if (this.active) return;
    if (this.gone) this.#startOver();
    const { documentIds = this.documentIds } = options; // absent keeps the session's
    const replaced =
      replaces === undefined ? [] : this.#remove(this.messages.findIndex(({ id }) => id === replaces));
    const version = (replaced[0]?.version ?? 0) + 1;
    const common = { clientMessageId, version, createdAt: new Date().toISOString() };
    const pictures = { images, imageCount: images.length || imageCount };
    const userMessage = newMessage("user", {
      ...common,
      ...pictures,
      content,
      replaces,
      documentIds: documentIds ?? [],
    });
    const answer = newMessage("assistant", { ...common, status: "streaming" });
    this.messages.push(userMessage, answer);
    this.active = { message: answer, stream: null, stopped: false };
    this.#emit("added", { message: userMessage });
    this.#emit("added", { message: answer });
    await this.#follow(
      answer,
      (sessionId) => this.#post(sessionId, userMessage, options),
      userMessage,
      replaced,
    );
  }

  /**
   * Ask again for an answer that failed or that the reader does not like, unless its question was deleted.
   *
   * @param {ConversationMessage} answer
   * @param {SendOptions} [options]
   */
  async retry(answer, options) {
    const userMessage = this.messages[this.messages.indexOf(answer) - 1];
    if (userMessage?.role === "user") await this.resend(userMessage, userMessage.content, options);
  }

  /**
   * Send a message, possibly edited, in the place of an earlier one.
   *
   * @param {ConversationMessage} userMessage
   * @param {string} content
   * @param {SendOptions} [options]
   */
  async resend(userMessage, content, options) {
    if (this.active) return;
    const { id, images = [], imageCount, replaces } = userMessage;
    if (this.gone) {
      this.#remove(this.messages.indexOf(userMessage), 2);
      return this.send(content, { images, options });
    }
    if (id !== null) return this.send(content, { images, imageCount, replaces: id, options });
    // The server does not have this message, so it keeps what follows, and so does this list.
    this.#remove(this.messages.indexOf(userMessage), 2);
    const unedited = content === userMessage.content;
    const clientMessageId = unedited ? (userMessage.clientMessageId ?? undefined) : undefined;
    await this.send(content, { images, imageCount, replaces, options, clientMessageId });
  }

  /** Stop the answer in progress. */
  async stop() {
    const { active } = this;
    if (!active || active.stopped) return;
    active.stopped = true;
    try {
      if (active.message.id !== null) await this.#cancel(active.message.id);
      else await active.stream?.cancel();
    } catch (error) {
      active.stopped = false;
      this.#emit("error", { failure: failureFrom(error), message: active.message });
    }
  }

  /**
   * Delete a message for good, with its versions, and return whether it is deleted. One that the server does not
   * have only leaves the list.
   *
   * @param {ConversationMessage} message
   */
  async delete(message) {
    if (this.active) return false;
    try {
      if (message.id !== null) await this.client.messages.delete(this.#id, message.id);
    } catch (error) {
      if (/** @type {ChatError} */ (error).code !== "not_found") {
        this.#emit("error", { failure: failureFrom(error), message: null });
        return false;
      }
    }
    this.#remove(this.messages.indexOf(message), 1);
    return true;
  }

  /**
   * Return an answer's versions, oldest first, each after its question.
   *
   * @param {ConversationMessage} answer
   * @returns {Promise<{question: Message | null, answer: Message}[]>}
   */
  async versions(answer) {
    const answers = await this.#versions(answer);
    const before = this.messages[this.messages.indexOf(answer) - 1];
    const questions = before?.role === "user" ? await this.#versions(before) : [];
    const offset = questions.length - answers.length;
    return answers.map((each, index) => ({ question: questions[index + offset] ?? null, answer: each }));
  }

  /** @param {ConversationMessage} message @returns {Promise<Message[]>} */
  async #versions({ id }) {
    if (id === null) return [];
    const { messages } = await this.client.messages.versions(this.#id, id, { limit: VERSIONS });
    return messages;
  }

  /** The session's id, which there is if a message has one. */
  get #id() {
    return /** @type {string} */ (this.sessionId);
  }

  /** Stop watching. The server still finishes the answer. */
  leave() {
    this.#watching.abort();
  }

  // -- the answer in progress

  async #ensureSession() {
    if (this.sessionId) return this.sessionId;
    const session = await this.client.sessions.create({});
    this.sessionId = session.id;
    this.created = true;
    this.#emit("session", { session });
    return session.id;
  }

  /** @param {string} sessionId @param {ConversationMessage} userMessage @param {SendOptions} options */
  #post(sessionId, userMessage, options) {
    const { content: message, clientMessageId, replaces } = userMessage;
    const images = userMessage.images?.length ? userMessage.images.map(({ data }) => data) : undefined;
    const request = { ...options, message, images, clientMessageId, replaces, signal: this.#watching.signal };
    return this.client.sendMessageStream(sessionId, request, undefined, undefined, () => {});
  }

  /** @param {ConversationMessage} answer */
  async #resume(answer) {
    const messageId = /** @type {number} */ (answer.id);
    const { signal } = this.#watching;
    this.active = { message: answer, stream: null, stopped: false };
    await this.#follow(answer, (sessionId) =>
      this.client.resume(sessionId, messageId, answer.cursor, { signal }),
    );
  }

  /** @param {number} messageId */
  #cancel(messageId) {
    return this.client.messages.cancel(this.#id, messageId);
  }

  /**
   * Follow a stream to its end.
   *
   * @param {ConversationMessage} answer
   * @param {(sessionId: string) => AnswerStream} open
   * @param {ConversationMessage} [userMessage] if it is being sent
   * @param {ConversationMessage[]} [replaced] by it
   */
  async #follow(answer, open, userMessage, replaced = []) {
    const active = /** @type {NonNullable<typeof this.active>} */ (this.active);
    const { signal } = this.#watching;
    try {
      active.stream = open(await this.#ensureSession());
      for await (const event of active.stream) {
        const failure = event.type === "error" ? await this.#explained(event, userMessage) : null;
        if (signal.aborted) return;
        this.#handle(event, answer, userMessage, failure);
      }
      if (answer.status === "streaming" && !signal.aborted) this.#endWithoutTerminalEvent(answer);
    } catch (error) {
      if (!signal.aborted) this.#fail(answer, failureFrom(error));
    } finally {
      if (userMessage?.id === null && !signal.aborted) this.#restore(replaced, userMessage);
      if (this.active === active) this.active = null;
      if (!signal.aborted) this.#emit("idle", null);
      if (this.gone && answer.error) this.#emit("gone", { failure: answer.error });
      else if (answer.error?.code === "not_found") this.load(); // an answer that was deleted elsewhere
    }
  }

  /**
   * Return why an answer failed. If something is not there, find out what was deleted elsewhere: the session, or else
   * some of the documents that the message named.
   *
   * @param {import("../types.js").ErrorEvent} event
   * @param {ConversationMessage} [userMessage]
   * @returns {Promise<Failure>}
   */
  async #explained(event, userMessage) {
    const failure = failureFrom({ .../** @type {RefusalEvent} */ (event), message: event.error });
    if (failure.code !== "not_found") return failure;
    this.gone = await isGone(this.client.sessions.get(this.#id));
    if (this.gone) return { ...failure, code: "session_gone" };
    const named = (userMessage?.id === null && userMessage.documentIds) || [];
    const gone = await Promise.all(named.map((id) => isGone(this.client.documents.get(id))));
    this.documentsLeft = named.filter((_, index) => !gone[index]);
    return gone.includes(true) ? { ...failure, code: "document_gone" } : failure;
  }

  /**
   * @param {ChatEvent} event
   * @param {ConversationMessage} answer
   * @param {ConversationMessage} [userMessage]
   * @param {Failure | null} [failure] of an `error` event
   */
  #handle(event, answer, userMessage, failure = null) {
    switch (event.type) {
      case "start": {
        if (userMessage) userMessage.id = event.userMessageId;
        this.documentIds = event.documentIds;
        const { assistantMessageId: id, sources, model, modelReason } = event;
        Object.assign(answer, { id, sources, model, modelReason });
        if (event.reset) Object.assign(answer, { content: "", thinking: "" });
        this.#emit("start", { message: answer, userMessage });
        if (event.reset || sources.length) this.#emit("changed", { message: answer });
        if (sources.length) this.#emit("sources", { message: answer });
        if (this.active?.stopped) this.#cancel(id).catch(() => {});
        break;
      }
      case "status":
        this.#emit("status", { status: event });
        break;
      case "thinking":
        if (!answer.thinking) this.#thinkingSince = performance.now(); // in a resumed answer, that was before
        answer.thinking += event.content;
        this.#emit("text", { message: answer, thinking: event.content });
        break;
      case "chunk":
        this.#endThinking(answer);
        answer.content += event.content;
        this.#emit("text", { message: answer, content: event.content });
        break;
      case "warning": {
        const { code, message } = event;
        const cut = code === "history_truncated"; // the newest counts
        const others = answer.warnings.filter((warning) => !(cut ? warning.code === code : warning.message === message));
        answer.warnings = [...others, { code, message }];
        this.#emit("changed", { message: answer });
        break;
      }
      case "done": {
        const { finishReason, sources, usage, model, modelReason, fullResponse: content } = event;
        const status = finishReason === "cancelled" ? "cancelled" : "complete";
        this.#endThinking(answer);
        Object.assign(answer, { status, finishReason, sources, usage, model, modelReason, content });
        this.#emit("changed", { message: answer });
        this.#emit("done", { message: answer });
        break;
      }
      case "error":
        // After a resume, an error of the client itself, which has no final cursor, knows only the text since
        // then.
        if (userMessage || event.cursor.endsWith(".end")) answer.content = event.fullResponse;
        this.#fail(answer, /** @type {Failure} */ (failure));
        break;
    }
  }

  /** @param {ConversationMessage} answer */
  #endThinking(answer) {
    if (this.#thinkingSince === null) return;
    answer.thinkingMs = performance.now() - this.#thinkingSince;
    this.#thinkingSince = null;
  }

  /**
   * The stream ended without `done` or `error`: it was stopped before the server heard of the message, or the
   * answer ended elsewhere.
   *
   * @param {ConversationMessage} answer
   */
  #endWithoutTerminalEvent(answer) {
    if (!this.active?.stopped && answer.id !== null) return queueMicrotask(() => this.load());
    Object.assign(answer, { status: "cancelled", finishReason: "cancelled" });
    this.#emit("changed", { message: answer });
    this.#emit("done", { message: answer });
  }

  /** @param {ConversationMessage} answer @param {Failure} failure */
  #fail(answer, failure) {
    if (this.active?.stopped && answer.id === null) return this.#endWithoutTerminalEvent(answer);
    const status = failure.code === "interrupted" ? "interrupted" : "failed"; // as the server lists it
    Object.assign(answer, { status, error: failure });
    this.#emit("changed", { message: answer });
    this.#emit("error", { message: answer, failure });
  }

  // -- the list of messages

  /**
   * Take over the server's newest page. What only this page has stays: images, and messages that never
   * arrived.
   *
   * @param {import("../types.js").MessagePage} page
   */
  #merge({ messages: stored, next }) {
    const known = new Map(this.messages.map((message) => [message.id, message]));
    const arrived = new Set(stored.map(({ clientMessageId }) => clientMessageId));
    const unsent = this.messages.filter(
      ({ id, clientMessageId }) => id === null && !arrived.has(clientMessageId ?? null),
    );
    const oldest = stored[0]?.id ?? Infinity;
    const adjoins = stored.some(({ id }) => known.has(id)); // otherwise, there may be others in between
    const earlier =
      next !== null && adjoins ? this.messages.filter(({ id }) => id !== null && id < oldest) : [];
    const current = stored.map((message) => {
      const before = known.get(message.id);
      return before && isSame(before, message) ? before : { ...message, images: before?.images };
    });
    this.documentIds = stored.findLast(({ role }) => role === "user")?.documentIds ?? [];
    const messages = [...earlier, ...current, ...unsent];
    if (!earlier.length) this.earlierPage = next; // otherwise it belongs to the earlier ones
    const changed =
      !this.loaded ||
      messages.length !== this.messages.length ||
      messages.some((message, index) => message !== this.messages[index]);
    this.messages = messages;
    this.loaded = true;
    this.#emit(changed ? "reset" : "unchanged", null);
  }

  /** @param {number} index @returns {ConversationMessage[]} the removed messages */
  #remove(index, count = Infinity) {
    if (index < 0) return [];
    const removed = this.messages.splice(index, count);
    this.#emit("reset", null);
    return removed;
  }

  /**
   * Put back what a message would have replaced if it had arrived.
   *
   * @param {ConversationMessage[]} replaced
   * @param {ConversationMessage} userMessage
   */
  #restore(replaced, userMessage) {
    const index = this.messages.indexOf(userMessage);
    if (index < 0 || !replaced.length) return;
    this.messages.splice(index, 0, ...replaced);
    this.#emit("reset", null);
  }

  /**
   * @template {keyof ConversationEvents} Type
   * @param {Type} type
   * @param {ConversationEvents[Type]} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * @param {"user" | "assistant"} role
 * @param {Partial<ConversationMessage>} fields
 * @returns {ConversationMessage}
 */
function newMessage(role, fields) {
  const empty = {
    id: null,
    content: "",
    thinking: "",
    sources: [],
    warnings: [],
    error: null,
    imageCount: 0,
  };
  return { role, status: "complete", ...empty, ...fields };
}

/** @param {ConversationMessage} one @param {ConversationMessage} other */
function isSame(one, other) {
  return one.status === other.status && one.status !== "streaming" && one.content === other.content;
}

/** @param {Promise<unknown>} reading */
const isGone = (reading) =>
  reading.then(
    () => false,
    (error) => error.code === "not_found",
  );

/** @param {unknown} error @returns {Failure} */
function failureFrom(error) {
  const { message, code = "internal", retryable = true, field, requestId } = /** @type {Partial<ChatError>} */ (
    error ?? {}
  );
  const failure = { error: message ?? String(error), code, retryable };
  return {
    ...failure,
    ...(field === undefined ? {} : { field }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}
