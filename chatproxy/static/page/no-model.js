// What is shown as long as no model is installed: the line to type, and a button that looks again. It goes by itself,
// as the list of models is read again meanwhile (ollama-banner.js).

import { copyText } from "../dom/clipboard.js";
import { h, icon } from "../dom/dom.js";
import { texts } from "./texts.js";

const SUGGESTED = "llama3.2"; // as in chatproxy/models/selection.py
const TEXTS = texts.page.noModel;

export class NoModel {
  #element;
  #onlook;
  #look = h("button", { type: "button", class: "strong", onclick: () => this.#lookAgain() }, TEXTS.look);
  #said = h("span", { role: "status", class: "muted" });

  /** @param {HTMLElement} element @param {() => Promise<void>} onlook reads the list of models */
  constructor(element, onlook) {
    this.#element = element;
    this.#onlook = onlook;
    const line = `ollama pull ${SUGGESTED}`;
    const attributes = { type: "button", class: "icon-button", title: TEXTS.copy, "aria-label": TEXTS.copy };
    const copy = h("button", attributes);
    copy.append(icon("copy"));
    copy.addEventListener("click", () => this.#copy(line));
    element.append(
      h("h2", {}, TEXTS.title),
      h("p", {}, TEXTS.type),
      h("p", { class: "line" }, h("code", {}, line), copy),
      h("p", { class: "again" }, this.#look, this.#said),
    );
  }

  /** @param {boolean} visible */
  setVisible(visible) {
    if (this.#element.hidden === !visible) return;
    this.#element.hidden = !visible;
    this.#said.textContent = "";
  }

  /** @param {string} line */
  async #copy(line) {
    try {
      await copyText(line);
      this.#said.textContent = TEXTS.copied;
    } catch (error) {
      this.#said.textContent = /** @type {Error} */ (error).message;
    }
  }

  async #lookAgain() {
    this.#said.textContent = TEXTS.looking;
    await this.#onlook();
    this.#said.textContent = this.#element.hidden ? "" : TEXTS.still;
  }
}
