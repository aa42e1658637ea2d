// What readers write themselves: shown as it was typed, with code between backticks as code.

import { h } from "../../dom/dom.js";

/** @type {import("../syntax.js").Syntax} */
export const typed = {
  extensions: [],
  blocks: { typed: (token, { inlines }) => h("p", { class: "plain" }, ...inlines(token)) },
};
