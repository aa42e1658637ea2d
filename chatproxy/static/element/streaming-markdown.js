// Markdown that is still being written: blocks that are complete are never touched again, and only the
// tail behind them is lexed anew, at most once per animation frame.

import { h } from "../dom/dom.js";
import { graft } from "./morph.js";
import { plain, renderBlock } from "./markdown.js";

const STEP = 16_384; // characters taken up per frame, so that a long text does not stop the page
const GROUP = 64; // blocks that are laid out together
const LONG_TAIL = 8_192; // from here on, an open block grows as plain text until it closes
const CLOSES = /\n[ \t]*\n+(?=\S)/; // what may end a block,
const CODE_CLOSES = /\n[ \t]*(?:```|~~~)/; // and one of code

/** A text as it is, for want of a lexer. */
export class StreamingPlain {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.text = document.createTextNode("");
    const block = plain("");
    block.append(this.text);
    container.replaceChildren(block);
  }

  /** @param {string} text */
  append(text) {
    this.text.appendData(text);
  }

  finish() {}
  stop() {}
}

export class StreamingMarkdown {
  /**
   * @param {HTMLElement} container
   * @param {import("./markdown.js").Lexer} lexer
   * @param {import("./markdown.js").Context} context
   * @param {() => void} [onrender] after each frame that showed something
   */
  constructor(container, lexer, context, onrender = () => {}) {
    this.container = container;
    this.lexer = lexer;
    this.context = context;
    this.onrender = onrender;
    this.unread = ""; // has come, and waits for its frame
    this.tail = ""; // the text of the block that may still grow, and of what follows it
    /** @type {Node[]} */
    this.tailNodes = [];
    /** @type {Element[]} */
    this.loose = []; // complete blocks that are in no group yet
    /** @type {Text | null} */
    this.growing = null; // where a long tail grows
    this.closes = CLOSES;
    this.mayHaveClosed = false;
    this.tryAt = 0; // the length of tail from which a long one is lexed again
    this.finished = false;
    this.frame = 0;
    container.replaceChildren();
  }

  /** Line ends become `\n`, as the lexer counts them; a CR waits for what follows it. @param {string} text */
  append(text) {
    const whole = this.cr ? `\r${text}` : text;
    this.cr = whole.endsWith("\r");
    this.unread += (this.cr ? whole.slice(0, -1) : whole).replace(/\r\n?/g, "\n");
    this.#schedule();
  }

  cr = false;

  /** No more comes; what is short shows at once, and what shows already is left alone. */
  finish() {
    this.finished = true;
    if (this.cr) this.unread += "\n";
    this.cr = false;
    if (!this.unread && !this.growing) this.tail = "";
    else if (this.unread.length + this.tail.length <= STEP) this.#render();
    else this.#schedule();
  }

  stop() {
    cancelAnimationFrame(this.frame);
  }

  #schedule() {
    this.frame ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const piece = this.unread.slice(0, STEP);
    this.unread = this.unread.slice(STEP);
    const last = this.finished && !this.unread;
    this.tail += piece;
    if (this.growing && !last && !this.#worthLexing(piece)) this.growing.appendData(piece);
    else this.#lexTail(last);
    this.onrender();
    if (this.unread) this.#schedule();
  }

  /** A long tail is lexed when it may have closed; each time in vain makes the next wait for more. @param {string} piece */
  #worthLexing(piece) {
    this.mayHaveClosed ||= this.closes.test(this.tail.slice(-piece.length - 8));
    return this.mayHaveClosed && this.tail.length >= this.tryAt;
  }

  /** @param {boolean} last */
  #lexTail(last) {
    const tokens = this.lexer.lex(this.tail);
    const open = last ? tokens.length : firstOpen(tokens);
    const closed = this.#drawn(tokens.slice(0, open));
    const shown = graft(this.container, this.tailNodes, [...closed, ...this.#drawn(tokens.slice(open))]);
    this.tailNodes = shown.slice(closed.length);
    this.loose.push(.../** @type {Element[]} */ (shown.slice(0, closed.length)));
    while (!this.finished && this.loose.length >= 2 * GROUP) this.#group();
    this.tail = this.tail.slice(tokens.slice(0, open).reduce((length, token) => length + token.raw.length, 0));
    this.#growPlainly(tokens.slice(open));
  }

  /** Puts the oldest in an element of their own, so that a long text is not laid out whole for each word. It ends
   * before no heading, whose margin is one with that of the block above it. */
  #group() {
    let size = GROUP;
    while (size > 1 && this.loose[size].matches("h3, h4, h5, h6, hr")) size -= 1;
    const group = h("div", { class: "group" });
    this.loose[0].before(group);
    group.append(...this.loose.splice(0, size));
  }

  /** @param {import("./markdown.js").Token[]} tokens */
  #drawn(tokens) {
    const nodes = /** @type {Node[]} */ (tokens.map((token) => renderBlock(token, this.context)).filter(Boolean));
    return nodes.flatMap((node) => (node instanceof DocumentFragment ? [...node.childNodes] : [node]));
  }

  /** Where the tail is long, what comes is added as text: to the code that it is, or to a paragraph.
   * @param {import("./markdown.js").Token[]} open */
  #growPlainly(open) {
    const inVain = this.growing !== null;
    this.growing = null;
    this.mayHaveClosed = false;
    if (this.tail.length <= LONG_TAIL) return;
    const element = this.tailNodes.at(-1);
    const code = open.length === 1 && element instanceof Element ? element.querySelector(":scope > pre > code") : null;
    if (!code) this.tailNodes.push(this.container.appendChild(plain("")));
    this.growing = document.createTextNode("");
    (code ?? this.tailNodes[this.tailNodes.length - 1]).appendChild(this.growing);
    this.closes = code ? CODE_CLOSES : CLOSES;
    this.tryAt = inVain ? this.tail.length * 1.25 : 0;
  }
}

/**
 * The first token that what follows may still change: the last block, and the one before it as long as the
 * last has no whole line (`1. a`, an empty line and `2` become one list with the next dot).
 * @param {import("./markdown.js").Token[]} tokens
 */
function firstOpen(tokens) {
  let open = tokens.length - 1;
  while (open >= 0 && tokens[open].type === "space") open -= 1;
  if (open > 0 && !tokens[open].raw.includes("\n") && tokens.at(-1) === tokens[open]) {
    open -= 1;
    while (open > 0 && tokens[open].type === "space") open -= 1;
  }
  return Math.max(open, 0);
}
