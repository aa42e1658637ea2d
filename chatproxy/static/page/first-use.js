// What an empty page offers to try: what goes on in a second tab, survives a reload, or can be stopped. The
// stand-in for Ollama has tricks of its own instead.

import { h } from "../dom/dom.js";
import { texts } from "./texts.js";

const TEXTS = texts.page.firstUse;
// In English, as are the words that it understands (command/demo_answers.py) and its answers.
const TRICKS = [
  "Show me everything that you can write",
  "Think before you answer",
  "Answer like a slow model",
  "Write something long, so that I can reload the page",
  "Fail half-way through",
];

/** @param {HTMLElement} element in the slot for suggestions of the element */
export function offerFirstUse(element) {
  element.append(...TEXTS.map(({ label, message }) => h("button", { type: "button", value: message }, label)));
}

/** @param {HTMLElement} element the same, where answers come from the stand-in, with what this page is about */
export function offerTricks(element) {
  if (element.querySelector("p")) return;
  const tricks = TRICKS.map((trick) => h("button", { type: "button", lang: "en" }, trick));
  element.replaceChildren(h("p", {}, texts.page.ollama.demo), ...tricks);
}
