// Footnotes: `[^1]` in the text, and `[^1]: …` anywhere before or behind it. A note is shown where it was written.
// What refers to one is a link as soon as the note is there (footnotes.js), and until then as it was written.

import { h } from "../../dom/dom.js";

const REFERENCE = /^\[\^([^\s[\]]{1,64})\](?!\()/;
const NOTE = /^ {0,3}\[\^([^\s[\]]{1,64})\]:[ \t]*/;
const NOTE_BELOW = /\n {0,3}\[\^[^\s[\]]{1,64}\]:/;
const BLOCK = /^ {0,3}(?:\[\^|[#>|]|`{3}|~{3}|[*+-][ \t]|\d{1,9}[.)][ \t])/;

/** @type {import("../syntax.js").Syntax} */
export const footnotes = {
  extensions: [
    {
      name: "footnoteReference",
      level: "inline",
      start: (text) => /\[\^/.exec(text)?.index,
      tokenizer(text) {
        const [raw, label] = REFERENCE.exec(text) ?? [];
        return raw === undefined ? undefined : { type: "footnoteReference", raw, label };
      },
    },
    {
      name: "footnote",
      level: "block",
      start(text) {
        const found = NOTE_BELOW.exec(text);
        return found ? found.index + 1 : undefined;
      },
      tokenizer(text) {
        const [opening, label] = NOTE.exec(text) ?? [];
        if (opening === undefined) return undefined;
        const raw = text.slice(0, endOf(text, opening.length));
        const inside = raw.slice(opening.length).replace(/^(?: {1,4}|\t)/gm, "");
        const { state } = this.lexer;
        const { top } = state;
        state.top = true;
        const tokens = this.lexer.blockTokens(inside, []);
        state.top = top;
        return { type: "footnote", raw, label, tokens };
      },
    },
  ],
  blocks: {
    footnote({ label = "", tokens }, { blocks, context, continuation }) {
      const { footnotes } = context;
      const number = continuation || !footnotes ? [] : [footnotes.number(label)];
      const text = h("div", {}, ...blocks({ type: "footnote", raw: "", tokens }));
      return h("div", { class: "footnote", role: "note", tabindex: -1, "data-label": label }, ...number, text);
    },
  },
  inlines: {
    footnoteReference: ({ label = "", raw }, { context }) => context.footnotes?.reference(label, raw) ?? null,
  },
};

/**
 * Return where a note ends: before a line that is another block, or behind an empty one before what is not indented.
 *
 * @param {string} text
 * @param {number} start behind the label
 */
function endOf(text, start) {
  let end = text.indexOf("\n", start);
  let next = end;
  while (next >= 0) {
    const line = /[^\n]*/y;
    line.lastIndex = next + 1;
    const [words = ""] = line.exec(text) ?? [];
    const after = next + 1 + words.length;
    const belongs = /^(?: {2}|\t)/.test(words) || (end === next && words.trim() && !BLOCK.test(words));
    if (words.trim() && !belongs) return end;
    if (belongs) end = after;
    next = text.indexOf("\n", after);
  }
  return end < 0 ? text.length : end;
}
