// <chat-history>: the sessions of a <chat-interface>, to open, rename and delete. It reads them with that
// element's client, and follows what that element shows.

import { confirm } from "../dom/dialogs.js";
import { h, icon } from "../dom/dom.js";
import { SessionList } from "../dom/session-list.js";
import { define, Element, reflect, upgradeProperties } from "./custom-element.js";
import { styles } from "./history-styles.js";
import { sentenceFor } from "./problems.js";
import { requestIdOf } from "./request-id.js";
import { historyLabels as english, labels as chatLabels } from "../texts/en.js";
import { Wording } from "./wording.js";

/**
 * @typedef {import("../chat-history.js").HistoryLabels} HistoryLabels
 * @typedef {import("../chat-interface.js").ChatInterface} ChatInterface
 * @typedef {import("../types.js").SessionItem} SessionItem
 */

export class ChatHistory extends Element {
  static observedAttributes = ["for", "lang"];

  /** @type {ChatInterface | null} as set; null: what `for` names */
  #chosen = null;
  /** @type {ChatInterface | null} while connected to it */
  #chat = null;
  /** @type {SessionList | null} */
  #list = null;
  #wording = new Wording(this, english, ({ historyLabels }) => historyLabels);
  #listening = new AbortController();

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [styles()];
  }

  /** Register the element, unless the tag is taken or there is no registry, and return the class. */
  static define(tag = "chat-history") {
    define(tag, this);
    return this;
  }

  connectedCallback() {
    upgradeProperties(this, ChatHistory.prototype);
    this.#connect();
  }

  disconnectedCallback() {
    this.#listening.abort();
  }

  attributeChangedCallback() {
    if (this.isConnected) this.#connect();
  }

  /** @returns {string | null} */
  get htmlFor() {
    return this.getAttribute("for");
  }

  set htmlFor(/** @type {string | null | undefined} */ id) {
    reflect(this, "for", id);
  }

  /** @returns {"light" | "dark" | null} */
  get theme() {
    const theme = this.getAttribute("theme");
    return theme === "light" || theme === "dark" ? theme : null;
  }

  set theme(/** @type {"light" | "dark" | null | undefined} */ theme) {
    reflect(this, "theme", theme);
  }

  /** @returns {ChatInterface | null} what shows the sessions: by default what `for` names, or the first one */
  get chat() {
    if (this.#chosen) return this.#chosen;
    const root = /** @type {Document | ShadowRoot} */ (this.getRootNode());
    const found = this.htmlFor ? root.getElementById(this.htmlFor) : root.querySelector("chat-interface");
    return /** @type {ChatInterface | null} */ (found);
  }

  set chat(/** @type {ChatInterface | null | undefined} */ chat) {
    this.#chosen = chat ?? null;
    if (this.isConnected) this.#connect();
  }

  /** @returns {HistoryLabels} the element's texts; those that are set replace the ones in its language */
  get labels() {
    return this.#wording.labels;
  }

  set labels(/** @type {Partial<HistoryLabels> | null | undefined} */ labels) {
    this.#wording.replace(labels);
    if (this.isConnected) this.#connect();
  }

  /** Read the list from the server again. */
  async refresh() {
    await this.#list?.refresh();
  }

  /** Build the list for the chat, which may be defined, and stand in the document, only later. */
  async #connect() {
    this.#listening.abort();
    const { signal } = (this.#listening = new AbortController());
    if (document.readyState === "loading") {
      await new Promise((resolve) => addEventListener("DOMContentLoaded", resolve));
    }
    await this.#wording.load();
    const chat = (this.#chat = this.chat);
    if (chat) await customElements.whenDefined(chat.localName);
    if (signal.aborted) return;
    this.#build();
    if (chat) this.#follow(chat, signal);
  }

  #build() {
    const { labels } = this.#wording;
    const list = h("ul", { part: "list" });
    const empty = h("p", { class: "none", hidden: true });
    const more = h("button", { type: "button", class: "more", hidden: true }, labels.more);
    const problem = h("p", { class: "problem", role: "alert", hidden: true });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question" },
      h(
        "form",
        { method: "dialog" },
        h("p", { id: "question" }),
        h(
          "div",
          { class: "buttons" },
          h("button", { value: "" }, labels.cancel),
          h("button", { value: "delete", class: "danger" }, labels.deleteConfirm),
        ),
      ),
    );
    const onclick = () => this.#startNew();
    const start = h(
      "button",
      { type: "button", class: "new", part: "new", onclick },
      icon("plus"),
      labels.newChat,
    );
    const nav = h("nav", { "aria-label": labels.list }, list, empty, more);
    this.shadowRoot?.replaceChildren(h("div", { class: "frame" }, start, problem, nav, dialog));

    const show = (/** @type {unknown} */ error) => {
      const chatTexts = this.#chat?.labels ?? chatLabels;
      const said = error ? [sentenceFor(error, chatTexts), ...requestIdOf(error, chatTexts)] : [];
      problem.replaceChildren(...said);
      problem.hidden = !error;
    };
    const client = this.#chat?.client;
    this.#list = client
      ? new SessionList({ list, empty, more }, client, labels, {
          onopen: ({ id }) => this.#open(id),
          onrename: () => {},
          ondelete: async (session) => {
            const question = labels.deleteQuestion(session.title || labels.untitled);
            if (await confirm(dialog, question)) await this.#delete(session, show);
          },
          onproblem: show,
          onrecover: () => show(null),
        })
      : null;
  }

  /** @param {ChatInterface} chat @param {AbortSignal} signal */
  #follow(chat, signal) {
    const refresh = () => void this.refresh();
    const mark = () => this.#list?.mark(chat.sessionId);
    const observer = new MutationObserver(mark);
    observer.observe(chat, { attributeFilter: ["session-id"] });
    signal.addEventListener("abort", () => observer.disconnect());
    for (const type of /** @type {const} */ (["chat-session", "chat-start", "chat-done", "chat-error"])) {
      chat.addEventListener(type, refresh, { signal });
    }
    const { client } = chat;
    const again = () => (chat.client === client ? refresh() : this.#connect());
    chat.addEventListener("chat-client", again, { signal });
    addEventListener("focus", refresh, { signal });
    mark();
    refresh();
  }

  /** @param {string} sessionId */
  #open(sessionId) {
    this.#chat?.open(sessionId);
    this.#emit("chat-select", { sessionId });
  }

  #startNew() {
    this.#chat?.clear();
    this.#chat?.focus();
    this.#emit("chat-select", { sessionId: null });
  }

  /** @param {SessionItem} session @param {(error: unknown) => void} show */
  async #delete(session, show) {
    try {
      await this.#chat?.client.sessions.delete(session.id);
    } catch (error) {
      return show(error);
    }
    if (session.id === this.#chat?.sessionId) this.#chat.clear();
  }

  /**
   * @template {keyof import("../chat-history.js").ChatHistoryEventMap} Type
   * @param {Type} type
   * @param {import("../chat-history.js").ChatHistoryEventMap[Type]["detail"]} detail
   */
  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}
