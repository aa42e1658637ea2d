// ‹ 1/2 ›: the way through the versions of an answer. The latest is the conversation's; earlier ones are only shown.

import { h, iconButton } from "../dom/dom.js";

/**
 * @typedef {import("../chat-interface.js").ConversationMessage} ConversationMessage
 * @typedef {import("../chat-interface.js").Labels} Labels
 */

export class VersionSwitch {
  #labels;
  #onswitch;
  #number = h("span", { class: "version-number" });
  #previous;
  #next;
  #shown = 1;
  #total = 1;

  /** @param {Labels} labels @param {(number: number) => void} onswitch is given the number of a version, from 1 */
  constructor(labels, onswitch) {
    this.#labels = labels;
    this.#onswitch = onswitch;
    this.#previous = iconButton("previous", labels.previousVersion, () => this.#go(-1));
    this.#next = iconButton("next", labels.nextVersion, () => this.#go(+1));
    const attributes = { class: "versions", role: "group", "aria-label": labels.versions };
    this.element = h("span", attributes, this.#previous, this.#number, this.#next);
  }

  /** @param {number} shown from 1 @param {number} total */
  show(shown, total) {
    this.#shown = shown;
    this.#total = total;
    this.element.hidden = total < 2;
    this.#number.textContent = `${shown}/${total}`;
    this.#number.setAttribute("aria-label", this.#labels.version(shown, total));
    this.#previous.setAttribute("aria-disabled", String(shown === 1));
    this.#next.setAttribute("aria-disabled", String(shown === total));
  }

  /** @param {number} step */
  #go(step) {
    const number = this.#shown + step;
    if (number >= 1 && number <= this.#total) this.#onswitch(number);
  }
}
