// The session's document, below the field to write in: its name, which opens the list of documents, and a
// button to remove it.
//
// The element's `document-id` is the state; the next message takes a changed one to the server.

import { ProblemLine } from "./problem-line.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 *
 * @typedef {object} Elements
 * @property {HTMLElement} open the button that shows the document's name
 * @property {HTMLElement} name
 * @property {HTMLElement} remove
 * @property {HTMLElement} problem
 */

export class AttachedDocument {
  #chat;
  #elements;
  #client;
  #problem;
  /** @type {Map<number, string>} */
  #titles = new Map();

  /**
   * @param {import("../chat-interface.js").ChatInterface} chat
   * @param {Elements} elements
   * @param {{client: import("../types.js").ChatClient, onunauthorized: (error: ChatError) => void}} context
   */
  constructor(chat, elements, { client, onunauthorized }) {
    this.#chat = chat;
    this.#elements = elements;
    this.#client = client;
    this.#problem = new ProblemLine(elements.problem, onunauthorized);
    elements.remove.addEventListener("click", () => {
      this.choose(null);
      elements.open.focus();
    });
    chat.addEventListener("chat-send", () => this.#problem.clear());
    new MutationObserver(() => this.#update()).observe(chat, { attributeFilter: ["document-id"] });
    this.#update();
  }

  get id() {
    return this.#chat.documentId;
  }

  /** @param {DocumentInfo | null} document null for none */
  choose(document) {
    if (document) this.#titles.set(document.id, document.title);
    this.#problem.clear();
    this.#chat.documentId = document?.id ?? null;
  }

  /** Drop the choice: another session is opened. */
  leave() {
    this.#problem.clear();
    this.#chat.documentId = undefined;
  }

  /**
   * Attach what was dropped beside the element.
   *
   * @param {{files: File[], folders: boolean}} dropped
   */
  attach({ files, folders }) {
    this.#problem.clear();
    if (files.length) this.#chat.attach(files);
    if (folders) this.#problem.show(this.#chat.labels.folders);
  }

  async #update() {
    const { id } = this;
    this.#showTitle(id, id ? (this.#titles.get(id) ?? "…") : null);
    if (!id || this.#titles.has(id)) return;
    const title = await this.#readTitle(id);
    if (title === null) return;
    this.#titles.set(id, title);
    if (id === this.id) this.#showTitle(id, title);
  }

  /** @param {number} id */
  async #readTitle(id) {
    try {
      return (await this.#client.documents.get(id)).title;
    } catch (error) {
      if (/** @type {ChatError} */ (error).status === 404) return texts.labels.deletedDocument;
      this.#problem.report(error);
      return null;
    }
  }

  /** @param {number | null} id @param {string | null} title */
  #showTitle(id, title) {
    const { open, name, remove } = this.#elements;
    name.textContent = title ?? texts.page.documents.title;
    open.title = title ? texts.page.documents.attached(title) : texts.page.documents.choose;
    open.classList.toggle("chosen", id !== null);
    remove.hidden = id === null;
    remove.title = texts.labels.removeDocument(title ?? "");
    remove.setAttribute("aria-label", remove.title);
  }
}
