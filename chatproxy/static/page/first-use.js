// What an empty page offers to try: what goes on in a second tab, survives a reload, or can be stopped.

import { h } from "../dom/dom.js";

/** What is shown, and the message that is sent. */
const TEXTS = [
  {
    label: "Write a long story, then open this page in a second tab",
    message: "Write a long story about a lighthouse keeper who finds a letter from the future.",
  },
  {
    label: "Explain something at length, then reload the page in the middle",
    message: "Explain at length and step by step what happens when somebody opens a web page.",
  },
  {
    label: "Count to a thousand, then stop it",
    message: "Count from one to a thousand in words.",
  },
];

/** @param {HTMLElement} element in the slot for suggestions of the element */
export function offerFirstUse(element) {
  element.append(...TEXTS.map(({ label, message }) => h("button", { type: "button", value: message }, label)));
}
