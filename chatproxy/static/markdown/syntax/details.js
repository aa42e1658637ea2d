// `<details>`: blocks of Markdown behind a summary. It ends at its own end tag, at any depth, or with the text.

import { h } from "../../dom/dom.js";
import { fenced } from "./fences.js";

/** @typedef {import("../markdown.js").Token} Token */

const MAX_DEPTH = 8;
const OPENING = /^ {0,3}<details(?:[\s/][^<>]*)?>/i;
const SUMMARY = /^\s*<summary(?:[\s/][^<>]*)?>([\s\S]*?)(?:<\/summary\s*>|\n[ \t]*\n|$)/i;
const PART = /<(\/?)details(?:[\s/][^<>]*)?>|^ {0,3}(`{3}|~{3})|`[^`\n]+`/gim;

/** @type {import("../syntax.js").Syntax} */
export const details = {
  extensions: [
    {
      name: "details",
      level: "block",
      tokenizer(text) {
        const opening = OPENING.exec(text)?.[0];
        const { state } = this.lexer;
        const { top, detailsDepth = 0 } = state;
        if (!opening || detailsDepth >= MAX_DEPTH) return undefined;
        const { inside, raw, open } = endOf(text, opening.length);
        const [header = "", summary = ""] = SUMMARY.exec(inside) ?? [];
        state.detailsDepth = detailsDepth + 1;
        state.top = true;
        const tokens = this.lexer.blockTokens(inside.slice(header.length), []);
        state.detailsDepth = detailsDepth;
        state.top = top;
        const title = { type: "summary", raw: header, tokens: this.lexer.inline(summary.trim(), []) };
        return { type: "details", raw, open, opening: opening + header, summary: title, tokens };
      },
    },
  ],
  blocks: {
    details({ summary, tokens }, { inlines, blocks, continuation }) {
      const title = summary?.raw ? [h("summary", {}, ...inlines(summary))] : []; // else the browser's own word
      return h("details", {}, ...title, ...blocks({ type: "details", raw: "", tokens }, continuation?.inner));
    },
  },
};

/**
 * Return what is between a start tag and its end tag, and all up to behind that.
 *
 * @param {string} text
 * @param {number} start the index behind the start tag
 */
function endOf(text, start) {
  let depth = 1;
  PART.lastIndex = start;
  for (let match = PART.exec(text); match; match = PART.exec(text)) {
    const [, slash, fence] = match;
    if (fence) PART.lastIndex = match.index + (fenced(text.slice(match.index))?.end ?? 3);
    else if (slash !== undefined) depth += slash ? -1 : 1;
    if (depth === 0) return { inside: text.slice(start, match.index), raw: text.slice(0, PART.lastIndex), open: false };
  }
  return { inside: text.slice(start), raw: text, open: true };
}
