// The page's list of documents, in a dialog: choose one for the session, delete, or bring in a file.

import { h, icon, iconButton } from "../dom/dom.js";

/**
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 * @typedef {{dialog: HTMLDialogElement, list: HTMLElement, none: HTMLElement, more: HTMLElement,
 *   file: HTMLInputElement, choose: HTMLElement, close: HTMLElement, problem: HTMLElement}} Places
 */

export class DocumentList {
  /** @type {DocumentInfo[]} */
  #documents = [];
  /** @type {string | number | null} */
  #next = null;

  /**
   * @param {Places} places
   * @param {{client: import("../types.js").ChatClient, current: () => number | null, onfiles: (files: File[]) => void,
   *   onchoose: (document: DocumentInfo) => void, ondelete: (document: DocumentInfo) => Promise<void>,
   *   onproblem: (error: any) => void}} handlers
   */
  constructor(places, handlers) {
    this.places = places;
    this.handlers = handlers;
    places.more.addEventListener("click", () => this.#read(this.#next));
    places.close.addEventListener("click", () => this.close());
    places.choose.addEventListener("click", () => places.file.click());
    places.file.addEventListener("change", () => this.#brought([...(places.file.files ?? [])]));
  }

  open() {
    this.#tell("");
    this.places.dialog.showModal();
    return this.#read(null);
  }

  close() {
    this.places.dialog.close();
  }

  /** @param {File[]} files */
  #brought(files) {
    this.places.file.value = "";
    this.close();
    this.handlers.onfiles(files);
  }

  /** @param {string | number | null} before */
  async #read(before) {
    try {
      const page = await this.handlers.client.documents.list({ before });
      this.#documents = before === null ? page.documents : [...this.#documents, ...page.documents];
      this.#next = page.next;
      this.#show();
    } catch (error) {
      this.#failed(error);
    }
  }

  #show() {
    const { list, none, more } = this.places;
    list.replaceChildren(...this.#documents.map((document) => this.#item(document)));
    none.hidden = this.#documents.length > 0;
    more.hidden = this.#next === null;
  }

  /** @param {DocumentInfo} document */
  #item(document) {
    const { title, bytes, createdAt } = document;
    const about = `${size(bytes)} · ${new Date(createdAt).toLocaleDateString()}`;
    const current = document.id === this.handlers.current() ? "true" : null;
    const choose = h("button", { type: "button", class: "choose", title, "aria-current": current }, icon("document"));
    choose.append(h("span", { class: "name", dir: "auto" }, title), " ", h("span", { class: "size" }, about));
    choose.addEventListener("click", () => {
      this.close();
      this.handlers.onchoose(document);
    });
    return h("li", {}, choose, iconButton("trash", `Delete ${title}`, () => this.#delete(document), { class: "icon-button" }));
  }

  /** @param {DocumentInfo} document */
  async #delete(document) {
    try {
      await this.handlers.ondelete(document);
      await this.#read(null);
    } catch (error) {
      this.#failed(error);
    }
    this.places.choose.focus();
  }

  /** @param {any} error */
  #failed(error) {
    if (error.code === "unauthorized") {
      this.close();
      this.handlers.onproblem(error);
    } else {
      this.#tell(error.message);
    }
  }

  /** Here, for the page behind a dialog is not read. @param {string} sentence */
  #tell(sentence) {
    this.places.problem.textContent = sentence;
    this.places.problem.hidden = !sentence;
  }
}

/** @param {number} bytes */
function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
