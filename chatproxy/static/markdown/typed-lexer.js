// From what readers write themselves to tokens: their code, between fences or backticks, and all else as it was typed.

import { codeToken } from "./syntax/fences.js";

/** @typedef {import("./markdown.js").Token} Token */

const FENCE = /^ {0,3}(?:`{3,}[^`\n]*|~{3,}.*)$/gm;
const CODE = /(?<!`)`([^`\n]+)`(?!`)/g;

/** @type {import("./lexer.js").Lexer} */
export const typedLexer = {
  lex(text) {
    /** @type {Token[]} */
    const tokens = [];
    let at = 0;
    for (let found = fenceFrom(text, at); found; found = fenceFrom(text, at)) {
      const code = /** @type {Token} */ (codeToken(text.slice(found.index)));
      if (found.index > at) tokens.push(typed(text.slice(at, found.index)));
      at = found.index + code.raw.length;
      if (text[at] === "\n") at += 1;
      tokens.push({ ...code, raw: text.slice(found.index, at) });
    }
    if (at < text.length) tokens.push(typed(text.slice(at)));
    return tokens;
  },
};

/** @param {string} text @param {number} from */
function fenceFrom(text, from) {
  FENCE.lastIndex = from;
  return FENCE.exec(text);
}

/** @param {string} raw @returns {Token} */
function typed(raw) {
  const parts = raw.split(CODE); // every second one is code
  const tokens = parts.map((part, index) => ({ type: index % 2 ? "codespan" : "escape", raw: part, text: part }));
  return { type: "typed", raw, tokens };
}
