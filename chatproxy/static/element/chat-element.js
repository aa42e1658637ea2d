// <chat-interface>: one session, shown and written to. It puts the parts together and tells the page what happens.
//
// Attributes are the truth: what is set there takes effect at once, and a session made here is written back.

import { createChatClient } from "../chat-client.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { h } from "../dom/dom.js";
import { draftOf, keepDraft } from "./drafts.js";
import { labels as english } from "./labels.js";
import { loadLexer } from "./markdown.js";
import { MessageList } from "./message-list.js";
import { StatusLine } from "./status-line.js";
import { styles } from "./styles.js";
import { Tabs } from "./cross-tab.js";

/** Importing this where there is no DOM, as a server does that renders pages, must not throw. */
const Element = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

const ENDPOINT = new URL("../..", import.meta.url).href; // this module is in static/ of the server it came from

export class ChatInterface extends Element {
  static observedAttributes = ["endpoint", "session-id", "model", "placeholder", "disabled"];

  /** @type {Conversation | null} */
  #conversation = null;
  #listening = new AbortController();
  /** @type {any} */
  #client = null;
  /** @type {Record<string, string>} */
  #headers = {};
  /** @type {any} */
  #renderer = null;
  #labels = english;
  #parts = /** @type {ReturnType<ChatInterface["build"]> | null} */ (null);
  #tabs = new Tabs(() => this.refresh());
  #connection = 0;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styles()];
    root.addEventListener("keydown", (event) => this.#key(/** @type {KeyboardEvent} */ (event)));
  }

