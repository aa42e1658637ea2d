// The sources of an answer: a row of chips, of which one at a time shows its snippet below.

import { h } from "../dom/dom.js";

export class Sources {
  /** @param {any[]} sources @param {import("./labels.js").Labels} labels */
  constructor(sources, labels) {
    this.snippet = h("blockquote", { class: "snippet", dir: "auto", hidden: true, tabindex: 0 });
    this.chips = sources.map((source, index) => this.#chip(source, index + 1, labels));
    const items = this.chips.map((chip) => h("li", {}, chip));
    this.element = h("div", { class: "sources", part: "sources" }, h("ul", { "aria-label": labels.sources }, ...items));
    this.element.append(this.snippet);
    this.labels = labels;
    this.sources = sources;
  }

  /** @param {any} source @param {number} number @param {import("./labels.js").Labels} labels */
  #chip(source, number, labels) {
    const title = labels.source(number, source.title);
    const chip = h("button", { type: "button", class: "chip", dir: "auto", "aria-expanded": "false", title }, h("b", {}, String(number)), " ", source.title);
    chip.addEventListener("click", () => this.#toggle(chip, source));
    return chip;
  }

  /** @param {HTMLElement} chip @param {any} source */
  #toggle(chip, source) {
    const open = chip.getAttribute("aria-expanded") !== "true";
    for (const other of this.chips) other.setAttribute("aria-expanded", String(open && other === chip));
    this.snippet.textContent = open ? source.snippet : "";
    this.snippet.hidden = !open;
  }

  /** The link that a `[1]` in the answer becomes. @param {number} number @returns {HTMLElement | null} */
  reference(number) {
    const chip = this.chips[number - 1];
    if (!chip) return null;
    const name = this.labels.source(number, this.sources[number - 1].title);
    const link = h("a", { class: "reference", href: `#source-${number}`, title: name, "aria-label": name }, String(number));
    link.addEventListener("click", (/** @type {Event} */ event) => {
      event.preventDefault(); // the chip is in a shadow tree, where no address leads
      if (chip.getAttribute("aria-expanded") !== "true") chip.click();
      chip.focus();
    });
    return link;
  }
}
