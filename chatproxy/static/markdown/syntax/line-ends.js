// Where a single line end is shown as one: models write addresses, poems and `Key: value` lines with them. Prose
// that is wrapped at a fixed width flows: there, a line is neither short nor very long, and the next one begins in
// the middle of a sentence, or follows lines that do.

const END = /^ *\n[ \t]*/;
const LOWER = /^[*_`"'“‘([]*\p{Ll}/u;
const SHORTEST = 60; // characters of a line that was wrapped
const LONGEST = 120;

/** @typedef {import("../markdown.js").Token} Token */

/** @type {import("../syntax.js").Syntax} */
export const lineEnds = {
  extensions: [
    {
      name: "lineEnd",
      level: "inline",
      start(text) {
        let index = text.indexOf("\n");
        while (text[index - 1] === " ") index -= 1;
        return index;
      },
      tokenizer(text, tokens) {
        const raw = END.exec(text)?.[0];
        if (!raw || raw.length === text.length) return undefined;
        const flows = !raw.startsWith("  ") && isWrapped(tokens, text.slice(raw.length));
        return flows ? { type: "text", raw, text: "\n" } : { type: "br", raw };
      },
    },
  ],
};

/**
 * Return whether the line before a line end is one of prose that was wrapped.
 *
 * @param {Token[]} tokens those before the line end
 * @param {string} next the text behind it
 */
function isWrapped(tokens, next) {
  let line = "";
  for (let index = tokens.length - 1; index >= 0 && !line.includes("\n"); index -= 1) {
    line = `${tokens[index]?.raw}${line}`;
  }
  const begins = line.lastIndexOf("\n") + 1;
  const length = line.length - begins;
  if (length < SHORTEST || length > LONGEST) return false;
  return LOWER.test(next) || tokens.some(({ type, raw }) => type === "text" && raw.startsWith("\n"));
}
