// Formulas of mathematics: `\(…\)` and `$…$` in a line, `\[…\]` and `$$…$$` on lines of their own. Nothing in them is
// Markdown. One that is not complete at the end of the text so far is shown as it was written, so that nothing in it
// is taken for Markdown before it can be set.
//
// A dollar is mostly money, or a variable of a shell. So `$…$` has to look like a formula: `looksLikeFormula`.

/**
 * @typedef {import("../markdown.js").Token} Token
 *
 * @typedef {object} Formula
 * @property {string} raw with its delimiters
 * @property {string} tex
 * @property {boolean} display
 * @property {boolean} open whether the text ends in it
 */

export const LONGEST_FORMULA = 8192; // characters; what is longer is shown as it was written

// In all of these, a backslash and what follows it are one: `\\` is a new line, `\$` a dollar.
const PARENTHESES = /^\\\(((?:\\[^()]|[^\\])*)(\\\))?/;
const BRACKETS = /^\\\[((?:\\[^[\]]|[^\\])*)(\\\](?!\())?/; // `\[text\](address)` is an escaped link
const DOLLARS = /^\$\$(?!\$)((?:\\[^]|\$(?!\$)|[^\\$])*)(\$\$(?!\$))?/;
const ENVIRONMENT =
  /^\\begin\{((?:equation|align|alignat|gather|multline|eqnarray|split|aligned|cases|[bpvV]?matrix)\*?)\}[^]*?(?:\\end\{\1\}|$)/;
const BACKTICKS = /^\$`([^`\n]+)(`\$)/; // as on GitHub and GitLab
const DOLLAR = /^\$(?![\s$])((?:\\[^]|[^\\$`\n]|\n(?![ \t]*\n))*)(\$(?!\$))?/;

