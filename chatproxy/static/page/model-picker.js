// The choice of a model: `auto`, with what it would choose now, and the models that can chat.

import { h } from "../dom/dom.js";
import { texts } from "./texts.js";

const AUTO = "auto";
const TEXTS = texts.page.models;

/**
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").ModelInfo} ModelInfo
 * @typedef {import("../types.js").ModelList} ModelList
 */

export class ModelPicker {
  #select;
  #auto = h("option", { value: AUTO }, TEXTS.auto(""));
  /** @type {ModelList | null} */
  #list = null;
  /** @type {string | null} that of the open session's last answer */
  #last = null;
  /** @type {Promise<ModelList> | null} */
  #reading = null;
  #shown = ""; // the last list, as JSON
  #current = false; // whether that is what Ollama has, as far as Ollama has said

  /** @param {HTMLSelectElement} select @param {(model: string | null) => void} onpick null for `auto` */
  constructor(select, onpick) {
    this.#select = select;
    select.replaceChildren(this.#auto);
    select.addEventListener("change", () => onpick(this.model));
  }

  /** @returns {string | null} the chosen name; null for `auto`, with which the server decides */
  get model() {
    return this.#select.value === AUTO ? null : this.#select.value;
  }

  /** Selects a session's model, which may no longer be installed; null selects `auto`. */
  set model(/** @type {string | null} */ model) {
    const value = model || AUTO;
    const listed = [...this.#select.options].some((option) => option.value === value);
    if (!listed) this.#select.append(h("option", { value }, value));
    this.#select.value = value;
  }

  /** Let the label of `auto` say what it does in a session whose last answer is of this model; null for a new one. */
  set last(/** @type {string | null} */ last) {
    this.#last = last;
    this.#showAuto();
  }

  /** Whether the list has been read, and no model in it can chat. */
  get isEmpty() {
    return this.#list !== null && !this.#list.models.some(canChat);
  }

  /** Have the next `update` read the list: what Ollama has may be something else by then. */
  expire() {
    this.#current = false;
  }

  /**
   * Read the list, unless it is current or being read.
   *
   * @param {ChatClient} client
   */
  async update(client) {
    if (!this.#current && !this.#reading) await this.refresh(client);
  }

  /**
   * Read the list. What is shown stays if it cannot be read; `auto` is accepted without it.
   *
   * @param {ChatClient} client
   */
  async refresh(client) {
    const reading = (this.#reading = client.models());
    try {
      const list = await reading;
      if (reading === this.#reading) this.#show(list);
    } catch (error) {
      // A new token has the list read again.
      this.#current = /** @type {ChatError} */ (error).code === "unauthorized";
    }
    if (reading === this.#reading) this.#reading = null;
  }

  /** @param {ModelList} list */
  #show(list) {
    const { models } = list;
    const described = models.every(({ capabilities }) => capabilities.length > 0);
    const shown = JSON.stringify(list);
    const changed = shown !== this.#shown;
    this.#list = list;
    // An old Ollama does not describe models at all. Without any, somebody is about to install one.
    this.#current = !this.isEmpty && (described || !changed);
    if (!changed) return; // the options stay, because they may be open
    this.#shown = shown;
    const { model } = this;
    const options = models.filter(canChat).map(({ name }) => h("option", { value: name }, name));
    this.#select.replaceChildren(this.#auto, ...options);
    this.model = model;
    this.#showAuto();
  }

  #showAuto() {
    const { models = [], selected = null } = this.#list ?? {};
    const isLast = !selected?.isDefault && models.some(({ name }) => name === this.#last);
    const auto = isLast ? { model: this.#last, reason: TEXTS.last } : selected;
    const label = TEXTS.auto(auto?.model ?? "");
    if (this.#auto.textContent !== label) this.#auto.textContent = label;
    this.#select.title = auto ? TEXTS.reason(auto.reason) : "";
  }
}

/**
 * Return whether a model can chat, as far as is known: Ollama may be slow to describe it.
 *
 * @param {ModelInfo} model
 */
function canChat({ capabilities }) {
  return capabilities.length === 0 || capabilities.includes("completion");
}
