// A long text as a row of groups, each about a screen or two. The style sheet gives complete ones
// `content-visibility: auto`: the browser lays out O(one group) for each update plus what is on screen.

import { h } from "../dom/dom.js";

const GROUP = 2048; // characters

export class Groups {
  #container;
  #kind;
  /** @type {HTMLElement | null} created when it is needed */
  #current = null;
  #length = 0;
  /** @type {HTMLElement[]} complete groups that may not have been laid out yet */
  #complete = [];
  #frame = 0;

  /** @param {HTMLElement} container @param {string} [kind] a class for each group */
  constructor(container, kind = "") {
    container.replaceChildren();
    this.#container = container;
    this.#kind = kind;
  }

  /**
   * The group that takes what comes next. Each has a direction of its own: whenever an element with
   * `dir="auto"` changes, the browser looks for its first letter again, in vain if there are only figures.
   */
  get current() {
    const attributes = { class: `group ${this.#kind}`.trim(), dir: "auto" };
    this.#current ??= this.#container.appendChild(h("div", attributes));
    return this.#current;
  }

  /**
   * Count what is complete in the current group, and return whether that makes the group complete, too.
   *
   * @param {number} length in characters
   */
  grow(length) {
    this.#length += length;
    if (this.#length < GROUP) return false;
    this.#complete.push(this.current);
    this.#current = null;
    this.#length = 0;
    return true;
  }

  /**
   * Let the browser skip the groups that were complete in an earlier frame: it has laid them out, and
   * remembers their sizes.
   *
   * @param {number} frame
   */
  release(frame) {
    if (frame === this.#frame) return;
    this.#frame = frame;
    for (const group of this.#complete.splice(0)) group.classList.add("complete");
  }
}
