// The choice of a model: `auto`, with what it would choose now, and the models that can chat.

import { h } from "../dom/dom.js";

const AUTO = "auto";

/**
 * @typedef {import("../types.js").ChatClient} ChatClient
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").ModelInfo} ModelInfo
 * @typedef {import("../types.js").ModelList} ModelList
 */

export class ModelPicker {
  #select;
  /** @type {Promise<ModelList> | null} */
  #reading = null;
  #shown = ""; // the last list, as JSON
  #current = false; // whether that is what Ollama has, as far as Ollama has said

  /** @param {HTMLSelectElement} select @param {(model: string) => void} onpick */
  constructor(select, onpick) {
    this.#select = select;
    select.addEventListener("change", () => onpick(select.value));
  }

  /** @returns {string} the chosen name, or "auto" */
  get model() {
    return this.#select.value;
  }

  /** Selects a session's model, which may no longer be installed; null selects `auto`. */
  set model(/** @type {string | null} */ model) {
    const value = model || AUTO;
    const listed = [...this.#select.options].some((option) => option.value === value);
    if (!listed) this.#select.append(h("option", { value }, value));
    this.#select.value = value;
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
    const { models, selected } = list;
    const described = models.every(({ capabilities }) => capabilities.length > 0);
    const shown = JSON.stringify(list);
    const changed = shown !== this.#shown;
    this.#current = described || !changed; // an old Ollama does not describe models at all
    if (!changed) return; // the options stay, because they may be open
    this.#shown = shown;
    const { model } = this;
    const auto = h("option", { value: AUTO }, selected ? `auto (${selected.model})` : AUTO);
    const options = models.filter(canChat).map(({ name }) => h("option", { value: name }, name));
    this.#select.replaceChildren(auto, ...options);
    this.#select.title = selected ? `auto: ${selected.reason}` : "";
    this.model = model;
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
