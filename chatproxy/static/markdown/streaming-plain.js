// Shows text as it is, while it grows: a question, the thinking, and answers if there is no lexer.

import { lastBreak } from "./cut.js";
import { Groups } from "./groups.js";
import { dequeue, enqueue } from "./render-queue.js";
import { TextQueue } from "./text-queue.js";

const STEP = 4096; // characters

export class StreamingPlain {
  #groups;
  #onrender;
  #pending = new TextQueue();
  /** @type {Text | null} the end of the text */
  #text = null;
  #step = (/** @type {number} */ frame) => this.#render(frame);

  /** @param {HTMLElement} container @param {() => void} [onrender] called after each update of the DOM */
  constructor(container, onrender = () => {}) {
    this.#groups = new Groups(container, "plain");
    this.#onrender = onrender;
  }

  /** @param {string} text */
  append(text) {
    this.#pending.add(text);
    enqueue(this.#step);
  }

  finish() {}

  /** Cancel the update that is scheduled. */
  stop() {
    dequeue(this.#step);
  }

  /** @param {number} frame */
  #render(frame) {
    this.#groups.release(frame);
    this.#text ??= this.#groups.current.appendChild(document.createTextNode(""));
    this.#text.appendData(this.#pending.take(STEP));
    const { length } = this.#text;
    if (length >= STEP) this.#cut(this.#text, length);
    this.#onrender();
    if (!this.#pending.empty) enqueue(this.#step);
  }

  /**
   * Go on in a new group behind the last line or word.
   *
   * @param {Text} text
   * @param {number} length
   */
  #cut(text, length) {
    const at = lastBreak(text.data);
    const rest = at < length ? text.splitText(at) : null;
    this.#groups.grow(length);
    this.#text = rest && this.#groups.current.appendChild(rest);
  }
}
