// The sources of an answer: a row of chips. One at a time shows its passage below the row.

import { h } from "../dom/dom.js";

/**
 * @typedef {import("../types.js").Source} Source
 * @typedef {import("../chat-interface.js").Labels} Labels
 */

export class Sources {
  #sources;
  #labels;
  #chips;
  #snippet = h("blockquote", { class: "snippet", dir: "auto", hidden: true, tabindex: 0 });

  /** @param {Source[]} sources @param {Labels} labels */
  constructor(sources, labels) {
    this.#sources = sources;
    this.#labels = labels;
    this.#chips = sources.map((source, index) => this.#chip(source, index + 1));
    const items = this.#chips.map((chip) => h("li", {}, chip));
    const list = h("ul", { "aria-label": labels.sources }, ...items);
    this.element = h("div", { class: "sources", part: "sources" }, list, this.#snippet);
  }

  /**
   * Create the link for a `[1]` in the answer; null if there is no such source.
   *
   * @param {number} number
   */
  reference(number) {
    const source = this.#sources[number - 1];
    const chip = this.#chips[number - 1];
    if (!source || !chip) return null;
    const label = this.#labels.source(number, source.title);
    const attributes = { class: "reference", href: `#source-${number}`, title: label, "aria-label": label };
    const link = h("a", attributes, String(number));
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the chip is in a shadow tree, which no fragment reaches
      if (chip.getAttribute("aria-expanded") !== "true") chip.click();
      chip.focus();
    });
    return link;
  }

  /** @param {Source} source @param {number} number */
  #chip(source, number) {
    const title = this.#labels.source(number, source.title);
    const attributes = { type: "button", class: "chip", dir: "auto", "aria-expanded": "false", title };
    const chip = h("button", attributes, h("b", {}, String(number)), " ", source.title);
    chip.addEventListener("click", () => this.#toggle(chip, source));
    return chip;
  }

  /** @param {HTMLElement} chip @param {Source} source */
  #toggle(chip, source) {
    const open = chip.getAttribute("aria-expanded") !== "true";
    for (const other of this.#chips) other.setAttribute("aria-expanded", String(open && other === chip));
    this.#snippet.textContent = open ? source.snippet : "";
    this.#snippet.hidden = !open;
  }
}
