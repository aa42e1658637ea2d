// The document that answers draw on, below the field: its name, and a button to do without it. It is the
// default content of the slot `footer`; a page that fills the slot shows the document in its own way.

import { h, icon, iconButton } from "../dom/dom.js";

/** @typedef {import("../types.js").ChatError} ChatError */

export class DocumentLine {
  #labels;
  #read;
  #name = h("span", { class: "name", dir: "auto" });
  #remove;
  #line;
  /** @type {number | null} */
  #id = null;

  /**
   * @param {import("../chat-interface.js").Labels} labels
   * @param {{read: (id: number) => Promise<{title: string}>, onremove: () => void}} handlers
   */
  constructor(labels, { read, onremove }) {
    this.#labels = labels;
    this.#read = read;
    this.#remove = iconButton("close", "", onremove);
    this.#line = h("div", { class: "document", part: "document", hidden: true });
    this.#line.append(icon("document"), this.#name, this.#remove);
    this.element = h("slot", { name: "footer" }, this.#line);
    this.element.addEventListener("slotchange", () => this.#show());
  }

  /** @param {number | null} id */
  show(id) {
    if (id === this.#id) return;
    this.#id = id;
    this.#show();
  }

  async #show() {
    const id = this.#id;
    this.#line.hidden = id === null;
    if (id === null || this.element.assignedNodes().length) return;
    this.#setName("…");
    const name = await this.#nameOf(id);
    if (id === this.#id) this.#setName(name);
  }

  /** @param {number} id */
  async #nameOf(id) {
    try {
      return (await this.#read(id)).title;
    } catch (error) {
      const { status, message } = /** @type {ChatError} */ (error);
      return status === 404 ? this.#labels.deletedDocument : message;
    }
  }

  /** @param {string} name */
  #setName(name) {
    this.#name.textContent = name;
    this.#remove.title = this.#labels.removeDocument(name);
    this.#remove.setAttribute("aria-label", this.#remove.title);
  }
}
