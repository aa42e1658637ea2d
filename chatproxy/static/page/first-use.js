// What an empty page offers to try: what goes on in a second tab, survives a reload, or can be stopped.

import { h } from "../dom/dom.js";
import { texts } from "./texts.js";

const TEXTS = texts.page.firstUse;

/** @param {HTMLElement} element in the slot for suggestions of the element */
export function offerFirstUse(element) {
  element.append(...TEXTS.map(({ label, message }) => h("button", { type: "button", value: message }, label)));
}
