// What an empty session shows: a greeting, and suggestions of what to ask.

import { h } from "../dom/dom.js";

export class Welcome {
  #greeting;
  #suggestions;
  #onsend;

  /**
   * @param {import("../chat-interface.js").Labels} labels
   * @param {(message: string) => void} onsend called with the suggestion that is chosen
   */
  constructor(labels, onsend) {
    this.#onsend = onsend;
    this.#greeting = h("p", { dir: "auto" });
    const group = {
      class: "suggestions",
      part: "suggestions",
      role: "group",
      "aria-label": labels.suggestions,
    };
    this.#suggestions = h("div", group);
    const onclick = (/** @type {Event} */ event) => this.#sendSlotted(event);
    this.element = h(
      "div",
      { class: "empty" },
      h("slot", { name: "empty" }, this.#greeting),
      h("slot", { name: "suggestions", onclick }, this.#suggestions),
    );
  }

  /** @param {string} text */
  set greeting(text) {
    this.#greeting.textContent = text;
  }

  /** @param {readonly string[]} suggestions */
  set suggestions(suggestions) {
    const buttons = suggestions.map((suggestion) => {
      const onclick = () => this.#onsend(suggestion);
      return h(
        "button",
        { type: "button", class: "suggestion", part: "suggestion", dir: "auto", onclick },
        suggestion,
      );
    });
    this.#suggestions.replaceChildren(...buttons);
    this.#suggestions.hidden = buttons.length === 0;
  }

  /** Whether the suggestions can be chosen. */
  set disabled(/** @type {boolean} */ disabled) {
    for (const button of this.#suggestions.querySelectorAll("button")) button.disabled = disabled;
  }

  /**
   * Send what a button of the page's says: its value, or else its text.
   *
   * @param {Event} event
   */
  #sendSlotted(event) {
    const button = /** @type {Element} */ (event.target).closest("button");
    if (button && button.getRootNode() !== this.element.getRootNode()) {
      this.#onsend(button.value || (button.textContent ?? "").trim());
    }
  }
}
