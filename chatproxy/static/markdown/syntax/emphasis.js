// Emphasis: `*`, `_` and `~~`, as CommonMark has them, but for texts that models write:
//
// - One tilde is a tilde (`~100 to ~200`).
// - Scripts that are written without spaces have no use for a rule that asks for some: beside their letters and
//   punctuation, a delimiter opens and closes as it does beside letters (`这是**「重要」**的`).
// - What is arithmetic, a path, a pattern or an argument stays what it is: `2*3*4`, `src/*.js`, `COUNT(*)`.

import { firstCharacter, isPunctuation, isSpace, isUnspaced, isWord, lastCharacter } from "./characters.js";

/**
 * @typedef {import("../syntax.js").Syntax} Syntax
 *
 * @typedef {object} Delimiter what a token has besides the run
 * @property {boolean} opens
 * @property {boolean} closes
 */

const RUN = /^(?:\*+|_+|~+)/;
const REST_OF_WORD = /^_+[A-Za-z\d]*/;
const DELIMITER = /[*_~]/;

/** @type {Syntax} */
export const emphasis = {
  extensions: [
    {
      name: "delimiter",
      level: "inline",
      start: (text) => DELIMITER.exec(text)?.index,
      tokenizer(text, tokens) {
        const raw = RUN.exec(text)?.[0];
        if (!raw) return undefined;
        const before = lastCharacter(tokens.at(-1)?.raw ?? "");
        const { opens, closes } = roles(raw, before, text.slice(raw.length));
        if (opens || closes) return { type: "delimiter", raw, text: raw, opens, closes };
        const word = REST_OF_WORD.exec(text)?.[0] ?? raw; // at its end, the lexer looks for an address
        return { type: "text", raw: word, text: word };
      },
    },
  ],
};

/**
 * Return whether a run of delimiters may open emphasis, and whether it may close some.
 *
 * @param {string} run
 * @param {string} before the character before it
 * @param {string} following the text behind it
 * @returns {Delimiter}
 */
function roles(run, before, following) {
  const after = firstCharacter(following);
  const left = flanks(before, after);
  const right = flanks(after, before);
  if (run[0] === "~") return { opens: left && run.length === 2, closes: right && run.length === 2 };
  if (run[0] === "_") {
    const opens = left && (!right || !isWord(before)) && !/[/\\.]/.test(before);
    return { opens, closes: right && (!left || !isWord(after)) };
  }
  const inPath = /[/\\]/.test(before);
  const opens = inPath ? run.length > 1 && isWord(after) : !isPattern(run, before, following);
  const closes = !inPath || !/[\p{L}\p{N}./*{(]/u.test(after);
  return {
    opens: left && opens && !isOperator(run, before, after) && !/[)\]},;]/.test(after) ,
    closes: right && closes && !isOperator(run, before, after) && !/[([{,]/.test(before),
  };
}

/**
 * Return whether a run between these characters is left-flanking, or with both exchanged, right-flanking.
 *
 * @param {string} outer
 * @param {string} inner
 */
function flanks(outer, inner) {
  if (isSpace(inner)) return false;
  if (!isPunctuation(inner) || isUnspaced(inner)) return true;
  return isSpace(outer) || isPunctuation(outer) || isUnspaced(outer);
}

/**
 * Return whether stars between these characters multiply (`2*3`) or raise to a power (`x**2`).
 *
 * @param {string} run
 * @param {string} before
 * @param {string} after
 */
function isOperator(run, before, after) {
  if (run.length === 1) return isWord(before) && isWord(after);
  return run.length === 2 && (isWord(before) || before === ")") && /\d/.test(after);
}

/**
 * Return whether stars do not begin emphasis, but are in a pattern (`.*`, `*.js`) or behind a factor (`(a)*b`, `2**n`).
 *
 * @param {string} run
 * @param {string} before
 * @param {string} following
 */
function isPattern(run, before, following) {
  if (run.length === 2) return /\d/.test(before) && isWord(following.slice(0, 1));
  return run.length === 1 && (/[.)\]]/.test(before) || /^\.[\w*{]/.test(following));
}
