// <chat-interface>: shows one session and sends messages to it. This class connects the parts and emits the
// events.
//
// The attributes are the element's state: a change takes effect at once, and a session created or remembered
// here is written back.

import { ChatError, createChatClient } from "../chat-client.js";
import { mount } from "../client/mount.js";
import { h } from "../dom/dom.js";
import { acceptDroppedFiles } from "../dom/file-drop.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { CrossTab } from "./cross-tab.js";
import { define, Element, reflect, upgradeProperties } from "./custom-element.js";
import { loadDraft, saveDraft } from "./drafts.js";
import { EnterKey } from "./enter-key.js";
import { filesDropped, isPicture } from "./files.js";
import { Memory } from "./memory.js";
import { Later } from "../dom/later.js";
import { loadLexer } from "../markdown/lexer.js";
import { MessageList } from "./message-list.js";
import { unfoldOnPaper } from "./paper.js";
import { sentenceFor } from "./problems.js";
import { requestIdOf } from "./request-id.js";
import { StatusLine } from "./status-line.js";
import { styles } from "./styles.js";
import { labels as english } from "../texts/en.js";
import { Welcome } from "./welcome.js";
import { Wording } from "./wording.js";

/**
 * @typedef {import("../chat-interface.js").ChatInterfaceEventMap} ChatInterfaceEventMap
 * @typedef {import("../chat-interface.js").ConversationMessage} ConversationMessage
 * @typedef {import("../chat-interface.js").ChatHeaders} ChatHeaders
 * @typedef {import("../chat-interface.js").ImageAttachment} ImageAttachment
 * @typedef {import("../chat-interface.js").Labels} Labels
 * @typedef {import("../chat-interface.js").Renderer} Renderer
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("./conversation.js").ConversationEvents} ConversationEvents
 *
 * @typedef {object} Parts
 * @property {Labels} labels what all of them say
 * @property {HTMLElement} frame holds all the others
 * @property {Welcome} welcome what an empty session shows
 * @property {MessageList} list
 * @property {StatusLine} status
 * @property {HTMLElement} notice what belongs to no message
 * @property {HTMLSlotElement} footer
 * @property {import("./document-chips.js").DocumentChips} [chips] from the first document on
 * @property {Composer} composer
 * @property {HTMLElement} announcer only for screen readers
 */

const ENDPOINT = mount ?? "";

const MAX_DOCUMENTS = 16;
const MAX_MESSAGE = 256 * 1024; // bytes of UTF-8

const chips = new Later(() => import("./document-chips.js"));

export class ChatInterface extends Element {
  static observedAttributes = [
    "endpoint",
    "session-id",
    "document-id",
    "remember",
    "storage-key",
    "welcome",
    "placeholder",
    "enter",
    "disabled",
    "lang",
  ];

