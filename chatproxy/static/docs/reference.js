// What the reference pages are made of.

import { copyText } from "../dom/clipboard.js";
import { byId, h, icon, iconButton } from "../dom/dom.js";

/** @param {string} title @param {Node[][]} rows each a `dt` and its `dd`s */
export const section = (title, rows) =>
  rows.length === 0 ? [] : [h("h4", {}, title), h("dl", {}, ...rows.flat())];

/** @param {string | number} text */
export const code = (text) => h("code", {}, String(text));

/**
 * Turn text in backticks into code.
 *
 * @param {string} text
 */
export const prose = (text) => text.split("`").map((part, index) => (index % 2 ? code(part) : part));

/** @param {string} label @param {() => string} text */
export function copyButton(label, text) {
  const button = iconButton("copy", label, async () => {
    try {
      await copyText(text());
      button.replaceChildren(icon("check"));
      byId("announcer").textContent = "Copied.";
    } catch (error) {
      byId("announcer").textContent = /** @type {Error} */ (error).message;
    }
  });
  return button;
}

/** Show what the address names: when the browser looked for it, it was not there yet. */
export function scrollToFragment() {
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}
