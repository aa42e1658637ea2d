// Code between fences, which may itself have fences: a README with commands, a script that writes one. CommonMark ends
// code at the first fence without a language. Here, a fence with one opens inner code, which the next one without ends.
// In Markdown, a fence without a language opens inner code, too, if an empty line is before it and none behind it.

const OPENING = /^( {0,3})(`{3,}(?=[^`\n]*(?:\n|$))|~{3,})([^\n]*)/;
const FENCE = /^ {0,3}(`{3,}|~{3,})[ \t]*(?:([^\s`][^`]*))?$/;
const LANGUAGE = /^[A-Za-z{]/;
const MARKDOWN = /^\s*(?:markdown|md|mdx|qmd|rmd)\b/i;

/**
 * @typedef {import("../markdown.js").Token} Token
 *
 * @typedef {object} Fenced
 * @property {number} end the index behind the code in the text
 * @property {string[]} opening the lines of fences that are open there, from outside in; none: all are closed
 */

/**
 * Return where the code ends that begins a text; null if none does.
 *
 * @param {string} text
 * @returns {Fenced | null}
 */
export function fenced(text) {
  const [first, , mark = "", info = ""] = OPENING.exec(text) ?? [];
  if (first === undefined) return null;
  const opening = [{ line: first, mark }];
  let before = first;
  for (let start = first.length + 1; start < text.length; start += before.length + 1) {
    const line = lineAt(text, start);
    const end = start + line.length;
    const [, run = "", language = ""] = FENCE.exec(line) ?? [];
    if (run.startsWith(opening.at(-1)?.mark ?? "")) {
      const inner = MARKDOWN.test(info) && opening.length === 1 && !before.trim() && lineAt(text, end + 1).trim();
      if (language ? LANGUAGE.test(language) : inner) opening.push({ line, mark: run });
      else if (!language) opening.pop();
    }
    if (!opening.length) return { end, opening: [] };
    before = line;
  }
  return { end: text.length, opening: opening.map(({ line }) => line) };
}

/** @param {string} text @param {number} start */
function lineAt(text, start) {
  const end = text.indexOf("\n", start);
  return text.slice(start, end < 0 ? undefined : end);
}

/**
 * Return the code that begins a text; null if none does.
 *
 * @param {string} text
 * @returns {Token | null}
 */
export function codeToken(text) {
  const found = fenced(text);
  if (!found) return null;
  const [first = "", indent = "", , info = ""] = OPENING.exec(text) ?? [];
  const raw = text.slice(0, found.end);
  const open = found.opening.length > 0;
  const inside = raw.slice(first.length + 1, open ? undefined : raw.lastIndexOf("\n") + 1).replace(/\n$/, "");
  const code = indent ? inside.replace(/^ +/gm, (spaces) => spaces.slice(indent.length)) : inside;
  return { type: "code", raw, lang: info.trim(), text: code, open };
}

/** @type {import("../syntax.js").Syntax} */
export const fences = {
  extensions: [{ name: "fences", level: "block", tokenizer: (text) => codeToken(text) ?? undefined }],
};
