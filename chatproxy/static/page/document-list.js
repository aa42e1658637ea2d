// The list of documents, in a dialog: choose one for the session, delete one, or upload a file.

import { h, icon, iconButton } from "../dom/dom.js";
import { ProblemLine } from "./problem-line.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 *
 * @typedef {object} Elements
 * @property {HTMLDialogElement} dialog
 * @property {HTMLElement} list
 * @property {HTMLElement} empty
 * @property {HTMLElement} more
 * @property {HTMLElement} chooseFile
 * @property {HTMLInputElement} fileInput
 * @property {HTMLElement} close
 * @property {HTMLElement} problem
 *
 * @typedef {object} Handlers
 * @property {() => number | null} current returns the id of the session's document
 * @property {(document: DocumentInfo) => void} onchoose
 * @property {(document: DocumentInfo) => Promise<void>} ondelete
 * @property {(files: File[]) => void} onfiles
 * @property {(error: ChatError) => void} onunauthorized
 */

export class DocumentList {
  #elements;
  #client;
  #handlers;
  #problem;
  /** @type {DocumentInfo[]} */
  #documents = [];
  /** @type {number | null} */
  #next = null;
  #renderedKey = "";

  /**
   * @param {Elements} elements
   * @param {import("../types.js").ChatClient} client
   * @param {Handlers} handlers
   */
  constructor(elements, client, handlers) {
    const { more, close, chooseFile, fileInput, problem } = elements;
    this.#elements = elements;
    this.#client = client;
    this.#handlers = handlers;
    // In the dialog: screen readers do not read the page behind it.
    this.#problem = new ProblemLine(problem, (error) => {
      this.close();
      handlers.onunauthorized(error);
    });
    more.addEventListener("click", () => this.#read(this.#next));
    close.addEventListener("click", () => this.close());
    chooseFile.addEventListener("click", () => fileInput.click());
    fileInput.addEventListener("change", () => {
      const files = [...(fileInput.files ?? [])];
      fileInput.value = "";
      this.close();
      handlers.onfiles(files);
    });
  }

  open() {
    this.#problem.clear();
    this.#elements.dialog.showModal();
    return this.#read(null);
  }

  close() {
    this.#elements.dialog.close();
  }

  /** @param {number | null} before null reads the first page */
  async #read(before) {
    try {
      const page = await this.#client.documents.list({ before });
      this.#documents = before === null ? page.documents : [...this.#documents, ...page.documents];
      this.#next = page.next;
      this.#render();
    } catch (error) {
      this.#problem.report(error);
    }
  }

  #render() {
    const { list, empty, more } = this.#elements;
    empty.hidden = this.#documents.length > 0;
    more.hidden = this.#next === null;
    const key = JSON.stringify([this.#documents.map(({ id }) => id), this.#handlers.current()]);
    if (key === this.#renderedKey) return; // keep the items: one may have the focus
    this.#renderedKey = key;
    list.replaceChildren(...this.#documents.map((document) => this.#item(document)));
  }

  /** @param {DocumentInfo} document */
  #item(document) {
    const { title, bytes, createdAt } = document;
    const details = texts.page.documents.facts(bytes, new Date(createdAt));
    const current = document.id === this.#handlers.current() ? "true" : null;
    const choose = h(
      "button",
      { type: "button", class: "choose", title, "aria-current": current },
      icon("document"),
    );
    choose.append(
      h("span", { class: "name", dir: "auto" }, title),
      " ",
      h("span", { class: "size" }, details),
    );
    choose.addEventListener("click", () => {
      this.close();
      this.#handlers.onchoose(document);
    });
    const remove = iconButton("trash", texts.page.documents.delete(title), () => this.#delete(document), {
      class: "icon-button",
    });
    return h("li", {}, choose, remove);
  }

  /** @param {DocumentInfo} document */
  async #delete(document) {
    try {
      await this.#handlers.ondelete(document);
      await this.#read(null);
    } catch (error) {
      this.#problem.report(error);
    }
    this.#elements.chooseFile.focus();
  }
}
