// A line that says what went wrong, until it is cleared.

import { h } from "../dom/dom.js";
import { sentenceFor } from "../element/problems.js";
import { requestIdOf } from "../element/request-id.js";
import { texts } from "./texts.js";

/** @typedef {import("../types.js").ChatError} ChatError */

export class ProblemLine {
  #element;
  #onunauthorized;

  /**
   * @param {HTMLElement} element
   * @param {(error: ChatError) => void} onunauthorized called instead of showing that the token is missing or
   *   wrong
   */
  constructor(element, onunauthorized) {
    this.#element = element;
    this.#onunauthorized = onunauthorized;
  }

  /** @param {string} sentence */
  show(sentence) {
    this.#element.textContent = sentence;
    this.#element.hidden = false;
  }

  clear() {
    this.#element.textContent = "";
    this.#element.hidden = true;
  }

  #offerReload() {
    const onclick = () => location.reload();
    this.#element.append(" ", h("button", { type: "button", class: "text-button", onclick }, texts.labels.reload));
  }

  /** @param {unknown} error of the client @param {string} [sentence] says more than the error's own */
  report(error, sentence) {
    const problem = /** @type {ChatError} */ (error);
    if (problem.code === "unauthorized") this.#onunauthorized(problem);
    else if (problem.code === "aborted") this.clear();
    else {
      this.show(sentence ?? sentenceFor(problem, texts.labels));
      this.#element.append(...requestIdOf(problem, texts.labels));
    }
    if (problem.code === "login_expired") this.#offerReload();
  }
}