  /** @type {Parts | null} from the first connection on, when the lexer has loaded */
  #parts = null;
  /** @type {Conversation | null} while connected */
  #conversation = null;
  /** @type {ChatClient | null} */
  #client = null;
  /** @type {ChatClient | null} used if no client is set */
  #defaultClient = null;
  /** @type {ChatHeaders} */
  #headers = {};
  /** @type {Renderer | null} */
  #renderer = null;
  #wording = new Wording(this, english, ({ labels }) => labels);
  /** @type {readonly string[]} */
  #suggestions = [];
  /** @type {(() => import("../markdown/lexer.js").Lexer) | null} */
  #newLexer = null;
  #memory = new Memory(null);
  #enterKey = new EnterKey();
  #crossTab = new CrossTab(() => this.refresh());
  #listening = new AbortController();
  #connections = 0; // counts connections to the document, and disconnections
  #focusLater = false; // `focus` was called before there was a field
  /** @type {number | null} */
  #showLater = null; // `show` was called before there was a list
  #readFailed = false; // the notice says why the messages could not be read
  #sessionDocuments = ""; // `document-id` as the session has it
  #dropVeil; // says that files can be dropped
  #unsent = ""; // a message that is on its way: a draft until the server has it

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styles()];
    this.#dropVeil = h("div", { class: "drop", part: "drop", hidden: true });
    acceptDroppedFiles(this, this.#dropVeil, (data) => this.#drop(data));
    this.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  /**
   * Register the element, unless the tag is taken or there is no registry, and return the class. A second tag
   * needs a class of its own: `class Other extends ChatInterface {}`.
   */
  static define(tag = "chat-interface") {
    define(tag, this);
    return this;
  }

  async connectedCallback() {
    upgradeProperties(this, ChatInterface.prototype);
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    addEventListener("focus", () => this.refresh(), { signal });
    document.addEventListener(
      "visibilitychange",
      () => (document.hidden ? this.#saveDraft() : this.refresh()),
      { signal },
    );
    addEventListener("pagehide", () => this.#saveDraft(), { signal });
    if (this.shadowRoot) unfoldOnPaper(this.shadowRoot, signal);
    addEventListener("storage", () => this.#follow(), { signal });
    const connection = (this.#connections += 1);
    [this.#newLexer] = await Promise.all([loadLexer(), this.#wording.load()]);
    if (connection === this.#connections) this.#start();
  }

  disconnectedCallback() {
    this.#saveDraft();
    this.#connections += 1;
    this.#listening.abort();
    this.#conversation?.leave();
    this.#conversation = null;
    this.#crossTab.leave();
  }

  /** @param {string} name @param {string | null} before @param {string | null} value */
  attributeChangedCallback(name, before, value) {
    if (before === value) return;
    if (name === "document-id") this.#showDocuments();
    if (name === "endpoint") this.#defaultClient = null;
    if (name === "session-id" && value === null && before === this.#memory.sessionId) this.#memory.keep(null);
    const otherSession = name === "session-id" && value !== (this.#conversation?.sessionId ?? null);
    if (this.#conversation && otherSession) this.#open();
    if (["endpoint", "remember", "storage-key"].includes(name)) this.#restart();
    if (name === "endpoint") this.#emit("chat-client", null);
    if (name === "lang" && this.#connections) this.#reword();
    this.#applyAttributes();
  }

  // -- properties that reflect attributes

  /** @returns {string | null} */
  get endpoint() {
    return this.getAttribute("endpoint");
  }

  set endpoint(/** @type {string | null | undefined} */ endpoint) {
    reflect(this, "endpoint", endpoint);
  }

  /** @returns {string | null} */
  get sessionId() {
    return this.getAttribute("session-id");
  }

  set sessionId(/** @type {string | null | undefined} */ sessionId) {
    reflect(this, "session-id", sessionId);
  }

  /** @returns {boolean} */
  get remember() {
    return this.getAttribute("remember") !== "false";
  }

  set remember(/** @type {boolean | null | undefined} */ remember) {
    reflect(this, "remember", remember === false ? "false" : null);
  }

  /** @returns {string | null} */
  get storageKey() {
    return this.getAttribute("storage-key");
  }

  set storageKey(/** @type {string | null | undefined} */ storageKey) {
    reflect(this, "storage-key", storageKey);
  }

  /** @returns {number | null} */
  get documentId() {
    return this.documentIds[0] ?? null;
  }

  set documentId(/** @type {number | null | undefined} */ documentId) {
    reflect(this, "document-id", documentId === null ? "" : documentId);
  }

  /** @returns {number[]} */
  get documentIds() {
    const ids = (this.getAttribute("document-id") ?? "").split(/[\s,]+/).map(Number);
    return [...new Set(ids.filter(Boolean))];
  }

  set documentIds(/** @type {readonly number[] | null | undefined} */ documentIds) {
    reflect(this, "document-id", documentIds === null ? "" : documentIds?.join(" "));
  }

  /** @returns {string | null} */
  get model() {
    return this.getAttribute("model");
  }

  set model(/** @type {string | null | undefined} */ model) {
    reflect(this, "model", model);
  }

  /** @returns {string | null} */
  get welcome() {
    return this.getAttribute("welcome");
  }

  set welcome(/** @type {string | null | undefined} */ welcome) {
    reflect(this, "welcome", welcome);
  }

  /** @returns {string | null} */
  get placeholder() {
    return this.getAttribute("placeholder");
  }

  set placeholder(/** @type {string | null | undefined} */ placeholder) {
    reflect(this, "placeholder", placeholder);
  }

  /** @returns {"send" | "newline" | null} what Enter does; null: it sends, except on touch screens */
  get enter() {
    const enter = this.getAttribute("enter");
    return enter === "send" || enter === "newline" ? enter : null;
  }

  set enter(/** @type {"send" | "newline" | null | undefined} */ enter) {
    reflect(this, "enter", enter);
  }

  /** @returns {"light" | "dark" | null} */
  get theme() {
    const theme = this.getAttribute("theme");
    return theme === "light" || theme === "dark" ? theme : null;
  }

  set theme(/** @type {"light" | "dark" | null | undefined} */ theme) {
    reflect(this, "theme", theme);
  }

  /** @returns {boolean} */
  get showThinking() {
    return this.getAttribute("show-thinking") !== "false";
  }

  set showThinking(/** @type {boolean | null | undefined} */ showThinking) {
    reflect(this, "show-thinking", showThinking === false ? "false" : null);
  }

  /** @returns {boolean} */
  get disabled() {
    return this.hasAttribute("disabled");
  }

  set disabled(/** @type {boolean | null | undefined} */ disabled) {
    this.toggleAttribute("disabled", Boolean(disabled));
  }

  // -- other properties

  /** @returns {ChatClient} what talks to the server; by default a client for `endpoint` with `headers` */
  get client() {
    if (this.#client) return this.#client;
    const baseUrl = this.endpoint || ENDPOINT;
    const headers = (/** @type {import("../types.js").HeadersReason} */ reason) => {
      const unknown = this.#unknownServer();
      if (unknown) throw unknown;
      return typeof this.#headers === "function" ? this.#headers(reason) : this.#headers;
    };
    return (this.#defaultClient ??= createChatClient({ baseUrl, headers }));
  }

  set client(/** @type {ChatClient | null | undefined} */ client) {
    this.#client = client ?? null;
    this.#restart();
    this.#emit("chat-client", null);
  }

  /** @returns {ChatHeaders} the headers of the default client's requests, or what returns them */
  get headers() {
    return this.#headers;
  }

  set headers(/** @type {ChatHeaders | null | undefined} */ headers) {
    this.#headers = headers ?? {};
    this.refresh();
    this.#emit("chat-client", null);
  }

  /** @returns {Renderer | null} renders an answer's text in place of the built-in Markdown */
  get renderer() {
    return this.#renderer;
  }

  set renderer(/** @type {Renderer | null | undefined} */ renderer) {
    this.#renderer = renderer ?? null;
    if (this.#parts) this.#build();
  }

  /** @returns {readonly string[]} messages that an empty session offers to send */
  get suggestions() {
    return this.#suggestions;
  }

  set suggestions(/** @type {readonly string[] | null | undefined} */ suggestions) {
    this.#suggestions = suggestions ?? [];
    this.#applySuggestions();
  }

  /** @returns {Labels} the element's texts; those that are set replace the ones in its language */
  get labels() {
    return this.#labels;
  }

  set labels(/** @type {Partial<Labels> | null | undefined} */ labels) {
    this.#wording.replace(labels);
    if (this.#parts) this.#build();
  }

  /** Whether an answer is in progress. */
  get busy() {
    return Boolean(this.#conversation?.active);
  }

  get messages() {
    return this.#conversation?.messages ?? [];
  }

  // -- methods

  /**
   * Send a message, which has a text or images, and return whether it was accepted.
   *
   * @param {string} message
   * @param {{images?: ImageAttachment[]}} [options]
   */
  send(message, { images = [] } = {}) {
    const conversation = this.#conversation;
    if (!conversation || this.busy || this.disabled || !(message.trim() || images.length)) return false;
    if (this.#refuseLong(message)) return false;
    if (!this.#emit("chat-send", { message, images }, { cancelable: true })) return false;
    this.#parts?.list.scrollToEnd();
    this.#unsent = message;
    this.#saveDraft();
    conversation.send(message, { images, options: this.#sendOptions() });
    return true;
  }

  /**
   * Attach files to the next message, as if they were dropped: pictures for the model to see, and documents to
   * answer from, which are uploaded. It returns when all are ready or refused.
   *
   * @param {Iterable<File>} files
   */
  async attach(files) {
    if (!this.#parts) return;
    if (this.disabled) return this.#setNotice(this.#labels.disabled);
    const given = [...files];
    this.focus();
    if (given.some(isPicture)) this.#checkSight();
    await this.#parts.composer.attach(given);
  }

  /** Stop the answer in progress. */
  async stop() {
    await this.#conversation?.stop();
  }

  /** Replace the last answer by a new one. */
  regenerate() {
    const answer = this.messages.findLast(({ role }) => role === "assistant");
    if (answer) this.#retry(answer);
  }

  /** Leave the session, and forget it. The next message creates a new one. */
  clear() {
    this.#turnTo(null);
  }

  /**
   * Show a session that the user has chosen, and remember it.
   *
   * @param {string} sessionId
   */
  open(sessionId) {
    this.#turnTo(sessionId);
  }

  /** Focus the field to write in, as soon as there is one. */
  focus() {
    this.#focusLater = !this.#parts;
    this.#parts?.composer.focus();
  }

  /** Load all earlier messages, as for printing. */
  async loadAll() {
    const conversation = this.#conversation;
    while (await conversation?.loadEarlier());
  }

  /**
   * Scroll to a message, mark it for a moment, and focus it. Earlier messages are loaded up to it. Return whether the
   * session has it.
   *
   * @param {number} messageId
   */
  async show(messageId) {
    const conversation = this.#conversation;
    this.#showLater = conversation ? null : messageId;
    const message = await conversation?.find(messageId);
    if (!message || conversation !== this.#conversation) return false;
    this.#parts?.list.show(message);
    return true;
  }

  /** Read the messages from the server again. */
  async refresh() {
    if (!this.#follow()) await this.#conversation?.load();
  }

  // -- setting up

  get #labels() {
    return this.#wording.labels;
  }

  #start() {
    if (this.#parts?.labels !== this.#labels) this.#build();
    this.#recall();
    this.#open();
    if (this.#focusLater) this.focus();
    if (this.#showLater !== null) void this.show(this.#showLater);
  }

  #build() {
    const text = this.#parts?.composer.text ?? loadDraft(this.#conversation?.sessionId ?? null);
    const parts = (this.#parts = this.#createParts());
    parts.composer.text = text; // before the field is replaced, which saves what is in the new one if it has the focus
    this.shadowRoot?.replaceChildren(parts.frame);
    this.#applySuggestions();
    this.#showDocuments();
    if (this.#conversation) this.#resetList();
  }

  /** @returns {Parts} */
  #createParts() {
    const labels = this.#labels;
    const announcer = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    const notice = h("div", { class: "notice", hidden: true });
    const onnotice = (/** @type {string} */ sentence) => this.#announce(sentence);
    const welcome = new Welcome(labels, (message) => {
      if (this.send(message)) this.focus(); // the button goes away
    });
    const list = new MessageList(
      {
        labels,
        newLexer: this.#newLexer,
        renderer: this.#renderer,
        enterKey: this.#enterKey,
        onretry: (answer) => this.#retry(answer),
        onresend: (userMessage, text) => this.#resend(userMessage, text),
        ondelete: (message) => this.#delete(message),
        oncontinue: () => this.send(this.#labels.continueMessage),
        onversion: (answer, number) => this.#showVersion(answer, number),
        onnotice,
        image: (message, number, signal) => this.#image(message, number, signal),
      },
      { empty: welcome.element, onearlier: async () => this.#conversation?.loadEarlier() },
    );
    const status = new StatusLine(labels, onnotice);
    const composer = new Composer(labels, this.#enterKey, {
      onsend: (text, images) => this.send(text, { images }),
      onstop: () => void this.stop(),
      onwrite: () => notice.classList.contains("hint") && this.#setNotice(""),
      onpause: () => this.#saveDraft(),
      onfiles: (files) => void this.attach(files),
      onhint: (sentence) => this.#setNotice(sentence, { hint: true }),
      onproblem: (sentence, error) => this.#setNotice(sentence, { error }),
      upload: (file, options) => this.#upload(file, options),
    });
    const footer = h("slot", { name: "footer", onslotchange: () => this.#showDocuments() });
    const bottom = h("div", { class: "bottom" }, status.element, notice, composer.element, footer);
    this.#dropVeil.replaceChildren(h("p", {}, labels.drop));
    const frame = h(
      "div",
      { class: "frame" },
      h("slot", { name: "header" }),
      list.element,
      bottom,
      announcer,
      this.#dropVeil,
    );
    return { labels, frame, welcome, list, status, notice, footer, composer, announcer };
  }

  /** Follow the language of the element. */
  async #reword() {
    await this.#wording.load();
    if (this.#parts && this.#parts.labels !== this.#labels) this.#build();
  }

  /** Begin again, where the server or the memory is another one. */
  #restart() {
    if (!this.#conversation) return;
    this.#saveDraft();
    this.#conversation.leave();
    this.#conversation = null;
    this.#recall();
    this.#open();
  }

  /** Name the session that is remembered, unless the page names one. */
  #recall() {
    const given = this.sessionId !== this.#memory.sessionId;
    const place = new URL(this.client.baseUrl, document.baseURI).href;
    this.#memory = new Memory(this.remember ? `${place} ${this.storageKey ?? ""}` : null);
    if (!given && this.remember) this.sessionId = this.#memory.sessionId;
  }

  /** @param {string | null} sessionId to be shown and remembered; null: a new one */
  #turnTo(sessionId) {
    if (!this.#conversation) this.#recall();
    const same = this.sessionId === sessionId;
    this.#memory.keep(sessionId);
    this.sessionId = sessionId;
    if (same && this.#conversation) this.#open();
  }

  /** Show what another tab has turned to, unless the page names a session. Return whether there is any. */
  #follow() {
    const shown = this.#memory.sessionId;
    if (this.busy || !this.#conversation || this.sessionId !== shown || !this.#memory.changed()) return false;
    const { sessionId } = this.#memory;
    if (shown === null) this.#moveDraft(sessionId);
    this.sessionId = sessionId;
    return true;
  }

  /** Open the session that `session-id` names. */
  #open() {
    if (this.#conversation) this.#saveDraft();
    this.#unsent = "";
    this.#conversation?.leave();
    const sessionId = this.sessionId || null;
    if (this.#conversation && this.#conversation.sessionId !== sessionId) this.#parts?.composer.discard();
    const conversation = (this.#conversation = new Conversation(this.client, sessionId));
    this.#listenTo(conversation);
    this.#crossTab.join(this.endpoint || ENDPOINT, sessionId);
    this.#setNotice("");
    this.#syncDocuments();
    this.#resetList();
    if (this.#parts) this.#parts.composer.text = loadDraft(sessionId);
    const unknown = this.#unknownServer();
    if (!unknown) return void conversation.load();
    const { message: error, code, retryable } = unknown;
    console.error(error, this);
    this.#handleError({ message: null, failure: { error, code, retryable } });
  }

  /** Return why nothing can be asked: somebody else's bundle has this module, and the page does not name a server. */
  #unknownServer() {
    if (this.#client || this.endpoint || mount !== null) return null;
    return new ChatError(this.#labels.noEndpoint, "no_endpoint");
  }

  /** @param {Conversation} conversation */
  #listenTo(conversation) {
    /**
     * @template {keyof ConversationEvents} Type
     * @param {Type} type
     * @param {(detail: ConversationEvents[Type]) => void} handle
     */
    const on = (type, handle) =>
      conversation.addEventListener(type, (event) => {
        const { detail } = /** @type {CustomEvent<ConversationEvents[Type]>} */ (event);
        if (conversation === this.#conversation) handle(detail);
      });

    on("reset", () => {
      this.#resetList();
      this.#handleRead();
    });
    on("unchanged", () => this.#handleRead());
    on("added", ({ message }) => {
      this.#parts?.list.add(message);
      this.#updateBusy();
      this.#setNotice("");
    });
    on("changed", ({ message }) => {
      this.#parts?.list.view(message)?.update();
      this.#syncDocuments();
    });
    on("text", (detail) => this.#handleText(detail));
    on("status", ({ status }) => this.#parts?.status.show(status));
    on("session", (detail) => this.#handleSession(detail));
    on("start", (detail) => this.#handleStart(detail));
    on("sources", ({ message }) => {
      this.#emit("chat-sources", { sources: message.sources, messageId: /** @type {number} */ (message.id) });
    });
    on("done", ({ message }) => this.#handleDone(message));
    on("error", (detail) => this.#handleError(detail));
    on("gone", (detail) => this.#handleGone(detail));
    on("idle", () => {
      this.#updateBusy();
      this.#endWait();
    });
  }

  // -- what happens in the conversation

  #resetList() {
    const { messages, earlierPage, loaded } = /** @type {Conversation} */ (this.#conversation);
    this.#parts?.list.reset(messages, { hasEarlier: earlierPage !== null, loaded });
    this.#updateBusy();
  }

  /** The server answered, so the reason why it did not is over. */
  #handleRead() {
    if (this.#readFailed) this.#setNotice("");
    this.#syncDocuments();
  }

  /** @param {ConversationEvents["text"]} detail */
  #handleText({ message, content = "", thinking = "" }) {
    this.#parts?.status.showText(!content);
    const view = this.#parts?.list.view(message);
    if (thinking) view?.addThinking(thinking);
    if (content) view?.addContent(content);
    this.#emit("chat-token", { content, thinking, messageId: /** @type {number} */ (message.id) });
  }

  /** @param {ConversationEvents["session"]} detail */
  #handleSession({ session }) {
    saveDraft(null, "");
    this.#saveDraft();
    this.#memory.keep(session.id);
    this.setAttribute("session-id", session.id);
    this.#crossTab.join(this.endpoint || ENDPOINT, session.id);
    this.#emit("chat-session", { session });
  }

  /** @param {ConversationEvents["start"]} detail */
  #handleStart({ message, userMessage }) {
    this.#announce(this.#labels.answerStarted);
    this.#syncDocuments();
    if (userMessage) {
      this.#unsent = "";
      this.#saveDraft();
    }
    const messageId = /** @type {number} */ (message.id);
    const { model = null, modelReason = null } = message;
    this.#emit("chat-start", { messageId, userMessageId: userMessage?.id ?? null, model, modelReason });
    if (userMessage) this.#crossTab.announce();
    this.#updateBusy();
  }

  /** @param {ConversationMessage} message */
  #handleDone(message) {
    const { stopped, answerDone, answerEmpty } = this.#labels;
    const isEmpty = message.warnings.some(({ code }) => code === "empty_answer");
    this.#announce(message.status === "cancelled" ? stopped : isEmpty ? answerEmpty : answerDone);
    const { id: messageId, content, sources, usage = null } = message;
    const finishReason = message.finishReason ?? "stop";
    this.#emit("chat-done", { messageId, content, sources, finishReason, usage });
    this.#crossTab.announce();
  }

  /** @param {ConversationEvents["error"]} detail */
  #handleError({ message, failure }) {
    const sentence = sentenceFor(failure, this.#labels);
    if (failure.code === "document_gone") this.documentIds = this.#conversation?.documentsLeft;
    if (message) this.#announce(sentence);
    else this.#setNotice(sentence, { error: failure });
    this.#readFailed = !message;
    this.#emit("chat-error", { ...failure, messageId: message?.id ?? null, content: message?.content ?? "" });
    if (message?.id) this.#crossTab.announce();
  }

  /**
   * The session was deleted elsewhere, and the next message begins another one. Nobody has chosen one that was only
   * remembered: it is left at once, and the message that did not reach it is that next one.
   *
   * @param {ConversationEvents["gone"]} detail
   */
  #handleGone({ failure }) {
    const conversation = /** @type {Conversation} */ (this.#conversation);
    const { created, messages } = conversation;
    const loops = created && messages.every(({ id }) => id === null);
    if (loops || this.sessionId !== this.#memory.sessionId) {
      return this.#handleError({ message: null, failure });
    }
    const unsent = messages.findLast(({ role, id }) => role === "user" && id === null);
    if (unsent) conversation.resend(unsent, unsent.content, this.#sendOptions());
    else this.clear();
  }

  // -- sending

  /** @param {ConversationMessage} answer */
  #retry(answer) {
    if (this.disabled) return;
    const focused = this.shadowRoot?.activeElement; // perhaps a button that goes away with the old answer
    this.#parts?.list.scrollToEnd();
    this.#conversation?.retry(answer, this.#sendOptions());
    if (focused && !focused.isConnected) this.#parts?.composer.focusButton();
  }

  /** @param {ConversationMessage} userMessage @param {string} text */
  #resend(userMessage, text) {
    const { images = [] } = userMessage;
    if (this.disabled || this.#refuseLong(text)) return false;
    if (!this.#emit("chat-send", { message: text, images }, { cancelable: true })) return false;
    this.#parts?.list.scrollToEnd();
    this.#conversation?.resend(userMessage, text, this.#sendOptions());
    this.focus();
    return true;
  }

  /**
   * Say so if a message is longer than the server takes.
   *
   * @param {string} message
   */
  #refuseLong(message) {
    const long = message.length > MAX_MESSAGE / 3 && new Blob([message]).size > MAX_MESSAGE;
    if (long) this.#setNotice(this.#labels.messageTooLong);
    return long;
  }

  /** @param {ConversationMessage} message */
  async #delete(message) {
    const conversation = this.#conversation;
    const deleted = await conversation?.delete(message);
    if (conversation !== this.#conversation) return;
    if (deleted) this.#crossTab.announce();
    else this.#parts?.list.view(message)?.update(); // in place of the question
    this.focus();
  }

  /**
   * Show an earlier version of an answer, below the question as it was then; or the latest, which has the
   * highest number.
   *
   * @param {ConversationMessage} answer
   * @param {number} number
   */
  async #showVersion(answer, number) {
    const { list } = /** @type {Parts} */ (this.#parts);
    const conversation = /** @type {Conversation} */ (this.#conversation);
    const question = conversation.messages[conversation.messages.indexOf(answer) - 1];
    const latest = number === answer.version;
    let earlier;
    try {
      const versions = latest ? [] : await conversation.versions(answer);
      earlier = versions.at(number - 1 - (answer.version ?? 1));
    } catch (error) {
      return this.#setNotice(sentenceFor(error, this.#labels), { error });
    }
    list.view(answer)?.showEarlier(earlier ? { message: earlier.answer, number } : null);
    if (question?.role === "user") {
      list.view(question)?.showEarlier(earlier?.question ? { message: earlier.question, number } : null);
    }
  }

  /**
   * Return what the attributes say about the next message. A session keeps its documents by itself: naming them
   * again would be an error if one has been deleted, instead of a warning.
   */
  #sendOptions() {
    /** @type {import("./conversation.js").SendOptions} */
    const options = {};
    const attribute = this.getAttribute("document-id");
    const known = this.#conversation?.documentIds !== undefined && !this.#conversation.gone;
    if (attribute !== null && !(known && attribute === this.#sessionDocuments)) {
      options.documentIds = this.documentIds;
    }
    if (this.model) options.model = this.model;
    return options;
  }

  /** Keep what is not sent yet. It is called when the reader pauses, since a text may be long. */
  #saveDraft() {
    if (!this.#parts || !this.#conversation) return;
    saveDraft(this.#conversation.sessionId, this.#parts.composer.text || this.#unsent);
  }

  // -- pictures and documents

  /** @param {DataTransfer | null} data */
  #drop(data) {
    const { files, folders } = filesDropped(data);
    if (files.length) this.attach(files);
    if (folders) this.#setNotice(this.#labels.folders);
  }

  /**
   * Upload a document, and answer from it, too, unless another session was opened meanwhile.
   *
   * @param {File} file
   * @param {import("./attachments.js").UploadOptions} options
   */
  async #upload(file, options) {
    const conversation = this.#conversation;
    try {
      if (this.documentIds.length >= MAX_DOCUMENTS) {
        throw new ChatError(this.#labels.tooManyDocuments, "too_many_documents");
      }
      const { id } = await this.client.documents.create(file, options);
      if (conversation === this.#conversation) this.documentIds = [...new Set([...this.documentIds, id])];
    } catch (error) {
      const { message, code, retryable } = /** @type {import("../types.js").ChatError} */ (error);
      const failure = { error: message, code, retryable, messageId: null, content: "" };
      if (!options.signal.aborted) this.#emit("chat-error", failure);
      throw error;
    }
  }

  /** Say so if no model that may answer can see pictures. */
  async #checkSight() {
    const found = await this.client.models().catch(() => null);
    const models = found?.models ?? [];
    const named = models.filter(({ name }) => name === this.model);
    const asked = named.length ? named : models;
    const blind = asked.length > 0 && asked.every(({ capabilities }) => !capabilities.includes("vision"));
    const { notice } = /** @type {Parts} */ (this.#parts);
    const isFree = notice.hidden || notice.classList.contains("hint"); // not of a problem that this would hide
    if (blind && isFree) this.#setNotice(this.#labels.cannotSee(named.length ? this.model : null));
  }

  /** @param {ConversationMessage} message @param {number} number @param {AbortSignal} signal */
  #image({ id, replaces }, number, signal) {
    const { client, sessionId } = /** @type {Conversation} */ (this.#conversation);
    // Until a new version is stored, those of the message that it replaces are the same.
    const stored = /** @type {number} */ (id ?? replaces);
    return client.messages.image(/** @type {string} */ (sessionId), stored, number, { signal });
  }

  /**
   * Keep what was written before there was a session for the session, which is about to be opened.
   *
   * @param {string | null} sessionId
   */
  #moveDraft(sessionId) {
    const { composer } = /** @type {Parts} */ (this.#parts);
    saveDraft(sessionId, composer.text || this.#unsent);
    composer.text = this.#unsent = "";
  }

  // -- showing state

  /**
   * Let `document-id` follow the session's documents, unless it was changed and the next message is to send
   * it.
   */
  #syncDocuments() {
    const documents = (this.#conversation?.documentIds ?? []).join(" ");
    const attribute = this.getAttribute("document-id") ?? "";
    const changed = attribute !== this.#sessionDocuments;
    this.#sessionDocuments = documents;
    if (!changed && attribute !== documents) reflect(this, "document-id", documents || null);
  }

  /** Show the documents, unless the page shows something else in their place. */
  async #showDocuments() {
    const parts = this.#parts;
    if (!parts || !(parts.chips || this.documentIds.length) || parts.footer.assignedNodes().length) return;
    const module = await chips.load();
    if (!module || parts !== this.#parts) return;
    if (parts.chips) parts.chips.show();
    else parts.chips = new module.DocumentChips(this, parts.footer, parts.labels);
  }

  #updateBusy() {
    const { busy } = this;
    if (!this.#parts) return;
    this.toggleAttribute("busy", busy);
    this.#parts.composer.streaming = busy;
    if (!busy) this.#parts.status.clear();
    else if (this.#parts.status.element.hidden) this.#parts.status.show({ state: "starting" });
  }

  #applyAttributes() {
    this.#enterKey.setting = this.enter;
    if (!this.#parts) return;
    this.#parts.composer.placeholder = this.placeholder ?? this.#labels.placeholder;
    this.#parts.composer.disabled = this.disabled;
    this.#parts.welcome.greeting = this.welcome ?? this.#labels.empty;
    this.#parts.welcome.disabled = this.disabled;
  }

  #applySuggestions() {
    if (!this.#parts) return;
    this.#parts.welcome.suggestions = this.#suggestions;
    this.#applyAttributes();
  }

  /**
   * Tell screen readers what happens; never the text of an answer.
   *
   * @param {string} sentence
   */
  #announce(sentence) {
    if (this.#parts) this.#parts.announcer.textContent = sentence;
  }

  /**
   * Show what belongs to no message; "" removes it. A hint is no problem.
   *
   * @param {string} sentence
   * @param {{hint?: boolean, error?: unknown}} [kind] the error that the sentence is about
   */
  #setNotice(sentence, { hint = false, error } = {}) {
    this.#readFailed = false;
    if (!this.#parts) return;
    this.#parts.notice.replaceChildren(sentence, ...requestIdOf(error, this.#labels));
    this.#parts.notice.hidden = !sentence;
    this.#parts.notice.classList.toggle("hint", hint);
    this.#announce(sentence);
  }

  /** Remove the hint to wait for the answer, which has ended; screen readers are told how. */
  #endWait() {
    const { notice, labels } = this.#parts ?? {};
    if (!notice || notice.textContent !== labels?.waitOrStop) return;
    notice.replaceChildren();
    notice.hidden = true;
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return; // the page's own
    if (event.key !== "Escape" || event.isComposing || event.keyCode === 229 || !this.busy) return;
    event.preventDefault();
    this.stop();
  }

  /**
   * @template {keyof ChatInterfaceEventMap} Type
   * @param {Type} type
   * @param {ChatInterfaceEventMap[Type]["detail"]} detail
   * @param {EventInit} [init]
   * @returns {boolean} false if a listener prevented it
   */
  #emit(type, detail, init) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, ...init }));
  }
}
