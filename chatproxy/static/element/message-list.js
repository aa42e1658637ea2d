// The conversation in its scrolling box: the messages, a button for earlier ones, and one to jump to the end.

import { h, icon } from "../dom/dom.js";
import { more } from "../markdown/needs.js";
import { MessageView } from "./message-view.js";
import { StickToBottom } from "./stick-to-bottom.js";

/** @typedef {import("../chat-interface.js").ConversationMessage} ConversationMessage */

export class MessageList {
  /** @type {Map<ConversationMessage, MessageView>} */
  #views = new Map();
  #context;
  #earlier;
  #notPrinted;
  #empty;
  #column;
  #log;
  #latest;
  #stick;

  /**
   * @param {import("./message-view.js").MessageContext} context
   * @param {{empty: HTMLElement, onearlier: () => Promise<unknown>}} more `empty` is shown without messages
   */
  constructor(context, { empty, onearlier }) {
    const { labels } = context;
    this.#context = context;
    const onclick = () => this.#loadEarlier(onearlier);
    this.#earlier = h(
      "button",
      { type: "button", class: "earlier quiet", hidden: true, onclick },
      labels.earlier,
    );
    this.#empty = empty;
    this.#notPrinted = h("p", { class: "paper-only", hidden: true }, labels.notPrinted);
    this.#column = h("div", { class: "column" }, this.#earlier, this.#notPrinted, this.#empty);
    const log = {
      class: "log",
      part: "messages",
      role: "log",
      "aria-live": "off",
      "aria-label": labels.log,
      tabindex: 0,
    };
    this.#log = h("div", log, this.#column);
    this.#log.addEventListener("copy", (event) => more.now?.copyFormulas(event));
    const latest = {
      type: "button",
      class: "latest",
      hidden: true,
      "aria-label": labels.latest,
      title: labels.latest,
    };
    this.#latest = h("button", { ...latest, onclick: () => this.scrollToEnd() }, icon("down"));
    this.element = h("div", { class: "scroller" }, this.#log, this.#latest);
    this.#stick = new StickToBottom(
      this.#log,
      this.#column,
      () => (this.#latest.hidden = this.#stick.active),
      (top) => this.#visibleAt(top),
    );
  }

  /**
   * Show these messages, keeping the views of those that are shown already.
   *
   * @param {ConversationMessage[]} messages
   * @param {{hasEarlier: boolean, loaded: boolean}} state `loaded`: an empty list is really empty
   */
  reset(messages, { hasEarlier, loaded }) {
    const kept = new Set(messages);
    for (const [message, view] of this.#views) {
      if (kept.has(message)) continue;
      view.remove();
      this.#views.delete(message);
    }
    for (const message of [...messages].reverse()) this.#getOrCreateView(message); // the last renders first
    /** @type {HTMLElement} */
    let previous = this.#empty;
    for (const message of messages) {
      const { element } = this.#getOrCreateView(message);
      if (previous.nextSibling !== element) previous.after(element);
      previous = element;
    }
    this.#earlier.hidden = this.#notPrinted.hidden = !hasEarlier;
    this.#empty.hidden = this.#views.size > 0 || !loaded;
  }

  /** @param {ConversationMessage} message */
  add(message) {
    this.#column.append(this.#getOrCreateView(message).element);
    this.#empty.hidden = true;
  }

  /** @param {ConversationMessage} message */
  view(message) {
    return this.#views.get(message);
  }

  /** Scroll to the end, and stay there while the text grows. */
  scrollToEnd() {
    this.#stick.activate();
  }

  /**
   * Scroll to a message, focus it, and mark it for a moment.
   *
   * @param {ConversationMessage} message
   */
  show(message) {
    const element = this.view(message)?.element;
    if (!element) return;
    this.#stick.release();
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: "start" });
    element.addEventListener("animationend", () => element.classList.remove("shown"), { once: true });
    element.classList.add("shown");
  }

  /** @param {ConversationMessage} message */
  #getOrCreateView(message) {
    let view = this.#views.get(message);
    if (!view) this.#views.set(message, (view = new MessageView(message, this.#context)));
    return view;
  }

  /**
   * Return the first message that ends below this position on the screen, or the part of its text that does.
   *
   * @param {number} top in pixels
   */
  #visibleAt(top) {
    /** @type {Element | undefined} */
    let message = firstBelow(this.#column.children, top);
    while (message && !message.matches(".message")) message = message.nextElementSibling ?? undefined;
    const content = message?.querySelector(".content");
    return (content && firstBelow(content.children, top)) ?? message;
  }

  /**
   * Insert earlier messages above without moving what is being read.
   *
   * @param {() => Promise<unknown>} onearlier
   */
  async #loadEarlier(onearlier) {
    this.#stick.release();
    await onearlier();
    if (this.#earlier.hidden) this.#log.focus({ preventScroll: true });
  }
}

/**
 * Return the first of some elements in a column that ends below a position on the screen, by halving.
 *
 * @param {HTMLCollection} elements
 * @param {number} top in pixels
 */
function firstBelow(elements, top) {
  let low = 0;
  let high = elements.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const bottom = elements[middle]?.getBoundingClientRect().bottom ?? 0;
    if (bottom > top) high = middle;
    else low = middle + 1;
  }
  return elements[low];
}
