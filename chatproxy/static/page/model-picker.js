// The page's choice of a model: `auto` with what it would be now, and those that can chat.

import { h } from "../dom/dom.js";

export const AUTO = "auto";

export class ModelPicker {
  /** @param {HTMLSelectElement} select @param {(model: string) => void} onpick */
  constructor(select, onpick) {
    this.select = select;
    select.addEventListener("change", () => onpick(select.value));
  }

  /** A server that cannot say which models there are still takes `auto`. @param {any} client */
  async refresh(client) {
    const { models, selected } = await client.models().catch(() => ({ models: [], selected: null }));
    const chosen = this.select.value;
    const auto = h("option", { value: AUTO }, selected?.model ? `auto (${selected.model})` : AUTO);
    const able = models.filter((/** @type {any} */ { capabilities }) => !capabilities || capabilities.includes("completion"));
    this.select.replaceChildren(auto, ...able.map((/** @type {any} */ { name }) => h("option", { value: name }, name)));
    this.select.title = selected?.reason ? `auto: ${selected.reason}` : "";
    this.show(chosen);
  }

  /** @param {string | null} model a session's, which may be gone from the server meanwhile */
  show(model) {
    const value = model || AUTO;
    if (![...this.select.options].some((option) => option.value === value)) this.select.append(h("option", { value }, value));
    this.select.value = value;
  }
}
