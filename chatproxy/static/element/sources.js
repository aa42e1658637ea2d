// The sources of an answer: a row of chips. One at a time shows its passage below the row, with what was found marked.

import { h, icon } from "../dom/dom.js";
import { marked } from "../dom/marked.js";

/**
 * @typedef {import("../types.js").Source} Source
 * @typedef {import("../chat-interface.js").Labels} Labels
 */

export class Sources {
  #labels;
  /** @type {Source[]} */
  #sources = [];
  /** @type {HTMLElement[]} */
  #chips = [];
  #list;
  #snippet = h("blockquote", { class: "snippet", dir: "auto", hidden: true, tabindex: 0 });
  #shown = ""; // the snippet that is open

  /** @param {Labels} labels */
  constructor(labels) {
    this.#labels = labels;
    this.#list = h("ul", { "aria-label": labels.sources });
    this.element = h("div", { class: "sources", part: "sources" }, this.#list, this.#snippet);
  }

  /**
   * Show other sources, or more about the same ones. Chips stay, with their focus, as links in the answer name them.
   *
   * @param {Source[]} sources
   */
  show(sources) {
    this.#sources = sources;
    while (this.#chips.length < sources.length) this.#addChip();
    for (const chip of this.#chips.splice(sources.length)) chip.parentElement?.remove();
    this.#chips.forEach((chip, index) => this.#describe(chip, index + 1));
    this.#showSnippet();
  }

  /**
   * Create the link for a `[1]` in the answer; null if there is no such source.
   *
   * @param {number} number
   */
  reference(number) {
    const source = this.#sources[number - 1];
    if (!source) return null;
    const label = this.#labels.source(number, source.title);
    const attributes = { class: "reference", href: `#source-${number}`, title: label, "aria-label": label };
    const link = h("a", attributes, String(number));
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the chip is in a shadow tree, which no fragment reaches
      const chip = this.#chips[number - 1];
      if (chip?.getAttribute("aria-expanded") !== "true") chip?.click();
      chip?.focus();
    });
    return link;
  }

  #addChip() {
    const chip = h("button", { type: "button", class: "chip", dir: "auto", "aria-expanded": "false" });
    chip.addEventListener("click", () => {
      const open = chip.getAttribute("aria-expanded") !== "true";
      for (const other of this.#chips) other.setAttribute("aria-expanded", String(open && other === chip));
      this.#showSnippet();
    });
    this.#chips.push(chip);
    this.#list.append(h("li", {}, chip));
  }

  /**
   * Write on a chip what its source is: number, title, page or heading, and whether the answer cites it.
   *
   * @param {HTMLElement} chip
   * @param {number} number
   */
  #describe(chip, number) {
    const labels = this.#labels;
    const { title, page, heading, cited } = /** @type {Source} */ (this.#sources[number - 1]);
    const place = page ? labels.page(page) : heading;
    const state = cited ? labels.cited : cited === false ? labels.uncited : null;
    chip.title = [labels.source(number, title), page && labels.page(page), heading, state].filter(Boolean).join(" · ");
    chip.classList.toggle("uncited", cited === false);
    const parts = [
      h("b", {}, String(number)),
      h("span", { class: "title" }, title),
      ...(place ? [h("span", { class: page ? "place page" : "place" }, place)] : []),
      ...(cited ? [icon("check")] : []),
      ...(state ? [h("span", { class: "unseen" }, state)] : []),
    ];
    chip.replaceChildren(...parts.flatMap((part) => [part, " "]));
  }

  #showSnippet() {
    const open = this.#chips.findIndex((chip) => chip.getAttribute("aria-expanded") === "true");
    const source = this.#sources[open];
    const shown = source ? JSON.stringify([source.snippet, source.found]) : "";
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#snippet.hidden = !source;
    this.#snippet.replaceChildren(...(source ? marked(source) : []));
    if (!source) return;
    this.#snippet.scrollIntoView({ block: "nearest" });
    this.#snippet.scrollTop = 0;
    const start = this.#snippet.getBoundingClientRect().top;
    const marks = [...this.#snippet.querySelectorAll("mark")].map((mark) => {
      const { top, bottom } = mark.getBoundingClientRect();
      return { text: mark.textContent ?? "", top: top - start, bottom: bottom - start };
    });
    this.#snippet.scrollTop = proof(marks, this.#snippet.clientHeight);
  }
}

/**
 * Return what to scroll to: where the most different text of what was found is seen at once.
 *
 * @param {{ text: string, top: number, bottom: number }[]} marks in the order of the passage
 * @param {number} height of what is seen
 */
function proof(marks, height) {
  let most = 0;
  let best = 0;
  for (const mark of marks) {
    const begin = Math.max(0, mark.top - height / 3); // some of what comes before it stays in view
    const seen = marks.filter(({ top, bottom }) => top >= begin && bottom <= begin + height);
    const length = [...new Set(seen.map(({ text }) => text.toLowerCase()))].join("").length;
    if (length > most) [most, best] = [length, begin];
  }
  return best;
}
