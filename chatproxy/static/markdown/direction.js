// The direction of what is no prose: names of files, versions, options and figures stay left to right in text that is
// written from right to left, where their signs would change places (`--amend`, `-5`, `2024-01-15`, `C++`).

import { h } from "../dom/dom.js";

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
const TECHNICAL = /([-+~$#@/\\.]{0,3}[A-Za-z\d][\w\-+.,:/\\@#%$&=~^<>]*)/;
const ENDS = /(?<![.,:;<])[.,:;<]+$/; // that of the sentence
const SIGN = /[^A-Za-z\d]/;

/**
 * Create what shows a text, with what is technical in it isolated.
 *
 * @param {string} words
 * @returns {Node}
 */
export function withDirections(words) {
  if (!RIGHT_TO_LEFT.test(words)) return document.createTextNode(words);
  const all = document.createDocumentFragment();
  words.split(TECHNICAL).forEach((part, index) => {
    const name = index % 2 ? part.replace(ENDS, "") : "";
    if (SIGN.test(name)) all.append(h("bdi", { dir: "ltr" }, name), part.slice(name.length));
    else all.append(part);
  });
  all.normalize();
  return all;
}
