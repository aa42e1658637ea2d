// The list of documents, in a dialog: tick those that the conversation draws on, delete one, or upload files.

import { arrange, h, iconButton } from "../dom/dom.js";
import { ProblemLine } from "./problem-line.js";
import { texts } from "./texts.js";

/**
 * @typedef {import("../types.js").ChatError} ChatError
 * @typedef {import("../types.js").DocumentInfo} DocumentInfo
 * @typedef {{id: number, element: HTMLElement, update: (document?: DocumentInfo) => void}} Item
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
 * @property {() => number[]} chosen returns the ids of the session's documents
 * @property {(ids: number[]) => void} onchoose
 * @property {(document: DocumentInfo) => Promise<void>} ondelete
 * @property {(files: File[]) => void} onfiles
 * @property {(error: ChatError) => void} onunauthorized
 */

const MAX_DOCUMENTS = 16;
const LISTED = 50;
const MOST_LISTED = 500; // the server's limit
const EMBEDDING = 2000; // milliseconds until what is known of one that is being embedded is read again

export class DocumentList {
  #elements;
  #client;
  #handlers;
  #problem;
  /** @type {DocumentInfo[]} */
  #documents = [];
  /** @type {number | null} */
  #next = null;
  /** @type {Map<number, Item>} by document */
  #items = new Map();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {Elements} elements
   * @param {import("../types.js").ChatClient} client
   * @param {Handlers} handlers
   */
  constructor(elements, client, handlers) {
    const { dialog, more, close, chooseFile, fileInput, problem } = elements;
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
    dialog.addEventListener("close", () => clearTimeout(this.#timer));
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
  async #read(before, limit = LISTED) {
    try {
      const page = await this.#client.documents.list({ before, limit });
      this.#documents = before === null ? page.documents : [...this.#documents, ...page.documents];
      this.#next = page.next;
      this.#render();
    } catch (error) {
      this.#problem.report(error);
    }
  }

  #render() {
    const { dialog, list, empty, more } = this.#elements;
    empty.hidden = this.#documents.length > 0;
    more.hidden = this.#next === null;
    const items = this.#documents.map((document) => this.#items.get(document.id) ?? this.#newItem(document));
    items.forEach((item, index) => item.update(this.#documents[index]));
    this.#items = new Map(items.map((item) => [item.id, item]));
    arrange(list, items.map(({ element }) => element)); // those that stay keep the focus
    clearTimeout(this.#timer);
    if (dialog.open && this.#documents.some(isBeingEmbedded)) {
      const limit = Math.min(MOST_LISTED, Math.max(LISTED, items.length));
      this.#timer = setTimeout(() => this.#read(null, limit), EMBEDDING);
    }
  }

  /** @param {DocumentInfo} document @returns {Item} */
  #newItem({ id, title, bytes, createdAt, warnings }) {
    const facts = texts.page.documents.facts(bytes, new Date(createdAt));
    const size = h("span", { class: "size" });
    const notes = warnings.map(({ message }, index) => h("p", { id: `note-${id}-${index}` }, message));
    const tick = h("input", {
      type: "checkbox",
      "aria-describedby": notes.map((note) => note.id).join(" ") || null,
      onchange: () => this.#choose(id, tick),
    });
    const name = h("span", { class: "name", dir: "auto" }, title);
    const choose = h("label", { class: "choose", title }, tick, name, " ", size);
    const element = h("li", {}, choose);
    const remove = iconButton("trash", texts.page.documents.delete(title), () => this.#delete(id), {
      class: "icon-button",
    });
    element.append(remove, ...notes);
    return {
      id,
      element,
      update: (/** @type {DocumentInfo | undefined} */ document) => {
        tick.checked = this.#handlers.chosen().includes(id);
        const progress = document && isBeingEmbedded(document) ? percentEmbedded(document) : null;
        size.textContent = progress === null ? facts : `${facts} · ${texts.page.documents.embedding(progress)}`;
      },
    };
  }

  /** @param {number} id @param {HTMLInputElement} tick */
  #choose(id, tick) {
    this.#problem.clear();
    const others = this.#handlers.chosen().filter((other) => other !== id);
    if (tick.checked && others.length >= MAX_DOCUMENTS) {
      tick.checked = false;
      this.#problem.show(texts.labels.tooManyDocuments);
    } else this.#handlers.onchoose(tick.checked ? [...others, id] : others);
  }

  /** @param {number} id */
  async #delete(id) {
    const document = /** @type {DocumentInfo} */ (this.#documents.find((other) => other.id === id));
    try {
      await this.#handlers.ondelete(document);
      await this.#read(null);
    } catch (error) {
      this.#problem.report(error);
    }
    this.#elements.chooseFile.focus();
  }
}

/** @param {DocumentInfo} document */
const isBeingEmbedded = ({ embedded, chunks }) => embedded !== null && embedded < chunks;

/** @param {DocumentInfo} document */
const percentEmbedded = ({ embedded, chunks }) => Math.floor((100 * (embedded ?? 0)) / chunks);
