// The footnotes of one text: what refers to a note becomes a link to it when the note is there, which may be later.
// There are no ids, which could collide with others: a link finds its target among the elements of the text.

import { h } from "../dom/dom.js";

export class Footnotes {
  #container;
  #labels;
  /** @type {Set<string>} of the notes that there are */
  #known = new Set();
  #linked = 0; // how many of them were known when references became links

  /** @param {HTMLElement} container @param {import("../chat-interface.js").Labels} labels */
  constructor(container, labels) {
    this.#container = container;
    this.#labels = labels;
  }

  /**
   * Create what refers to a note.
   *
   * @param {string} label
   * @param {string} raw how it was written, which is shown while there is no such note
   */
  reference(label, raw) {
    const reference = h("span", { class: "footnote-reference", "data-label": label }, raw);
    if (this.#known.has(label)) this.#makeLink(reference);
    return reference;
  }

  /**
   * Create the label of a note, a link to what refers to it first.
   *
   * @param {string} label
   */
  number(label) {
    this.#known.add(label);
    const back = h("a", { class: "reference", href: "#", title: this.#labels.footnoteBack }, label);
    return this.#goTo(back, () => this.#find(".footnote-reference", label)?.querySelector("a"));
  }

  /** Make links of the references to notes that have become known. */
  link() {
    if (this.#linked === this.#known.size) return;
    this.#linked = this.#known.size;
    for (const reference of this.#container.querySelectorAll(".footnote-reference")) {
      if (!reference.firstElementChild && this.#isKnown(reference)) this.#makeLink(reference);
    }
  }

  /** @param {Element} reference */
  #isKnown(reference) {
    return this.#known.has(/** @type {HTMLElement} */ (reference).dataset.label ?? "");
  }

  /** @param {Element} reference */
  #makeLink(reference) {
    const label = /** @type {HTMLElement} */ (reference).dataset.label ?? "";
    const name = this.#labels.footnote(label);
    const link = h("a", { class: "reference", href: "#", "aria-label": name, title: name }, label);
    reference.replaceChildren(h("sup", {}, this.#goTo(link, () => this.#find(".footnote", label))));
  }

  /** @param {HTMLElement} link @param {() => HTMLElement | null | undefined} target */
  #goTo(link, target) {
    link.addEventListener("click", (event) => {
      event.preventDefault(); // it is in a shadow tree, which no fragment reaches
      target()?.scrollIntoView({ block: "nearest" });
      target()?.focus({ preventScroll: true });
    });
    return link;
  }

  /** @param {string} selector @param {string} label */
  #find(selector, label) {
    const all = /** @type {NodeListOf<HTMLElement>} */ (this.#container.querySelectorAll(selector));
    return [...all].find((element) => element.dataset.label === label);
  }
}
