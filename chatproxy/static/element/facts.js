// What is known of an answer beside its text: its model, why it was that one, what it took, and when. A line, and at
// a click or a tap all of it.

import { h } from "../dom/dom.js";

/**
 * @typedef {import("../chat-interface.js").ConversationMessage} ConversationMessage
 * @typedef {import("../chat-interface.js").Labels} Labels
 */

export class Facts {
  #labels;
  #list = h("ul", { class: "facts-list", hidden: true });

  /** @param {Labels} labels */
  constructor(labels) {
    this.#labels = labels;
    this.button = h("button", { type: "button", class: "facts", title: labels.facts, hidden: true });
    this.button.addEventListener("click", () => this.#toggle());
    this.element = this.#list;
    this.#describe();
  }

  /** @param {ConversationMessage} message an answer */
  show({ model, modelReason, usage, createdAt }) {
    const labels = this.#labels;
    const { tokensPerSecond, promptTokens, completionTokens, timeToFirstTokenMs, totalMs } = usage ?? {};
    const written = createdAt ? labels.written(new Date(createdAt)) : null;
    const rate = tokensPerSecond ? labels.generating(tokensPerSecond) : null;
    this.button.textContent = [model, rate, written].filter(Boolean).join(" · ");
    this.button.hidden = !this.button.textContent;
    const facts = [
      model && (modelReason ? labels.chosen(model, modelReason) : model),
      completionTokens != null && labels.tokens(promptTokens ?? null, completionTokens),
      rate,
      totalMs != null && labels.took(seconds(timeToFirstTokenMs), totalMs / 1000),
      createdAt && labels.moment(new Date(createdAt)),
    ];
    this.#list.replaceChildren(...facts.filter(Boolean).map((fact) => h("li", {}, String(fact))));
  }

  #toggle() {
    this.#list.hidden = !this.#list.hidden;
    this.#describe();
  }

  #describe() {
    this.button.setAttribute("aria-expanded", String(!this.#list.hidden));
  }
}

/** @param {number | null | undefined} ms */
const seconds = (ms) => (ms == null ? null : ms / 1000);
