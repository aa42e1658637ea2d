// Where a long block is cut while it grows, and how the text behind the cut continues it.
//
// An answer may be one list of 12,000 items. To lex and render it again with every word would cost O(n²). So
// what is long is cut: the part before the cut is final, and the part behind it continues the block: a list
// with its next number, a table with its header, code without another heading.

import { LONG } from "./limits.js";
import { fenced } from "./syntax/fences.js";
import { formulasIn, LONGEST_FORMULA } from "./syntax/formulas.js";

/**
 * @typedef {import("./markdown.js").Token} Token
 *
 * How a block continues the one that was cut.
 *
 * @typedef {object} Continuation
 * @property {number} [start] the number of a list's first item
 * @property {boolean} [inLine] whether the cut was inside a line
 * @property {number} [hidden] lines of code at the beginning that were shown before
 * @property {boolean} [next] whether a list item or quote goes on with its next block, and no block in it was cut
 * @property {Element} [code] the last element of code before the cut
 * @property {Continuation} [inner] how the first block inside continues, if a list item or quote was cut
 *
 * @typedef {object} Cut
 * @property {number} at the index in the source where the rest begins
 * @property {string} opening Markdown to put before the rest: it opens again what was open there
 * @property {Continuation} [continuation] none: the block is complete
 *
 * @typedef {object} Plan
 * @property {number} lines how many of the last lines are the rest; 0: a part of the last line
 * @property {string[]} opening lines
 * @property {string} indent what a line begins with inside of what is open
 * @property {Continuation} continuation
 * @property {boolean} [prose] whether the cut is in a paragraph, where it may be in a formula
 */

const LONG_PARAGRAPH = 8192; // characters; it begins a new line at each cut
const LONG_TABLE = 8192; // the parts of a table have columns of different widths
const LONG_CODE = 32_768; // costs the lexer little, and each part scrolls sideways by itself
const LONGEST_OPENING = 1024; // characters: every part has it
const LIST_MARKER = /^ *(?:[*+-]|\d+[.)])/;

/**
 * Return the length in characters from which a block is cut.
 *
 * @param {Token} token
 * @returns {number}
 */
export function lengthLimit(token) {
  if (token.type === "paragraph") return LONG_PARAGRAPH;
  if (token.type === "code") return LONG_CODE;
  if (token.type === "table" || token.type === "details" || token.type === "footnote") return LONG_TABLE;
  if (token.type === "formula") return LONGEST_FORMULA * 2; // one with an end is shorter
  const [inner, ...others] = token.type === "list" && token.items?.length !== 1 ? [] : blocksIn(token);
  return inner && !others.length ? lengthLimit(inner) : LONG;
}

/**
 * Cut a block that is still growing.
 *
 * @param {Token} token
 * @param {string} source from the beginning of the block to the end of the text so far
 * @param {Continuation} [continuation] how the block continues an earlier one
 * @returns {Cut}
 */
export function cut(token, source, continuation) {
  const text = source.trimEnd();
  const end = source.length;
  if (token.open === false || end - text.length > LONG) return { at: end, opening: "" };
  const plan = planFor(token, continuation);
  const opening = plan.opening.map((line) => `${line}\n`).join("");
  const line = plan.lines > 0 ? startOfLastLines(text, plan.lines) : 0;
  const word = lastBreakBetween(token, source);
  const inLastLine = word > opening.length + plan.indent.length ? word : lastCharacter(source);
  const place = line > opening.length ? line : inLastLine;
  const at = plan.prose ? beforeFormula(source, place) : place;
  if (source[at - 1] === "\n") return { at, opening, continuation: plan.continuation };
  return { at, opening: opening + plan.indent, continuation: inLine(plan.continuation) };
}

/**
 * Return a place in a text, or the beginning of the formula that it is in, unless the text begins with that.
 *
 * @param {string} source
 * @param {number} place
 */
function beforeFormula(source, place) {
  const formula = formulasIn(source, () => true).find(
    ({ start, end, open }) => start < place && (place < end || open),
  );
  return formula?.start || place;
}

/** @param {Continuation} continuation @returns {Continuation} the same for a cut inside a line */
function inLine(continuation) {
  const { inner } = continuation;
  return inner ? { ...continuation, inner: inLine(inner) } : { ...continuation, inLine: true };
}

/**
 * Return the index behind the last complete line of a text, else behind its last complete word, else its end.
 *
 * @param {string} text
 */
export function lastBreak(text) {
  return text.lastIndexOf("\n") + 1 || text.lastIndexOf(" ") + 1 || lastCharacter(text);
}

/**
 * Return the same for a block, outside of emphasis and links if it is one paragraph.
 *
 * @param {Token} token
 * @param {string} source
 */
