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

/**
 * Show code that can be copied.
 *
 * @param {string} title "" if it needs none
 * @param {string} text
 * @param {string} label of the button
 */
export const codeBox = (title, text, label) =>
  h(
    "figure",
    {},
    ...(title ? [h("figcaption", {}, title)] : []),
    h("div", { class: "curl" }, code(text), copyButton(label, () => text)),
  );

/**
 * Show what a server answered.
 *
 * @param {string} title
 * @param {string} text
 * @param {boolean} [open]
 */
export const example = (title, text, open = false) =>
  h("details", { class: "example", open }, h("summary", {}, title), output(title, text));

/** @param {string} label @param {string} text */
export const output = (label, text) =>
  h("pre", { tabindex: 0, role: "region", "aria-label": label }, text);

/** Show what the address names, and open what it is in: when the browser looked for it, it was not there yet. */
export function scrollToFragment() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  target?.querySelector("details")?.setAttribute("open", "");
  for (let each = target?.closest("details"); each; each = each.parentElement?.closest("details")) each.open = true;
  target?.scrollIntoView();
}
