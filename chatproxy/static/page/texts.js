// The page's texts, in the language of the browser.
//
// This comes before the elements: they follow the language of the page.

import * as english from "../texts/en.js";
import { languageOf, loadTexts } from "../texts/languages.js";

/** @typedef {import("../texts/languages.js").Texts} Texts */

const ATTRIBUTES = ["aria-label", "title", "placeholder"];

const root = document.documentElement;
root.lang = languageOf(navigator.languages);

/** @type {Texts | typeof english} */
export const texts = (await loadTexts(root.lang)) ?? english;
if (texts === english) root.lang = "en";

/** Translate what the page says before there are scripts. */
export function translateMarkup() {
  if (!("markup" in texts)) return;
  const { markup } = texts;
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const node = nodes.currentNode;
    if (node instanceof Text) node.data = translated(node.data, markup);
    if (!(node instanceof Element)) continue;
    for (const name of ATTRIBUTES) {
      const text = node.getAttribute(name);
      if (text) node.setAttribute(name, translated(text, markup));
    }
  }
}

/** @param {string} text @param {Readonly<Record<string, string>>} markup */
const translated = (text, markup) => {
  const english = text.trim();
  return Object.hasOwn(markup, english) ? text.replace(english, () => markup[english] ?? "") : text;
};