const BLANK_LINE = /\n[ \t]*\n/;
const OPENS_LINES = /^[ \t]*(?:\n|\\begin\{)/; // what follows a delimiter on its line, if blank lines may come
const COMMAND = /\\(?:text|mathrm|textbf|textit|operatorname|mbox)\*?\{[^{}]*\}|\\[A-Za-z]+|\\[^]/g;
const OPERATOR = /[\\^_={}<>+*/|]/;
const BEHIND = /^(?:(?:th|st|nd|rd|s|d|es)\b|[^A-Za-z\d$]|$)/; // "the $n$th", not `$HOME/bin:$PATH`

/**
 * Return whether what is between two dollars, or behind one so far, looks like a formula.
 *
 * @param {string} tex
 * @param {string} [after] the text behind the second dollar, if there is one
 */
function looksLikeFormula(tex, after) {
  if (!tex || /\s$/.test(tex)) return false;
  const bare = tex.replace(COMMAND, " ");
  if (after !== undefined) {
    if (!BEHIND.test(after)) return false;
    if (/^[({]/.test(tex) && after[0] === tex[0]) return false; // `$(a)-$(b)`, `${a}${b}`
    if (count(bare, /[([]/g) !== count(bare, /[)\]]/g)) return false; // `$5 (US$)`
  }
  if (/\\[A-Za-z]/.test(tex)) return true;
  if (/^\d/.test(tex)) return count(bare, /\p{L}{2,}/gu) === 0 || OPERATOR.test(tex); // `$5 for two, 10$`
  return !/(?<!\p{L})\p{L}{2,}[,;:]? +\p{L}{2}/u.test(bare); // prose
}

/** @param {string} text @param {RegExp} pattern */
function count(text, pattern) {
  return text.match(pattern)?.length ?? 0;
}

/**
 * Return the formula at the beginning of a text, which has a delimiter there.
 *
 * @param {string} text
 * @param {string} before the character before it, or nothing
 * @param {() => boolean} atEnd returns whether the text ends where all of the text so far does
 * @returns {Formula | undefined}
 */
function formulaAt(text, before, atEnd) {
  const near = text.slice(0, LONGEST_FORMULA);
  if (text[0] === "$" && /[A-Za-z\d$]/.test(before)) return undefined; // `US$`
  const clear = [PARENTHESES, BRACKETS, DOLLARS, BACKTICKS].map((pattern) => pattern.exec(near)).find(Boolean);
  const [raw, tex = "", end] = clear ?? DOLLAR.exec(near) ?? [];
  if (raw === undefined || (end && !tex.trim())) return undefined;
  const display = raw.startsWith("\\[") || raw.startsWith("$$");
  if (end) {
    const after = text.slice(raw.length, raw.length + 4);
    return clear || looksLikeFormula(tex, after) ? { raw, tex, display, open: false } : undefined;
  }
  if (text.length > near.length || raw.length < text.replace(/\\$/, "").length || !atEnd()) return undefined;
  if (!clear && (/^\d|\n/.test(tex) || !looksLikeFormula(tex.trimEnd()))) return undefined;
  return { raw: text, tex, display, open: true };
}

/**
 * Return the environment without delimiters at the beginning of a text, which is a formula.
 *
 * @param {string} text
 * @param {() => boolean} atEnd
 * @returns {Formula | undefined}
 */
function environmentAt(text, atEnd) {
  const [raw] = ENVIRONMENT.exec(text.slice(0, LONGEST_FORMULA)) ?? [];
  if (!raw) return undefined;
  const open = !/\\end\{[a-zA-Z]+\*?\}$/.test(raw);
  if (open && (raw.length < text.length || !atEnd())) return undefined;
  return { raw, tex: raw, display: true, open };
}

/**
 * Find the formulas in the text of a paragraph, outside of code.
 *
 * @param {string} text
 * @param {() => boolean} [atEnd] as in `formulaAt`
 * @returns {{start: number, end: number, open: boolean}[]} indexes
 */
export function formulasIn(text, atEnd = () => false) {
  const found = [];
  const places = /`+|\\[([]|\$+|\\[^]/g;
  /** @type {CodeEnds | undefined} */
  let code;
  for (let place = places.exec(text); place; place = places.exec(text)) {
    if (place[0].startsWith("`")) {
      code ??= new CodeEnds(text);
      places.lastIndex = code.after(places.lastIndex, place[0].length);
    }
    if (!/^(?:\\[([]|\$)/.test(place[0])) continue;
    const start = place.index;
    const rest = text.slice(start, start + LONGEST_FORMULA + 1);
    const formula = formulaAt(rest, text[start - 1] ?? "", atEnd);
    if (!formula) continue;
    places.lastIndex = start + formula.raw.length;
    found.push({ start, end: places.lastIndex, open: formula.open });
  }
  return found;
}

/** Where the code in a text ends that backticks open: at the next run of as many. */
class CodeEnds {
  /** @type {Map<number, number[]>} the places of the runs by their lengths, the last first */
  #runs = new Map();

  /** @param {string} text */
  constructor(text) {
    for (const { 0: run, index } of [...text.matchAll(/`+/g)].reverse()) {
      const places = this.#runs.get(run.length);
      if (places) places.push(index);
      else this.#runs.set(run.length, [index]);
    }
  }

  /**
   * Return where the code ends, or if it does not the place itself. Places are asked for in their order.
   *
   * @param {number} place after the opening backticks
   * @param {number} length of these
   */
  after(place, length) {
    const places = this.#runs.get(length) ?? [];
    while (places.length > 0 && /** @type {number} */ (places.at(-1)) < place) places.pop();
    const end = places.pop();
    return end === undefined ? place : end + length;
  }
}

/**
 * Return the formula that stands on lines of its own at the beginning of a text.
 *
 * @param {string} text
 * @param {() => boolean} atEnd
 * @returns {Formula | undefined} `raw` with the line's end
 */
function displayAt(text, atEnd) {
  const indent = /^ {0,3}(?=\\\[|\$\$|\\begin\{)/.exec(text)?.[0];
  if (indent === undefined) return undefined;
  const body = text.slice(indent.length);
  const mayHaveBlankLines = body[1] === "b" || OPENS_LINES.test(body.slice(2));
  const paragraph = (BLANK_LINE.exec(body)?.index ?? body.length - 1) + 1;
  const within = mayHaveBlankLines ? body : body.slice(0, paragraph);
  const formula = body[1] === "b" ? environmentAt(within, atEnd) : formulaAt(within, "", atEnd);
  if (formula?.display && !formula.open) {
    const { raw, tex } = formula;
    const [mark = "", end = ""] = /^([.,;:!?。，；：]?)[ \t]*(?:\n|$)/.exec(body.slice(raw.length)) ?? [];
    if (!mark && !raw.includes("\n") && body.length > raw.length) return undefined; // in a line
    return { ...formula, raw: indent + raw + mark, tex: end ? `${tex}\\text{${end}}` : tex };
  }
  if (formula || !mayHaveBlankLines) return formula && { ...formula, raw: text };
  const source = body.slice(0, paragraph);
  return { raw: indent + source, tex: "", display: true, open: true }; // it has no end
}

/**
 * Return whether a text, from which indentation may have been taken, ends where all of the text so far does.
 *
 * @param {{source: string}} lexer
 * @param {string} text
 */
function endsWithAll({ source }, text) {
  const lastLine = text.trimEnd().slice(text.trimEnd().lastIndexOf("\n") + 1);
  return source.trimEnd().endsWith(lastLine.trimStart());
}

const DELIMITER_ROW = /^(?=.*\|).*\n {0,3}(?=[|: ]*-)[|: -]*(?:\n|$)/;
const MASK = "\ue000"; // private use

/**
 * Hide the bars in a row's formulas, unless the row has as many cells as the table without that.
 *
 * @param {string} row
 * @param {number} columns
 */
function hideBars(row, columns) {
  const hidden = mask(row, formulasIn(row), (formula) => formula.replace(/(?<!\\)\|/g, MASK));
  return hidden !== row && cells(row) !== columns ? hidden : row;
}

/** @param {string} row */
function cells(row) {
  return row.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).length;
}

/**
 * Replace parts of a text by others as long.
 *
 * @param {string} text
 * @param {{start: number, end: number}[]} parts
 * @param {(part: string) => string} replace
 */
function mask(text, parts, replace) {
  let masked = "";
  let at = 0;
  for (const { start, end } of parts) {
    masked += text.slice(at, start) + replace(text.slice(start, end));
    at = end;
  }
  return masked + text.slice(at);
}

/** @param {Formula | undefined} formula @returns {Token | undefined} */
const token = (formula) => formula && { type: "formula", ...formula };

/** @type {import("../syntax.js").Syntax} */
export const formulas = {
  extensions: [
    {
      name: "formula",
      level: "inline",
      start: (text) => text.search(/\$|\\[([]/),
      tokenizer(text, tokens) {
        if (!/^(?:\$|\\[([])/.test(text)) return undefined;
        const before = tokens.at(-1)?.raw.at(-1) ?? "";
        return token(formulaAt(text, before, () => endsWithAll(this.lexer, text)));
      },
    },
    {
      name: "formula",
      level: "block",
      start(text) {
        const line = text.search(/\n {0,3}(?:\\\[|\$\$|\\begin\{)/);
        return line < 0 ? undefined : line + 1;
      },
      tokenizer(text) {
        return token(displayAt(text, () => endsWithAll(this.lexer, text)));
      },
    },
    {
      // The bars in its formulas separate no cells.
      name: "tableWithFormulas",
      level: "block",
      start: () => undefined,
      tokenizer(text) {
        const columns = DELIMITER_ROW.test(text) ? cells(text.split("\n", 2)[1] ?? "") : 0;
        const rows = columns ? text.split("\n") : [];
        const end = rows.findIndex((row) => !row.trim());
        const hidden = rows.map((row, index) => (end < 0 || index < end ? hideBars(row, columns) : row)).join("\n");
        if (!columns || hidden === text) return undefined;
        const table = this.lexer.tokenizer.table(hidden);
        return table && restoreBars(table, this.lexer.inlineQueue);
      },
    },
    {
      // A formula at the margin ends a list, whose item would go on with it, but not with its line `+ b`.
      name: "listBeforeFormula",
      level: "block",
      start: () => undefined,
      tokenizer(text) {
        if (!/^ {0,3}(?:[*+-]|\d{1,9}[.)])[ \t]/.test(text)) return undefined;
        for (const { index } of text.matchAll(/\n(?=\\\[|\$\$|\\begin\{)/g)) {
          const rest = text.slice(index + 1);
          if (displayAt(rest, () => endsWithAll(this.lexer, rest))) return this.lexer.tokenizer.list(text.slice(0, index + 1));
        }
        return undefined;
      },
    },
  ],
};

/**
 * @param {Token} table
 * @param {{src: string}[]} queue the texts of cells, which are not lexed yet
 */
function restoreBars(table, queue) {
  const restore = (/** @type {string} */ text) => text.replaceAll(MASK, "|");
  table.raw = restore(table.raw);
  for (const entry of queue) entry.src = restore(entry.src);
  return table;
}
