// The settings of one conversation: its system prompt, the temperature, and whether the model thinks. They are the
// session's, or those of the next one until its first message creates it.

import { ask } from "../dom/dialogs.js";

/**
 * @typedef {import("../types.js").Session} Session
 * @typedef {import("../types.js").SessionRequest} SessionRequest
 * @typedef {import("../types.js").Think} Think
 * @typedef {Pick<Session, "system" | "think" | "options">} Settings
 *
 * @typedef {object} Elements
 * @property {HTMLDialogElement} dialog
 * @property {HTMLTextAreaElement} system
 * @property {HTMLInputElement} temperature
 * @property {HTMLSelectElement} think
 * @property {HTMLElement} cancel a button that submits nothing: Enter in a field would choose the first that does
 */

export class SettingsDialog {
  #elements;

  /** @param {Elements} elements */
  constructor(elements) {
    this.#elements = elements;
    elements.cancel.addEventListener("click", () => elements.dialog.close());
  }

  /**
   * Show settings, and return what was changed of them; null if nothing was, or the dialog was dismissed.
   *
   * @param {Settings} settings
   * @returns {Promise<Partial<Settings> | null>}
   */
  async change({ system, think, options }) {
    const fields = this.#elements;
    const { temperature = null, ...others } = options ?? {};
    fields.system.value = system ?? "";
    fields.temperature.value = temperature === null ? "" : String(temperature);
    fields.think.value = think === null ? "" : String(think);
    if ((await ask(fields.dialog)) !== "save") return null;
    /** @type {Partial<Settings>} */
    const changes = {};
    if (fields.system.value !== (system ?? "")) changes.system = fields.system.value || null;
    const wanted = thinkOf(fields.think.value);
    if (wanted !== think) changes.think = wanted;
    const warmth = fields.temperature.value === "" ? null : fields.temperature.valueAsNumber;
    if (warmth !== temperature) {
      const set = warmth === null ? others : { ...others, temperature: warmth };
      changes.options = Object.keys(set).length > 0 ? set : null;
    }
    return Object.keys(changes).length > 0 ? changes : null;
  }
}

/** @param {string} value of the field @returns {Think | null} */
function thinkOf(value) {
  if (value === "true" || value === "false") return value === "true";
  return value === "" ? null : /** @type {Think} */ (value);
}
