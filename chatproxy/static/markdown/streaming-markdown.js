// Renders Markdown while it is being written.
//
// The work is kept in proportion to what is new. Let n be the length of the text:
//
// - Blocks that are complete are final. Only the tail behind them is lexed and rendered again, so an update
//   costs O(tail) and not O(n).
// - A block that is long is cut (cut.js), so the tail is short, whatever the text is.
// - Text arrives in any pieces, and is rendered in steps of at most STEP characters, for which all messages
//   take turns (render-queue.js). A stored answer of any length never blocks the page for longer than a step.
// - Blocks are put into groups (groups.js), of which the browser lays out only those near the screen.

import { Groups } from "./groups.js";
import { renderBlock } from "./markdown.js";
import { LONG } from "./limits.js";
import { morph } from "./morph.js";
import { more } from "./needs.js";
import { dequeue, enqueue } from "./render-queue.js";
import { TextQueue } from "./text-queue.js";

const STEP = 1024; // characters

/**
 * @typedef {import("./cut.js").Continuation} Continuation
 * @typedef {import("./markdown.js").Token} Token
 */

export class StreamingMarkdown {
  #groups;
  #lexer;
  /** @type {import("./markdown.js").Context} */
  #context;
  #container;
  #onrender;
  #pending = new TextQueue();
  #endsInCR = false; // and the CR waits for what follows it
  #tail = ""; // the text from the first block that may still change
  /** @type {Node[]} */
  #tailNodes = [];
  /** @type {Continuation | undefined} how the tail's first block continues what was cut */
  #continuation;
  #waiting = false; // for a module
  #asked = false; // for more.js, once
  #finished = false;
  #stopped = false;
  #step = (/** @type {number} */ frame) => this.#render(frame);

  /**
   * @param {HTMLElement} container
   * @param {import("./lexer.js").Lexer} lexer
   * @param {import("./markdown.js").Settings} settings
   * @param {() => void} [onrender] called after each update of the DOM
   */
  constructor(container, lexer, settings, onrender = () => {}) {
    this.#groups = new Groups(container);
    this.#container = container;
    this.#lexer = lexer;
    this.#context = { ...settings };
    this.#onrender = onrender;
  }