  async connectedCallback() {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    addEventListener("focus", () => this.refresh(), { signal });
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh(), { signal });
    const connection = (this.#connection += 1);
    this.#newLexer = await loadLexer();
    if (connection === this.#connection && this.isConnected) this.#start();
  }

  disconnectedCallback() {
    this.#connection += 1;
    this.#listening.abort();
    this.#conversation?.leave();
    this.#conversation = null;
    this.#tabs.leave();
  }

  /** @param {string} name @param {string | null} was @param {string | null} is */
  attributeChangedCallback(name, was, is) {
    if (!this.#parts || was === is) return;
    if (name === "endpoint") this.#client = this.#ownClient ? null : this.#client;
    if (name === "endpoint" || (name === "session-id" && is !== (this.#conversation?.sessionId ?? null))) this.#open();
    this.#showAttributes();
  }

  // -- properties

  /** What talks to the server; by default one for `endpoint` with `headers`. */
  get client() {
    this.#ownClient ||= !this.#client;
    const baseUrl = this.getAttribute("endpoint") || ENDPOINT;
    return (this.#client ??= createChatClient({ baseUrl, headers: this.#headers }));
  }

  set client(client) {
    this.#client = client;
    this.#ownClient = false;
    if (this.#parts) this.#open();
  }

  get headers() {
    return this.#headers;
  }

  set headers(headers) {
    this.#headers = headers ?? {};
    if (this.#ownClient) this.#client = null;
    if (this.#conversation) this.#conversation.client = this.client;
    this.refresh();
  }

  /** Draws a text in place of the built-in Markdown: `(text, message) => Node`. */
  get renderer() {
    return this.#renderer;
  }

  set renderer(renderer) {
    this.#renderer = renderer;
    this.#rebuild();
  }

  get labels() {
    return this.#labels;
  }

  set labels(labels) {
    this.#labels = { ...english, ...labels };
    this.#rebuild();
  }

  /** Of the answer that is being written. */
  get busy() {
    return Boolean(this.#conversation?.answering);
  }

  get messages() {
    return this.#conversation?.messages ?? [];
  }

  // -- methods

  /** @param {string} message @param {{images?: import("./conversation.js").Picture[]}} [more] @returns {boolean} whether it was taken */
  send(message, { images = [] } = {}) {
    const conversation = this.#conversation;
    if (!conversation || conversation.answering || this.hasAttribute("disabled") || !message.trim()) return false;
    if (!this.#tell("chat-send", { message, images }, { cancelable: true })) return false;
    this.#parts?.list.follow();
    conversation.send(message, { images, options: this.#options() });
    return true;
  }

  stop() {
    return this.#conversation?.stop();
  }

  /** The last answer once more. */
  regenerate() {
    const answer = this.messages.findLast(({ role }) => role === "assistant");
    if (answer) this.#again(answer);
  }

  /** Leaves the session, and begins a new one with the next message. */
  clear() {
    this.removeAttribute("session-id");
    this.#open();
  }

  /** Into the field to write in; as soon as there is one. */
  focus() {
    this.#focusing = !this.#parts;
    this.#parts?.composer.focus();
  }

  /** Reads again what the server has. */
  refresh() {
    return this.#conversation?.load();
  }

  // -- how it is put together

  #ownClient = true;
  #focusing = false;
  #unread = false; // the notice says why the messages could not be read
  #document = ""; // the session's, as the attribute has it
  /** @type {(() => import("./markdown.js").Lexer) | null} */
  #newLexer = null;

  #start() {
    if (!this.#parts) this.#rebuild(true);
    this.#open();
    this.#showAttributes();
    if (this.#focusing) this.focus();
  }

  #rebuild(first = false) {
    if (!first && !this.#parts) return;
    const root = /** @type {ShadowRoot} */ (this.shadowRoot);
    this.#parts = this.build();
    root.replaceChildren(this.#parts.frame);
    this.#showAttributes();
    this.#parts.composer.text = draftOf(this.#conversation?.sessionId ?? null);
    if (this.#conversation) this.#reset();
  }

  build() {
    const labels = this.#labels;
    const says = h("div", { class: "unseen", role: "status", "aria-live": "polite" });
    const notice = h("div", { class: "notice", hidden: true });
    const list = new MessageList(
      {
        labels,
        newLexer: this.#newLexer,
        renderer: this.#renderer,
        onagain: (message) => this.#again(message),
        onresend: (message, text) => this.#resend(message, text),
        onnotice: (sentence) => this.#announce(sentence),
      },
      { onearlier: async () => this.#conversation?.loadEarlier() },
    );
    const status = new StatusLine(labels, (sentence) => this.#announce(sentence));
    const composer = new Composer(labels, {
      onsend: (text, images) => this.send(text, { images }),
      onstop: () => this.stop(),
      onwrite: (text) => keepDraft(this.#conversation?.sessionId ?? null, text),
      onnotice: (sentence) => this.#notice(sentence),
    });
    const bottom = h("div", { class: "bottom" }, status.element, notice, composer.element, h("slot", { name: "footer" }));
    const frame = h("div", { class: "frame" }, h("slot", { name: "header" }), list.element, bottom, says);
    return { frame, list, status, composer, says, notice };
  }

  #open() {
    this.#conversation?.leave();
    const sessionId = this.getAttribute("session-id") || null;
    const conversation = (this.#conversation = new Conversation(this.client, sessionId));
    this.#listenTo(conversation);
    this.#tabs.join(this.getAttribute("endpoint") || ENDPOINT, sessionId);
    this.#notice("");
    this.#showDocument();
    this.#reset();
    if (this.#parts) this.#parts.composer.text = draftOf(sessionId);
    conversation.load();
  }

  /** @param {Conversation} conversation */
  #listenTo(conversation) {
    const handlers = /** @type {Record<string, (detail: any) => void>} */ ({
      reset: () => (this.#reset(), this.#read()),
      read: () => this.#read(),
      added: ({ message }) => (this.#parts?.list.add(message), this.#showBusy(), this.#notice("")),
      changed: ({ message }) => (this.#view(message)?.update(), this.#showDocument()),
      text: (detail) => this.#addText(detail),
      status: ({ status }) => this.#parts?.status.show(status),
      session: ({ session }) => this.#made(session),
      start: (detail) => this.#started(detail),
      sources: ({ message }) => this.#tell("chat-sources", { sources: message.sources, messageId: message.id }),
      done: ({ message }) => this.#done(message),
      error: (detail) => this.#failed(detail),
      idle: () => this.#showBusy(),
    });
    for (const [type, handle] of Object.entries(handlers)) {
      conversation.addEventListener(type, (event) => {
        if (conversation === this.#conversation) handle(/** @type {CustomEvent} */ (event).detail);
      });
    }
  }

  #reset() {
    const { messages, earlier, known } = /** @type {Conversation} */ (this.#conversation);
    this.#parts?.list.reset(messages, earlier !== null, known);
    this.#showBusy();
  }

  /** The server has answered: what kept it from it is over. */
  #read() {
    if (this.#unread) this.#notice("");
    this.#showDocument();
  }

  /** @param {import("./conversation.js").Message} message */
  #view(message) {
    return this.#parts?.list.view(message);
  }

  /** @param {{message: any, content?: string, thinking?: string}} detail */
  #addText({ message, content, thinking }) {
    this.#parts?.status.grown(!content);
    if (thinking) this.#view(message)?.addThinking(thinking);
    if (content) this.#view(message)?.addContent(content);
    this.#tell("chat-token", { content: content ?? "", thinking: thinking ?? "", messageId: message.id });
  }

  /** @param {any} session */
  #made(session) {
    keepDraft(session.id, draftOf(null));
    keepDraft(null, "");
    this.setAttribute("session-id", session.id);
    this.#tabs.join(this.getAttribute("endpoint") || ENDPOINT, session.id);
    this.#tell("chat-session", { session });
  }

  /** @param {any} detail */
  #started({ message, question }) {
    this.#announce(this.#labels.answerStarted);
    this.#showDocument();
    if (question) keepDraft(this.#conversation?.sessionId ?? null, this.#parts?.composer.text ?? "");
    const { id: messageId, model, modelReason } = message;
    this.#tell("chat-start", { messageId, userMessageId: question?.id ?? null, model, modelReason });
    if (question) this.#tabs.tell();
    this.#showBusy();
  }

  /** @param {any} message */
  #done(message) {
    this.#announce(message.status === "cancelled" ? this.#labels.stopped : this.#labels.answerDone);
    const { id: messageId, content, sources, finishReason, usage } = message;
    this.#tell("chat-done", { messageId, content, sources, finishReason, usage });
    this.#tabs.tell();
  }

  /** @param {any} detail */
  #failed({ message, failure }) {
    if (message) this.#announce(failure.error);
    else this.#notice(failure.error);
    this.#unread = !message;
    this.#tell("chat-error", { ...failure, messageId: message?.id ?? null, content: message?.content ?? "" });
    if (message?.id) this.#tabs.tell();
  }

  /** @param {any} answer */
  #again(answer) {
    const focused = this.shadowRoot?.activeElement; // on a button that goes away with the old answer
    this.#parts?.list.follow();
    this.#conversation?.again(answer, this.#options());
    if (focused && !focused.isConnected) this.#parts?.composer.focusButton();
  }

  /** @param {any} question @param {string} text */
  #resend(question, text) {
    if (!this.#tell("chat-send", { message: text, images: question.images ?? [] }, { cancelable: true })) return;
    this.#parts?.list.follow();
    this.#conversation?.resend(question, text, this.#options());
    this.focus();
  }

  /** What the attributes say about the message that is sent. The session keeps its document by itself; to name it
   * would refuse the message where it has been deleted, instead of going on without. */
  #options() {
    const options = /** @type {Record<string, any>} */ ({});
    const document = this.getAttribute("document-id");
    const known = this.#conversation?.documentId !== undefined;
    if (document !== null && !(known && document === this.#document)) options.documentId = document === "" ? null : Number(document);
    if (this.getAttribute("model")) options.model = this.getAttribute("model");
    return options;
  }

  /** The attribute follows the session's document, but for a choice that waits for the next message. */
  #showDocument() {
    const now = String(this.#conversation?.documentId ?? "");
    const shown = this.getAttribute("document-id") ?? "";
    const waits = shown !== this.#document;
    this.#document = now;
    if (waits || shown === now) return;
    if (now) this.setAttribute("document-id", now);
    else this.removeAttribute("document-id");
  }

  #showBusy() {
    const { busy } = this;
    if (!this.#parts) return;
    this.toggleAttribute("busy", busy);
    this.#parts.composer.streaming = busy;
    if (!busy) this.#parts.status.clear();
    else if (this.#parts.status.element.hidden) this.#parts.status.show({ state: "starting" });
  }

  #showAttributes() {
    if (!this.#parts) return;
    this.#parts.composer.placeholder = this.getAttribute("placeholder") ?? this.#labels.placeholder;
    this.#parts.composer.disabled = this.hasAttribute("disabled");
  }

  /** For those who do not see: never the text itself. @param {string} sentence */
  #announce(sentence) {
    if (this.#parts) this.#parts.says.textContent = sentence;
  }

  /** What belongs to no message. @param {string} sentence */
  #notice(sentence) {
    this.#unread = false;
    if (!this.#parts) return;
    this.#parts.notice.textContent = sentence;
    this.#parts.notice.hidden = !sentence;
    this.#announce(sentence);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.key !== "Escape" || event.isComposing || event.keyCode === 229 || !this.busy) return;
    event.preventDefault();
    this.stop();
  }

  /** @param {string} type @param {any} detail @param {EventInit} [init] @returns {boolean} false where a listener prevented it */
  #tell(type, detail, init) {
    return this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true, ...init }));
  }
}
