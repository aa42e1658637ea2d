// The session's document, below the field to write in: its name, a button to remove it, and uploads in
// progress.
//
// The element's `document-id` is the state; the next message takes a changed one to the server.

import { h } from "../dom/dom.js";
import { ProblemLine } from "./problem-line.js";

/**
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 *
 * @typedef {object} Elements
 * @property {HTMLElement} open the button that shows the document's name
 * @property {HTMLElement} name
 * @property {HTMLElement} remove
 * @property {HTMLElement} upload
 * @property {HTMLElement} uploadStatus
 * @property {HTMLProgressElement} progress
 * @property {HTMLElement} cancel
 * @property {HTMLElement} problem
 */

export class AttachedDocument {
  #chat;
  #elements;
  #client;
  #problem;
  /** @type {Map<number, string>} */
  #titles = new Map();
  /** @type {AbortController | null} */
  #uploading = null;
  #sessions = 0; // counts the sessions that were opened

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
    elements.cancel.addEventListener("click", () => this.#uploading?.abort());
    chat.addEventListener("chat-send", (event) => this.#handleSend(event));
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
    this.#sessions += 1;
    this.#problem.clear();
    this.#chat.documentId = undefined;
  }

  /**
   * Upload files one after the other, and attach each. All end up in the list of documents.
   *
   * @param {File[]} files
   */
  async upload(files) {
    if (this.#uploading) {
      return this.#problem.show("An upload is still in progress; wait for it or cancel it.");
    }
    const session = this.#sessions;
    this.#uploading = new AbortController();
    this.#problem.clear();
    try {
      for (const file of files) {
        const document = await this.#uploadFile(file, this.#uploading.signal);
        if (session === this.#sessions) this.choose(document);
      }
    } catch (error) {
      this.#problem.report(error);
    } finally {
      this.#uploading = null;
      this.#elements.upload.hidden = true;
    }
  }

  /** @param {File} file @param {AbortSignal} signal */
  #uploadFile(file, signal) {
    this.#showProgress("Uploading", file.name, 0);
    const onProgress = (/** @type {import("../types.js").UploadProgress} */ { loaded, total }) => {
      if (loaded < total) this.#showProgress("Uploading", file.name, loaded / total);
      else this.#showProgress("Reading", file.name); // the server extracts the text
    };
    return this.#client.documents.create(file, { onProgress, signal });
  }

  /**
   * @param {string} verb
   * @param {string} name
   * @param {number} [share] from 0 to 1; undefined if it is unknown
   */
  #showProgress(verb, name, share) {
    const { upload, uploadStatus, progress } = this.#elements;
    upload.hidden = false;
    if (uploadStatus.textContent !== `${verb} ${name}`) {
      uploadStatus.replaceChildren(`${verb} `, h("bdi", {}, name));
    }
    if (share === undefined) progress.removeAttribute("value");
    else progress.value = share;
  }

  /**
   * Hold a message back during an upload: it would be answered without the document. The text stays in the
   * field.
   *
   * @param {Event} event
   */
  #handleSend(event) {
    if (!this.#uploading) return this.#problem.clear();
    event.preventDefault();
    this.#problem.show("The document is still uploading; send the message when it is done.");
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
      return /** @type {ChatError} */ (error).status === 404 ? "Deleted document" : null;
    }
  }

  /** @param {number | null} id @param {string | null} title */
  #showTitle(id, title) {
    const { open, name, remove } = this.#elements;
    name.textContent = title ?? "Add a document";
    open.title = title ? `Document: ${title}` : "";
    open.classList.toggle("chosen", id !== null);
    remove.hidden = id === null;
    remove.title = `Remove ${title}`;
    remove.setAttribute("aria-label", remove.title);
  }
}
