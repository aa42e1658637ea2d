// The session's document, below the field: which one it is, how to take it off, and a file on its way to become it.
//
// The element's attribute `document-id` is the truth; the next message takes a new choice along.

import { h } from "../dom/dom.js";

/**
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 * @typedef {{open: HTMLElement, name: HTMLElement, off: HTMLElement, upload: HTMLElement, says: HTMLElement,
 *   progress: HTMLProgressElement, cancel: HTMLElement, problem: HTMLElement}} Places
 */

export class SessionDocument {
  /** @type {Map<number, string>} */
  #titles = new Map();
  /** @type {AbortController | null} */
  #uploading = null;
  #place = 0; // counts the sessions that were opened

  /**
   * @param {HTMLElement} chat @param {Places} places
   * @param {{client: import("../types.js").ChatClient, onproblem: (error: any) => void}} surroundings
   */
  constructor(chat, places, { client, onproblem }) {
    this.chat = chat;
    this.places = places;
    this.client = client;
    this.onproblem = onproblem;
    places.off.addEventListener("click", () => (this.choose(null), places.open.focus()));
    places.cancel.addEventListener("click", () => this.#uploading?.abort());
    chat.addEventListener("chat-send", (event) => this.#sending(event));
    new MutationObserver(() => this.#show()).observe(chat, { attributeFilter: ["document-id"] });
    this.#show();
  }

  get id() {
    return Number(this.chat.getAttribute("document-id")) || null;
  }

  /** @param {DocumentInfo | null} document */
  choose(document) {
    if (document) this.#titles.set(document.id, document.title);
    this.#tell("");
    this.chat.setAttribute("document-id", String(document?.id ?? ""));
  }

  /** Another session is opened: what was chosen here was not for it. */
  leave() {
    this.#place += 1;
    this.#tell("");
    this.chat.removeAttribute("document-id");
  }

  /** One after the other; the last is the session's, and all are in the list. @param {File[]} files */
  async upload(files) {
    if (this.#uploading) return this.#tell("One upload is still on its way; wait for it, or cancel it.");
    const place = this.#place;
    this.#uploading = new AbortController();
    this.#tell("");
    try {
      for (const file of files) {
        const document = await this.#send(file, this.#uploading.signal);
        if (place === this.#place) this.choose(document);
      }
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#uploading = null;
      this.places.upload.hidden = true;
    }
  }

  /** @param {File} file @param {AbortSignal} signal */
  #send(file, signal) {
    this.#progress("Uploading", file.name, 0);
    const onProgress = (/** @type {import("../types.js").UploadProgress} */ { loaded, total }) => {
      if (loaded < total) this.#progress("Uploading", file.name, loaded / total);
      else this.#progress("Reading", file.name); // the server finds the text in it, which takes what it takes
    };
    return this.client.documents.create(file, { onProgress, signal });
  }

  /** @param {string} doing @param {string} name @param {number} [part] of 1; absent: unknown */
  #progress(doing, name, part) {
    const { upload, says, progress } = this.places;
    upload.hidden = false;
    if (says.textContent !== `${doing} ${name}`) says.replaceChildren(`${doing} `, h("bdi", {}, name));
    if (part === undefined) progress.removeAttribute("value");
    else progress.value = part;
  }

  /** An answer without the document is not what is wanted; the text stays in the field. @param {Event} event */
  #sending(event) {
    if (!this.#uploading) return this.#tell("");
    event.preventDefault();
    this.#tell("The document is still on its way; send when it is here.");
  }

  /** @param {any} error */
  #failed(error) {
    if (error.code === "aborted") this.#tell("");
    else if (error.code === "unauthorized") this.onproblem(error);
    else this.#tell(error.message);
  }

  /** @param {string} sentence */
  #tell(sentence) {
    this.places.problem.textContent = sentence;
    this.places.problem.hidden = !sentence;
  }

  async #show() {
    const { id } = this;
    this.#name(id, id ? (this.#titles.get(id) ?? "…") : null);
    if (!id || this.#titles.has(id)) return;
    const title = await this.client.documents.get(id).then(({ title }) => title, titleInstead);
    if (title === null) return;
    this.#titles.set(id, title);
    if (id === this.id) this.#name(id, title);
  }

  /** @param {number | null} id @param {string | null} title */
  #name(id, title) {
    const { open, name, off } = this.places;
    name.textContent = title ?? "Add a document";
    open.title = title ? `Document: ${title}` : "";
    open.classList.toggle("chosen", id !== null);
    off.hidden = id === null;
    off.title = `Take off ${title}`;
    off.setAttribute("aria-label", off.title);
  }
}

/** @param {any} error @returns {string | null} */
const titleInstead = ({ status }) => (status === 404 ? "a deleted document" : null);
