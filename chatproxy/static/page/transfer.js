// All conversations to a file, and those of a file into the list.

import { ask } from "../dom/dialogs.js";
import { h } from "../dom/dom.js";
import { saveFile } from "./export-menu.js";
import { texts } from "./texts.js";

/** @typedef {import("../types.js").ImportResult} ImportResult */

const TEXTS = texts.page.transfer;

const LISTED = 100; // refusals

/**
 * @typedef {object} Handlers
 * @property {(sentence: string) => void} onnotice "": there is nothing to be said any more
 * @property {(error: unknown) => void} onproblem
 * @property {() => void} onimport
 */

export class Transfer {
  #client;
  #elements;
  #handlers;

  /**
   * @param {import("../types.js").ChatClient} client
   * @param {{input: HTMLInputElement, dialog: HTMLDialogElement}} elements
   * @param {Handlers} handlers
   */
  constructor(client, elements, handlers) {
    this.#client = client;
    this.#elements = elements;
    this.#handlers = handlers;
    elements.input.addEventListener("change", () => {
      const [file] = elements.input.files ?? [];
      if (file) this.#import(file);
      elements.input.value = ""; // the same file may be chosen again
    });
  }

  /** Let a file be chosen, and import it. */
  choose() {
    this.#elements.input.click();
  }

  async exportAll() {
    const blob = await this.#attempt(TEXTS.exporting, () => this.#client.sessions.exportAll());
    if (!blob) return;
    saveFile(blob, `chatproxy ${new Date().toISOString().slice(0, "YYYY-MM-DD".length)}.json`);
    this.#handlers.onnotice(TEXTS.exported);
  }

  /** @param {File} file */
  async #import(file) {
    const result = await this.#attempt(TEXTS.importing(file.name), () => this.#client.sessions.import(file));
    if (!result) return;
    this.#handlers.onimport();
    await showImported(this.#elements.dialog, result);
  }

  /**
   * @template Result
   * @param {string} notice shown meanwhile
   * @param {() => Promise<Result>} act
   */
  async #attempt(notice, act) {
    this.#handlers.onnotice(notice);
    try {
      return await act();
    } catch (error) {
      this.#handlers.onproblem(error);
      return null;
    } finally {
      this.#handlers.onnotice("");
    }
  }
}

/**
 * Say what came of an import, until the dialog is closed.
 *
 * @param {HTMLDialogElement} dialog
 * @param {ImportResult} result
 */
async function showImported(dialog, result) {
  const { imported, known, refused, refusals, leftOut, stopped } = result;
  const sentences = [TEXTS.imported(imported)];
  if (known) sentences.push(TEXTS.known(known));
  if (stopped) sentences.push(TEXTS.stopped(stopped.error));
  if (refused) sentences.push(TEXTS.refused(refused));
  const listed = refusals
    .slice(0, LISTED)
    .map(({ index, title, error }) => TEXTS.refusal(title ?? TEXTS.nameless(index), error));
  if (refused > listed.length) listed.push(TEXTS.more(refused - listed.length));
  const items = (/** @type {string[]} */ lines) => lines.map((line) => h("li", {}, line));
  dialog.querySelector("p")?.replaceChildren(sentences.join(" "));
  dialog.querySelector(".refusals")?.replaceChildren(...items(listed));
  dialog.querySelector(".left-out")?.replaceChildren(...items(leftOut.map(({ message }) => message)));
  await ask(dialog);
}
