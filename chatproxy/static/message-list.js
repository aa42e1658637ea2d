// The conversation as it scrolls: at the end as long as the reader is, and not a pixel further otherwise.

import { h, icon } from "./dom.js";
import { MessageView } from "./message-view.js";

const NEAR = 32; // pixels from the end that still count as being there

export class MessageList {
  /** @type {Map<import("./conversation.js").Message, MessageView>} */
  #views = new Map();
  #following = true;
  #top = 0;

  /** @param {import("./message-view.js").Surroundings} surroundings @param {{onearlier: () => Promise<void>}} handlers */
  constructor(surroundings, { onearlier }) {
    const { labels } = surroundings;
    this.surroundings = surroundings;
    this.earlier = h("button", { type: "button", class: "earlier quiet", hidden: true }, labels.earlier);
    this.earlier.addEventListener("click", () => this.#readEarlier(onearlier));
    this.empty = h("div", { class: "empty" }, h("slot", { name: "empty" }, h("p", {}, labels.empty)));
    this.column = h("div", { class: "column" }, this.earlier, this.empty);
    const log = { class: "log", part: "messages", role: "log", "aria-live": "off", "aria-label": labels.log, tabindex: 0 };
    this.log = h("div", log, this.column);
    this.latest = h("button", { type: "button", class: "latest", hidden: true, "aria-label": labels.latest, title: labels.latest });
    this.latest.append(icon("down"));
    this.latest.addEventListener("click", () => this.follow());
    this.element = h("div", { class: "scroller" }, this.log, this.latest);
    this.log.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.resizes = new ResizeObserver(() => this.#grown());
    this.resizes.observe(this.column);
    this.resizes.observe(this.log);
  }

  /**
   * @param {import("./conversation.js").Message[]} messages
   * @param {boolean} more there are earlier ones
   * @param {boolean} known these are all that there are; else there may be some, and nothing is said of none
   */
  reset(messages, more, known) {
    const kept = new Set(messages);
    for (const [message, view] of this.#views) {
      if (kept.has(message)) continue;
      view.remove();
      this.#views.delete(message);
    }
    let before = this.empty;
    for (const message of messages) {
      const { element } = this.#view(message);
      if (before.nextSibling !== element) before.after(element);
      before = element;
    }
    this.earlier.hidden = !more;
    this.empty.hidden = this.#views.size > 0 || !known;
  }

  /** @param {import("./conversation.js").Message} message */
  add(message) {
    this.column.append(this.#view(message).element);
    this.empty.hidden = true;
  }

  /** @param {import("./conversation.js").Message} message */
  view(message) {
    return this.#views.get(message);
  }

  /** @param {import("./conversation.js").Message} message */
  #view(message) {
    let view = this.#views.get(message);
    if (!view) this.#views.set(message, (view = new MessageView(message, this.surroundings)));
    return view;
  }

  /** What is being read stays where it is; what is earlier comes above it. @param {() => Promise<void>} onearlier */
  async #readEarlier(onearlier) {
    const below = this.#fromEnd();
    this.#following = false;
    await onearlier();
    this.log.scrollTop += this.#fromEnd() - below;
    if (this.earlier.hidden) this.log.focus({ preventScroll: true });
  }

  /** Goes to the end, and stays there. */
  follow() {
    this.#following = true;
    this.#grown();
  }

  #grown() {
    if (this.#following) {
      this.log.scrollTop = this.log.scrollHeight;
      this.#top = this.log.scrollTop; // as far as it goes: where it is now, and not below
    }
    this.#showLatest();
  }

  /** Upwards it lets go; at the end it takes hold again. */
  #scrolled() {
    const { scrollTop } = this.log;
    if (this.#fromEnd() <= NEAR) this.#following = true;
    else if (scrollTop < this.#top) this.#following = false;
    this.#top = scrollTop;
    this.#showLatest();
  }

  #fromEnd() {
    return this.log.scrollHeight - this.log.clientHeight - this.log.scrollTop;
  }

  #showLatest() {
    this.latest.hidden = this.#following;
  }
}
