// Comments of HTML, which are not shown: `<!-- … -->`. One that does not end soon is text.

import { h } from "../../dom/dom.js";

const INLINE = /^<!--[\s\S]*?-->/;
const BLOCK = /^ {0,3}<!--([\s\S]*?)-->[ \t]*(?:\n|$)/;
const OPENING = /^<!--/;
const INDENTED = /^ {0,3}<!--/;
const LONGEST = 2000; // characters

/** @type {import("../syntax.js").Syntax} */
export const comments = {
  extensions: [
    {
      name: "comment",
      level: "inline",
      start: (text) => /<!--/.exec(text)?.index,
      tokenizer(text) {
        if (!OPENING.test(text)) return undefined;
        const raw = INLINE.exec(text.slice(0, LONGEST))?.[0];
        return raw === undefined ? { type: "text", raw: "<!--", text: "<!--" } : { type: "comment", raw };
      },
    },
    {
      name: "comment",
      level: "block",
      tokenizer(text) {
        if (!INDENTED.test(text)) return undefined;
        const raw = BLOCK.exec(text.slice(0, LONGEST))?.[0];
        if (raw !== undefined) return { type: "comment", raw };
        const open = text.length < LONGEST && !text.includes("-->");
        return open ? { type: "comment", raw: text, open } : undefined;
      },
    },
  ],
  tokenizer: { html: (text) => (INDENTED.test(text) ? undefined : false) },
  blocks: {
    comment({ raw, open }, { context }) {
      return open && !context.growing ? h("p", { class: "plain" }, raw.trimEnd()) : null;
    },
  },
  inlines: { comment: () => document.createDocumentFragment() },
};