function lastBreakBetween(token, source) {
  let end = (token.text ?? "").length;
  for (const { type, raw } of token.type === "paragraph" ? (token.tokens ?? []).toReversed() : []) {
    const start = end - raw.length;
    const plain = type === "text" ? raw.search(/[*_~<[]|$/) : 0;
    const space = raw.lastIndexOf(" ", plain - 1) + 1;
    if (plain && space) return start + space;
    end = start;
  }
  return lastBreak(source);
}

/**
 * Return the length of a text without the first half of a character at its end.
 *
 * @param {string} text
 */
function lastCharacter(text) {
  return /[\ud800-\udbff]$/.test(text.slice(-1)) ? text.length - 1 : text.length;
}

/** @param {Token} token @param {Continuation} [continuation] @returns {Plan} */
function planFor(token, continuation) {
  const count = lineCount(token);
  /** @type {Plan} */
  const lastLine = { lines: count > 1 ? 1 : 0, opening: [], indent: "", continuation: {} };
  switch (token.type) {
    case "list":
      return planForList(token, continuation);
    case "blockquote": {
      const inner = planInside(token, continuation?.inner);
      const opening = inner.opening.map((line) => `> ${line}`);
      return { ...inner, opening, indent: `> ${inner.indent}`, continuation: { inner: inner.continuation } };
    }
    case "table":
      return { ...lastLine, opening: openingLines(token, 2) };
    case "code": {
      const opening = fenced(linesBefore(token, lastLine.lines))?.opening ?? [];
      return { ...lastLine, opening, continuation: { hidden: Math.max(opening.length - 1, 0) } };
    }
    case "formula":
      return { ...lastLine, opening: openingLines(token, 1) };
    case "details": {
      const inner = planInside(token, continuation?.inner);
      const opening = [...(token.opening ?? "").trim().split("\n"), ...inner.opening];
      return { ...inner, opening, continuation: { inner: inner.continuation } };
    }
    case "footnote":
      return { ...lastLine, opening: [`[^${token.label}]:`] };
    default:
      return { ...lastLine, prose: true };
  }
}

/**
 * A list goes on with its last item; if that is the only one, with what the item goes on with.
 *
 * @param {Token} list
 * @param {Continuation} [continuation]
 * @returns {Plan}
 */
function planForList({ ordered, start: first, items = [] }, continuation) {
  const last = /** @type {Token} */ (items.at(-1));
  const start = ordered ? (continuation?.start ?? Number(first)) + items.length - 1 : undefined;
  if (items.length > 1) return { lines: lineCount(last), opening: [], indent: "", continuation: { start } };
  const inner = planInside(last, continuation?.inner);
  const marker = LIST_MARKER.exec(last.raw)?.[0] ?? "-";
  const indent = " ".repeat(marker.length + 1);
  return {
    lines: inner.lines,
    opening: [marker, ...inner.opening.map((line) => indent + line)],
    indent: indent + inner.indent,
    continuation: { start, inner: inner.continuation },
    prose: inner.prose,
  };
}

/** @param {Token} container @param {Continuation} [continuation] @returns {Plan} */
function planInside(container, continuation) {
  const blocks = blocksIn(container);
  const last = blocks.at(-1);
  if (last && blocks.length === 1) return planFor(last, continuation);
  return { lines: last ? lineCount(last) : 0, opening: [], indent: "", continuation: { next: true } };
}

/** @param {Token} token @returns {Token[]} the blocks in a quote, a list item, or the last item of a list */
function blocksIn({ type, tokens, items }) {
  if (type === "list") return items?.at(-1) ? blocksIn(/** @type {Token} */ (items.at(-1))) : [];
  if (type !== "blockquote" && type !== "list_item" && type !== "details") return [];
  return (tokens ?? []).filter((inner) => inner.type !== "space" && inner.type !== "checkbox");
}

/** @param {Token} token @param {number} count */
function openingLines({ raw }, count) {
  const lines = raw.split("\n", count);
  return lines.join("\n").length <= LONGEST_OPENING ? lines : [];
}

/** @param {Token} token @param {number} count @returns {string} its source without so many of its last lines */
function linesBefore({ raw }, count) {
  const text = raw.trimEnd();
  return count ? text.slice(0, Math.max(startOfLastLines(text, count) - 1, 0)) : text;
}

/** @param {Token} token */
function lineCount({ raw }) {
  return raw.trimEnd().split("\n").length;
}

/** @param {string} text @param {number} count */
function startOfLastLines(text, count) {
  let start = text.length + 1;
  for (let line = 0; line < count && start > 0; line += 1) start = text.lastIndexOf("\n", start - 2) + 1;
  return start;
}
