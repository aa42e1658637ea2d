// The choice of a model: `auto`, with what it would choose now, and the models that can chat.

import { h } from "../dom/dom.js";

const AUTO = "auto";

export class ModelPicker {
  #select;

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

  /**
   * Read the list of models. A server that cannot list them still accepts `auto`.
   *
   * @param {import("../types.js").ChatClient} client
   */
  async refresh(client) {
    const { models, selected } = await client.models().catch(() => ({ models: [], selected: null }));
    const { model } = this;
    const auto = h("option", { value: AUTO }, selected ? `auto (${selected.model})` : AUTO);
    const able = models.filter(({ capabilities }) => capabilities.includes("completion"));
    this.#select.replaceChildren(auto, ...able.map(({ name }) => h("option", { value: name }, name)));
    this.#select.title = selected ? `auto: ${selected.reason}` : "";
    this.model = model;
  }
}
