// Code that is coloured while it grows. What was read stays as it is: a step costs as much as the lines that it adds. A
// part of a long block goes on with the state in which the part before it ended.

import { h } from "../dom/dom.js";
import { Later } from "../dom/later.js";
import { morph, updates } from "./morph.js";
import { enqueue } from "./render-queue.js";

const OPEN_LINES = 2; // at the end: the last one grows, and may become the fence that closes the block
const BLOCK = 32; // lines that the browser lays out together

/** @typedef {import("./tokens.js").Tokenizer} Tokenizer */

export const tokens = new Later(() => import("./tokens.js"));

/** @type {WeakMap<Node, CodeView>} */
const views = new WeakMap();

/**
 * Create the element of a block of code, which has colours if its language is known.
 *
 * @param {string} code
 * @param {string} info the words behind the fence
 * @param {Element} [before] the element of the part that this one continues
 */
export function codeElement(code, info, before) {
  const element = h("code", {}, code);
  if (info) new CodeView(element, code, info, before && views.get(before));
  return element;
}

class CodeView {
  #element;
  #text;
  #info;
  #before;
  #taken = false; // by a view that is shown already
  #block = newBlock(); // the last one; those before it are complete
  #blockLines = 0; // lines in it that do not change any more
  /** @type {Node[]} those of the lines that may still change */
  #openNodes = [];
  #closed = 0; // characters of the lines before them
  /** @type {Tokenizer | undefined} at the end of those lines */
  #tokenizer;
  /** @type {Tokenizer | undefined} at the end of the text */
  #end;

  /**
   * @param {Element} element
   * @param {string} text
   * @param {string} info
   * @param {CodeView} [before]
   */
  constructor(element, text, info, before) {
    this.#element = element;
    this.#text = text;
    this.#info = info;
    this.#before = before;
    views.set(element, this);
    updates.set(element, (newer) => this.#takeOver(newer));
    queueMicrotask(() => this.#begin()); // when the step of rendering is over, it is known which views are shown
  }

  #begin() {
    if (this.#taken) return;
    if (!this.#colour()) void this.#load();
  }

  async #load() {
    const module = await tokens.load();
    if (await module?.loadMode(this.#info)) enqueue(() => !this.#taken && this.#colour());
  }

  /** Colour what is there; false: the language is not loaded. */
  #colour() {
    if (!this.#tokenizer) {
      this.#tokenizer = this.#before?.endsAt() ?? tokens.now?.Tokenizer.of(this.#info);
      if (!this.#tokenizer) return false;
      this.#element.replaceChildren(this.#block);
    }
    this.#show(this.#text);
    return true;
  }

  /** Return a tokenizer at the end of the text. */
  endsAt() {
    if (!this.#end) this.#colour();
    return this.#end?.copy();
  }

  /** @param {Node} newer @returns {boolean} whether it shows the same code, or more */
  #takeOver(newer) {
    const other = views.get(newer);
    const closed = this.#text.slice(0, this.#closed);
    if (!other || other.#info !== this.#info || !other.#text.startsWith(closed)) return false;
    other.#taken = true;
    this.#show(other.#text);
    return true;
  }

  /** @param {string} text the same up to the lines that are open */
  #show(text) {
    this.#text = text;
    if (!this.#tokenizer) {
      morph(this.#element, [...this.#element.childNodes], [document.createTextNode(text)]);
      return;
    }
    const lines = text.slice(this.#closed).split(/(?<=\n)/);
    for (let full = true; full; ) {
      const room = BLOCK - this.#blockLines;
      const closing = lines.splice(0, Math.max(Math.min(room, lines.length - OPEN_LINES), 0));
      full = closing.length === room;
      const closed = nodesOf(closing, this.#tokenizer);
      this.#end = this.#tokenizer.copy();
      const shown = morph(this.#block, this.#openNodes, [...closed, ...(full ? [] : nodesOf(lines, this.#end))]);
      this.#openNodes = full ? [] : shown.slice(closed.length);
      this.#closed += closing.join("").length;
      this.#blockLines = full ? 0 : this.#blockLines + closing.length;
      if (full) this.#block = this.#element.appendChild(newBlock());
    }
  }
}

/** Create the element of some lines, which the browser lays out apart from others. */
function newBlock() {
  return h("span", { class: "lines" });
}

/**
 * @param {string[]} lines with their ends
 * @param {Tokenizer} tokenizer
 * @returns {Node[]}
 */
function nodesOf(lines, tokenizer) {
  return lines.flatMap((line) => {
    const end = line.endsWith("\n") ? "\n" : "";
    const pieces = tokenizer.read(line.slice(0, line.length - end.length));
    const nodes = pieces.map(({ text, kind }) =>
      kind ? h("span", { class: `code-${kind}` }, text) : document.createTextNode(text),
    );
    return end ? [...nodes, document.createTextNode(end)] : nodes;
  });
}
