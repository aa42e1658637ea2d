// Selecting sessions of the list, to delete them together: a box in each item, and a bar above the list.

import { confirm } from "../dom/dialogs.js";
import { h } from "../dom/dom.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").SessionItem} SessionItem
 */

const TEXTS = texts.page.selection;

const AT_ONCE = 4; // the browser has six connections, and the answer that is read has one
const FINAL = ["unauthorized", "connection_lost"]; // what would fail for all others, too

/**
 * @typedef {object} Elements
 * @property {HTMLElement} list
 * @property {HTMLElement} bar
 * @property {HTMLInputElement} all
 * @property {HTMLElement} allText
 * @property {HTMLButtonElement} remove
 * @property {HTMLButtonElement} cancel
 * @property {HTMLProgressElement} progress
 * @property {HTMLDialogElement} confirm
 *
 * @typedef {object} Handlers
 * @property {(id: string) => Promise<void>} delete
 * @property {() => void} onchange boxes come, or go
 * @property {(deleted: Set<string>) => Promise<void>} ondelete
 * @property {(sentence: string) => void} onnotice
 * @property {(sentence: string, error: unknown) => void} onproblem
 */

export class Selection {
  #elements;
  #handlers;
  #titleOf;
  /** @type {SessionItem[]} what is shown, in the order of the list */
  #shown = [];
  /** @type {Set<string>} */
  #selected = new Set();
  /** @type {string | null} where a range begins */
  #anchor = null;
  /** Whether sessions are being selected. */
  active = false;

  /**
   * @param {Elements} elements
   * @param {(session: SessionItem) => string} titleOf
   * @param {Handlers} handlers
   */
  constructor(elements, titleOf, handlers) {
    const { bar, all, allText, remove, cancel } = (this.#elements = elements);
    this.#titleOf = titleOf;
    this.#handlers = handlers;
    allText.textContent = TEXTS.all;
    cancel.textContent = TEXTS.cancel;
    all.addEventListener("change", () => this.#selectAll(all.checked));
    remove.addEventListener("click", () => this.#delete());
    cancel.addEventListener("click", () => this.stop());
    bar.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  start() {
    this.active = true;
    this.#selected.clear();
    this.#anchor = null;
    this.#handlers.onchange();
    this.#update();
    this.#elements.all.focus();
  }

  stop() {
    this.active = false;
    this.#update();
    this.#handlers.onchange();
  }

  /**
   * Take note of what is shown: nothing else can be selected.
   *
   * @param {SessionItem[]} sessions in the order of the list
   */
  note(sessions) {
    this.#shown = sessions;
    const ids = new Set(sessions.map(({ id }) => id));
    for (const id of this.#selected) if (!ids.has(id)) this.#selected.delete(id);
    this.#update();
  }

  /**
   * Return the box of a session, with its title.
   *
   * @param {SessionItem} session
   */
  box(session) {
    const { id } = session;
    const box = h("input", { type: "checkbox", class: "session", "data-session": id });
    box.checked = this.#selected.has(id);
    box.addEventListener("click", ({ shiftKey }) => this.#select(id, box.checked, shiftKey));
    box.addEventListener("keydown", (event) => this.#handleKey(event));
    return h("label", { class: "pick" }, box, h("span", { dir: "auto" }, this.#titleOf(session)));
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    if (event.key !== "Escape" || this.#busy) return;
    event.stopPropagation(); // it would also hide the sidebar
    this.stop();
  }

  /** @param {string} id @param {boolean} selected @param {boolean} range with all from the last one that was clicked */
  #select(id, selected, range) {
    const ids = this.#shown.map((session) => session.id);
    const index = ids.indexOf(id);
    const start = range && this.#anchor !== null ? ids.indexOf(this.#anchor) : -1;
    const from = start < 0 ? index : Math.min(start, index);
    this.#set(ids.slice(from, Math.max(start, index) + 1), selected);
    this.#anchor = id;
  }

  /** @param {boolean} selected */
  #selectAll(selected) {
    this.#set(
      this.#shown.map(({ id }) => id),
      selected,
    );
  }

  /** @param {string[]} ids @param {boolean} selected */
  #set(ids, selected) {
    for (const id of ids) {
      if (selected) this.#selected.add(id);
      else this.#selected.delete(id);
    }
    this.#update();
  }

  get #busy() {
    return !this.#elements.progress.hidden;
  }

  #update() {
    const { list, bar, all, remove, cancel } = this.#elements;
    const count = this.#selected.size;
    bar.hidden = !this.active;
    all.checked = count > 0 && count === this.#shown.length;
    all.indeterminate = count > 0 && !all.checked;
    remove.textContent = TEXTS.delete(count);
    remove.disabled = count === 0 || this.#busy;
    all.disabled = cancel.disabled = this.#busy;
    for (const box of list.querySelectorAll(/** @type {"input"} */ ("input.session"))) {
      box.checked = this.#selected.has(box.dataset.session ?? "");
      box.disabled = this.#busy;
    }
  }

  async #delete() {
    const sessions = this.#shown.filter(({ id }) => this.#selected.has(id));
    if (!(await confirm(this.#elements.confirm, TEXTS.question(sessions.length)))) return;
    this.#handlers.onnotice(TEXTS.deleting(sessions.length));
    const { deleted, failures } = await this.#deleteAll(sessions);
    this.stop();
    this.#handlers.onnotice(TEXTS.deleted(deleted.size));
    await this.#handlers.ondelete(deleted);
    const [first] = failures;
    if (!first) return;
    const { session, error } = first;
    const count = sessions.length - deleted.size;
    const reason = /** @type {ChatError} */ (error).message;
    this.#handlers.onproblem(TEXTS.failed(count, this.#titleOf(session), reason), error);
  }

  /** @param {SessionItem[]} sessions */
  async #deleteAll(sessions) {
    const { progress } = this.#elements;
    /** @type {Set<string>} */
    const deleted = new Set();
    /** @type {{session: SessionItem, error: unknown}[]} */
    const failures = [];
    const left = [...sessions];
    progress.max = sessions.length;
    progress.value = 0;
    progress.hidden = false;
    this.#update();
    const work = async () => {
      for (let session = left.shift(); session; session = left.shift()) {
        try {
          await this.#handlers.delete(session.id);
          deleted.add(session.id);
        } catch (error) {
          const { code = "" } = /** @type {Partial<ChatError>} */ (error);
          if (code === "not_found") deleted.add(session.id);
          else failures.push({ session, error });
          if (FINAL.includes(code)) left.length = 0;
        }
        progress.value += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    progress.hidden = true;
    return { deleted, failures };
  }
}
