// Tags of HTML that models write for what Markdown has no other way, as in the cell of a table. Those of this short
// list become elements, without their attributes. One without its partner is text, as are all others.

import { h } from "../../dom/dom.js";

/** @typedef {import("../syntax.js").Render} Render */

const TAG = /^<(\/?)([A-Za-z]+)(?:[\s/](?:[^"'<>]|"[^"<>]*"|'[^'<>]*')*)?>/;
const LINE_END = /^[ \t]*\n[ \t]*/; // a line that ends with a `<br>` ends once
const INLINE = "b strong i em u s del ins sub sup kbd mark small code samp var abbr cite q".split(" ");
const NAMES = [...INLINE, "ul", "ol", "li", "details", "summary"];

/** @type {import("../syntax.js").Syntax} */
export const tags = {
  extensions: [
    {
      name: "tag",
      level: "inline",
      start: (text) => /</.exec(text)?.index,
      tokenizer(text) {
        const [raw = "", slash, written = ""] = TAG.exec(text) ?? [];
        const name = written.toLowerCase();
        if (name === "br") return { type: name, raw: raw + (LINE_END.exec(text.slice(raw.length))?.[0] ?? "") };
        if (name === "wbr") return { type: name, raw };
        return NAMES.includes(name) ? { type: "tag", raw, name, opens: !slash, closing: Boolean(slash) } : undefined;
      },
    },
  ],
  tokenizer: { html: (text) => (isInline(TAG.exec(text.trimStart())?.[2]) ? undefined : false) },
  inlines: {
    wbr: () => h("wbr"),
    ...Object.fromEntries(NAMES.map((name) => [name, paired(name)])),
  },
};

/** @param {string} name @returns {Render} */
function paired(name) {
  return (token, { inlines }) => h(/** @type {"b"} */ (name), {}, ...inlines(token));
}

/** @param {string} [name] @returns {boolean} whether a line that begins with such a tag is like any other */
function isInline(name = "") {
  return /^w?br$/i.test(name) || INLINE.includes(name.toLowerCase());
}
