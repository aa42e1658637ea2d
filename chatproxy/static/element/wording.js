// The texts of an element: those that the page sets, and the others in the language of the place where it stands, or
// else of the browser.

import { languageOf, loadTexts } from "../texts/languages.js";

/** @typedef {import("../texts/languages.js").Texts} Texts */

/** @template {object} Labels */
export class Wording {
  #element;
  #english;
  #pick;
  /** @type {Labels} */
  #translated;
  /** @type {Partial<Labels>} */
  #own = {};
  #language = "en";
  /** @type {Promise<void> | undefined} */
  #loading;
  /** @type {Labels} another object when there are others */
  labels;

  /** @param {Element} element @param {Labels} english @param {(texts: Texts) => Labels} pick */
  constructor(element, english, pick) {
    this.#element = element;
    this.#english = this.#translated = this.labels = english;
    this.#pick = pick;
  }

  /**
   * Replace some of the labels.
   *
   * @param {Partial<Labels> | null | undefined} own
   */
  replace(own) {
    this.#own = own ?? {};
    this.#merge();
  }

  /** Load the labels in the element's language. */
  async load() {
    const language = languageOf([languageAt(this.#element), ...navigator.languages]);
    if (language !== this.#language) this.#loading = this.#turnTo(language);
    await this.#loading;
  }

  /** @param {string} language */
  async #turnTo(language) {
    this.#language = language;
    const texts = await loadTexts(language);
    if (language !== this.#language) return; // it has changed again
    this.#translated = texts ? this.#pick(texts) : this.#english;
    this.#merge();
  }

  #merge() {
    const texts = /** @type {Record<string, unknown>} */ (this.#translated);
    const all = Object.entries({ ...texts, ...this.#own }).map(([name, text]) => {
      const group = texts[name]; // such as `errors`, of which some may be replaced, too
      return [name, typeof group === "object" ? { ...group, .../** @type {object} */ (text) } : text];
    });
    this.labels = Object.fromEntries(all);
  }
}

/** @param {Element} element @returns {string} the value of the nearest attribute `lang`, also outside of shadow trees */
function languageAt(element) {
  const found = element.closest("[lang]")?.getAttribute("lang");
  const root = element.getRootNode();
  return found ?? (root instanceof ShadowRoot ? languageAt(root.host) : "");
}
