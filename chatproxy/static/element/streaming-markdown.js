// Renders Markdown while it is being written.
//
// The work is kept in proportion to what is new, by four shortcuts. Let n be the length of the text:
//
// - Blocks that are complete are final. Only the tail behind them is lexed and rendered again, so an update
//   costs O(tail) and not O(n).
// - However often text arrives, there is one update per animation frame, and it takes up at most STEP
//   characters. A stored answer of any length never blocks the page for longer than that.
// - A block that stays open, such as a long listing, makes the tail itself long, and lexing it in every frame
//   O(n²) in all. From LONG_TAIL on, new text is appended to the DOM as plain text, O(new text) per frame,
//   until the block may have closed. See #worthLexing for the bound on lexing in vain.
// - Complete blocks are put into groups of GROUP. The style sheet gives those `content-visibility: auto`, so
//   that the browser lays out O(GROUP) blocks per update plus what is on screen, and not all of them.

import { h } from "../dom/dom.js";
import { plain, renderBlock } from "./markdown.js";
import { morph } from "./morph.js";

const STEP = 16_384; // characters per frame
const LONG_TAIL = 8_192; // characters
const GROUP = 64; // blocks
const LEX_AGAIN = 1.25; // a tail lexed in vain has to grow by this factor
const BLOCK_END = /\n[ \t]*\n+(?=\S)/; // an empty line: may end any block but fenced code
const FENCE = /\n[ \t]*(?:```|~~~)/; // may end fenced code
const LONGEST_MATCH = 8; // characters of either pattern that may be in the previous piece

/** @typedef {import("./markdown.js").Token} Token */

/** Shows text as it is, if there is no lexer. */
export class StreamingPlain {
  #text = document.createTextNode("");

  /** @param {HTMLElement} container */
  constructor(container) {
    const block = plain("");
    block.append(this.#text);
    container.replaceChildren(block);
  }

  /** @param {string} text */
  append(text) {
    this.#text.appendData(text);
  }

  finish() {}
  stop() {}
}

export class StreamingMarkdown {
  #container;
  #lexer;
  #context;
  #onrender;
  #pending = ""; // text that waits for the next frame
  #endsInCR = false; // and the CR waits for what follows it
  #tail = ""; // the text from the first block that may still change
  /** @type {Node[]} */
  #tailNodes = [];
  /** @type {Element[]} complete blocks that are in no group yet */
  #ungrouped = [];
  /** @type {Text | null} where a long tail grows as plain text */
  #plainTail = null;
  #closePattern = BLOCK_END;
  #mayHaveClosed = false;
  #lexAgainAt = 0; // the length from which a long tail is lexed again
  #finished = false;
  #frame = 0;

  /**
   * @param {HTMLElement} container
   * @param {import("./markdown.js").Lexer} lexer
   * @param {import("./markdown.js").Context} context
   * @param {() => void} [onrender] called after each update of the DOM
   */
  constructor(container, lexer, context, onrender = () => {}) {
    this.#container = container;
    this.#lexer = lexer;
    this.#context = context;
    this.#onrender = onrender;
    container.replaceChildren();
  }

  /**
   * Add text. Line ends become LF, as in the lexer, whose lengths are needed here.
   *
   * @param {string} text
   */
  append(text) {
    const whole = this.#endsInCR ? `\r${text}` : text;
    this.#endsInCR = whole.endsWith("\r");
    this.#pending += (this.#endsInCR ? whole.slice(0, -1) : whole).replace(/\r\n?/g, "\n");
    this.#schedule();
  }

  /** End the text. A short rest is rendered at once; what is rendered already is not touched again. */
  finish() {
    this.#finished = true;
    if (this.#endsInCR) this.#pending += "\n";
    this.#endsInCR = false;
    if (!this.#pending && !this.#plainTail) this.#tail = "";
    else if (this.#pending.length + this.#tail.length <= STEP) this.#render();
    else this.#schedule();
  }

  /** Cancel the update that is scheduled. */
  stop() {
    cancelAnimationFrame(this.#frame);
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const piece = this.#pending.slice(0, STEP);
    this.#pending = this.#pending.slice(STEP);
    const last = this.#finished && !this.#pending;
    this.#tail += piece;
    if (this.#plainTail && !last && !this.#worthLexing(piece)) this.#plainTail.appendData(piece);
    else this.#lexTail(last);
    this.#onrender();
    if (this.#pending) this.#schedule();
  }

  /**
   * Return whether a long tail may have closed and should be lexed again.
   *
   * The test costs O(piece). It may be wrong, for example at an empty line inside a list. So each lexing in
   * vain raises the length for the next one by LEX_AGAIN: the lengths lexed in vain are a geometric series,
   * whose sum is at most 5 times the length of the block.
   *
   * @param {string} piece
   */
  #worthLexing(piece) {
    this.#mayHaveClosed ||= this.#closePattern.test(this.#tail.slice(-piece.length - LONGEST_MATCH));
    return this.#mayHaveClosed && this.#tail.length >= this.#lexAgainAt;
  }

  /** @param {boolean} last whether the text ends here, so that all blocks are complete */
  #lexTail(last) {
    const tokens = this.#lexer.lex(this.#tail);
    const open = last ? tokens.length : firstOpen(tokens);
    const complete = this.#renderTokens(tokens.slice(0, open));
    const nodes = [...complete, ...this.#renderTokens(tokens.slice(open))];
    const current = morph(this.#container, this.#tailNodes, nodes);
    this.#tailNodes = current.slice(complete.length);
    this.#ungrouped.push(.../** @type {Element[]} */ (current.slice(0, complete.length)));
    while (!this.#finished && this.#ungrouped.length >= 2 * GROUP) this.#group();
    this.#tail = this.#tail.slice(tokens.slice(0, open).reduce((length, { raw }) => length + raw.length, 0));
    this.#growAsPlainText(tokens.slice(open));
  }

  /**
   * Put the oldest complete blocks into a group. It does not end before a heading or rule: their margins
   * collapse with those of the block above, which must be in the same group.
   */
  #group() {
    let size = GROUP;
    while (size > 1 && this.#ungrouped[size]?.matches("h3, h4, h5, h6, hr")) size -= 1;
    const group = h("div", { class: "group" });
    this.#ungrouped[0]?.before(group);
    group.append(...this.#ungrouped.splice(0, size));
  }

  /** @param {Token[]} tokens */
  #renderTokens(tokens) {
    const nodes = tokens.map((token) => renderBlock(token, this.#context)).filter((node) => node !== null);
    return nodes.flatMap((node) => (node instanceof DocumentFragment ? [...node.childNodes] : [node]));
  }

  /**
   * If the tail is long, prepare a text node that takes what comes next: in the code that is open, or in a
   * paragraph.
   *
   * @param {Token[]} tokens of the tail
   */
  #growAsPlainText(tokens) {
    const inVain = this.#plainTail !== null;
    this.#plainTail = null;
    this.#mayHaveClosed = false;
    if (this.#tail.length <= LONG_TAIL) return;
    const last = this.#tailNodes.at(-1);
    const code =
      tokens.length === 1 && last instanceof Element ? last.querySelector(":scope > pre > code") : null;
    let parent = code;
    if (!parent) {
      parent = this.#container.appendChild(plain(""));
      this.#tailNodes.push(parent);
    }
    this.#plainTail = parent.appendChild(document.createTextNode(""));
    this.#closePattern = code ? FENCE : BLOCK_END;
    this.#lexAgainAt = inVain ? this.#tail.length * LEX_AGAIN : 0;
  }
}

/**
 * Return the index of the first token that later text may change: the last block, and also the one before it
 * while the last has no complete line. (`1. a`, an empty line and `2` become one list with the next
 * character, a dot.)
 *
 * @param {Token[]} tokens
 */
function firstOpen(tokens) {
  const previousBlock = (/** @type {number} */ index) => {
    while (index > 0 && tokens[index]?.type === "space") index -= 1;
    return index;
  };
  const last = previousBlock(tokens.length - 1);
  const token = tokens[last];
  if (last <= 0 || !token || token.raw.includes("\n") || token !== tokens.at(-1)) return Math.max(last, 0);
  return previousBlock(last - 1);
}