  /**
   * Add text. Line ends become LF, as in the lexer, whose lengths are needed here.
   *
   * @param {string} text
   */
  append(text) {
    const whole = this.#endsInCR ? `\r${text}` : text;
    this.#endsInCR = whole.endsWith("\r");
    const lines = (this.#endsInCR ? whole.slice(0, -1) : whole).replace(/\r\n?/g, "\n");
    this.#pending.add(this.#lexer.read?.(lines) ?? lines);
    enqueue(this.#step);
  }

  /** End the text. What is rendered already stays, but for a block that is not what it seemed to become. */
  finish() {
    if (this.#finished) return;
    this.#finished = true;
    if (this.#endsInCR) this.#pending.add("\n");
    this.#endsInCR = false;
    enqueue(this.#step);
  }

  /** Cancel the update that is scheduled. */
  stop() {
    this.#stopped = true;
    dequeue(this.#step);
  }

  /** @param {number} frame */
  #render(frame) {
    if (this.#waiting) return;
    this.#groups.release(frame);
    this.#tail += this.#pending.take(STEP);
    const loading = this.#loadMore();
    if (loading) return void this.#waitFor(loading);
    if (more.now) this.#context.footnotes ??= new more.now.Footnotes(this.#container, this.#context.labels);
    this.#renderTail(this.#finished && this.#pending.empty);
    this.#context.footnotes?.link();
    this.#onrender();
    if (!this.#pending.empty) enqueue(this.#step);
  }

  /** Load what the tail may need; null: nothing is missing. What cannot be loaded is done without in this text. */
  #loadMore() {
    if (more.now) return more.now.loadNames(this.#tail);
    const isNeeded = this.#tail.length > LONG || this.#lexer.mayNeedMore?.(this.#tail);
    if (this.#asked || !isNeeded) return null;
    this.#asked = true;
    return more.load();
  }

  /** @param {Promise<unknown>} loading */
  async #waitFor(loading) {
    this.#waiting = true;
    await loading;
    this.#waiting = false;
    if (!this.#stopped) enqueue(this.#step);
  }

  /** @param {boolean} last whether the text ends here, so that all blocks are complete */
  #renderTail(last) {
    const tokens = this.#lexer.lex(this.#tail);
    const growing = lastBlock(tokens);
    const token = tokens[growing];
    const start = lengthOf(tokens.slice(0, growing));
    if (last || !token || !more.now || this.#tail.length - start <= more.now.lengthLimit(token)) {
      return this.#show(tokens, last ? tokens.length : firstOpen(tokens));
    }
    const source = this.#tail.slice(start);
    const { at, opening, continuation } = more.now.cut(token, source, growing === 0 ? this.#continuation : undefined);
    const rest = opening + source.slice(at);
    this.#tail = this.#tail.slice(0, start + at);
    const complete = this.#lexer.lex(this.#tail);
    const end = this.#show(complete, complete.length).at(-1);
    if (continuation && end instanceof Element) {
      end.classList.add("cut");
      const code = [...end.querySelectorAll("pre > code")].at(-1);
      for (let level = /** @type {Continuation | undefined} */ (continuation); level; level = level.inner) level.code = code;
    }
    this.#tail = rest;
    this.#continuation = continuation;
    if (rest) this.#show(this.#lexer.lex(rest), 0);
  }

  /**
   * Show the tail's tokens in the place of what is shown of the tail. Those before `open` are complete; the
   * tail goes on behind them.
   *
   * @param {Token[]} tokens
   * @param {number} open
   * @returns {Node[]} the nodes of the complete ones
   */
  #show(tokens, open) {
    const complete = this.#renderTokens(tokens.slice(0, open), this.#context, this.#continuation);
    const context = { ...this.#context, growing: true };
    const growing = this.#renderTokens(tokens.slice(open), context, open ? undefined : this.#continuation);
    const shown = morph(this.#groups.current, this.#tailNodes, [...complete, ...growing]);
    this.#tailNodes = shown.slice(complete.length);
    const length = lengthOf(tokens.slice(0, open));
    this.#tail = this.#tail.slice(length);
    if (open) this.#continuation = undefined;
    if (this.#groups.grow(length) && growing.length) this.#groups.current.append(...this.#tailNodes);
    return shown.slice(0, complete.length);
  }

  /**
   * @param {Token[]} tokens
   * @param {import("./markdown.js").Context} context
   * @param {Continuation} [continuation] of the first one
   */
  #renderTokens(tokens, context, continuation) {
    return tokens.flatMap((token, index) => {
      const node = renderBlock(token, context, index === 0 ? continuation : undefined);
      if (node === null) return [];
      return node instanceof DocumentFragment ? [...node.childNodes] : [node];
    });
  }
}

/** @param {Token[]} tokens */
function lengthOf(tokens) {
  return tokens.reduce((length, { raw }) => length + raw.length, 0);
}

/**
 * Return the index of the last token that is not space.
 *
 * @param {Token[]} tokens
 */
function lastBlock(tokens, before = tokens.length) {
  let index = before - 1;
  while (index > 0 && tokens[index]?.type === "space") index -= 1;
  return index;
}

/**
 * Return the index of the first token that later text may change: the last block, and also the one before it
 * while the last has no complete line. (`1. a`, an empty line and `2` become one list with the next
 * character, a dot.)
 *
 * @param {Token[]} tokens
 */
function firstOpen(tokens) {
  const last = lastBlock(tokens);
  const token = tokens[last];
  if (last <= 0 || !token || token.raw.includes("\n") || token !== tokens.at(-1)) return Math.max(last, 0);
  return lastBlock(tokens, last);
}
