// The conversation as it scrolls: its messages, what is earlier, and the way to the end.

import { h, icon } from "../dom/dom.js";
import { Follower } from "./stick-to-bottom.js";
import { MessageView } from "./message-view.js";

export class MessageList {
  /** @type {Map<import("./conversation.js").Message, MessageView>} */
  #views = new Map();

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
    this.follower = new Follower(this.log, this.column, () => this.#showLatest());
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
    const below = this.follower.fromEnd;
    this.follower.following = false;
    await onearlier();
    this.log.scrollTop += this.follower.fromEnd - below;
    if (this.earlier.hidden) this.log.focus({ preventScroll: true });
  }

  /** Goes to the end, and stays there. */
  follow() {
    this.follower.follow();
  }

  #showLatest() {
    this.latest.hidden = this.follower.following;
  }
}
