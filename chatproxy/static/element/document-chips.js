// The documents that answers draw on: the name of each, what could not be read of it, and a button to do without it.
//
// `document-id` of the chat is the state; the next message takes a changed one to the server.

import { arrange, h, icon, iconButton } from "../dom/dom.js";
import { styleDocuments } from "./document-styles.js";

/** @typedef {import("../types.js").ChatError} ChatError */

export class DocumentChips {
  #chat;
  #labels;
  #list = h("ul", { class: "documents" });
  /** @type {Map<number, HTMLElement>} */
  #chips = new Map();

  /**
   * @param {import("../chat-interface.js").ChatInterface} chat
   * @param {Element} parent
   * @param {import("../chat-interface.js").Labels} labels
   */
  constructor(chat, parent, labels) {
    this.#chat = chat;
    this.#labels = labels;
    parent.append(this.#list);
    styleDocuments(this.#list);
    this.show();
  }

  /** Show the chat's documents as they are now. */
  show() {
    const ids = this.#chat.documentIds;
    for (const id of this.#chips.keys()) if (!ids.includes(id)) this.#chips.delete(id);
    const grows = this.#chips.size > 0 && ids.length > this.#chips.size;
    this.#list.hidden = !ids.length;
    arrange(
      this.#list,
      ids.map((id) => this.#chips.get(id) ?? this.#newChip(id)),
    );
    if (grows) this.#list.scrollTop = this.#list.scrollHeight;
  }

  /** @param {number} id */
  #newChip(id) {
    const name = h("span", { class: "name", dir: "auto" });
    const remove = iconButton("close", "", () => this.#remove(id));
    const chip = h("li", { class: "document", part: "document" }, icon("document"), name, remove);
    this.#chips.set(id, chip);
    const call = (/** @type {string} */ title) => {
      name.textContent = name.title = title;
      remove.title = this.#labels.removeDocument(title);
      remove.setAttribute("aria-label", remove.title);
    };
    call("…");
    this.#chat.client.documents.get(id).then(
      ({ title, warnings }) => {
        call(title);
        const label = this.#labels.documentWarning(title);
        const notes = warnings.map(({ message }) => h("p", { role: "note", "aria-label": label }, message));
        chip.append(...notes);
        if (notes.length) this.#list.scrollTop = chip.offsetTop - this.#list.offsetTop;
      },
      (/** @type {ChatError} */ { status, message }) =>
        call(status === 404 ? this.#labels.deletedDocument : message),
    );
    return chip;
  }

  /** @param {number} id */
  #remove(id) {
    const { documentIds } = this.#chat;
    const place = documentIds.indexOf(id);
    this.#chat.documentIds = documentIds.filter((other) => other !== id);
    this.show();
    const next = this.#list.children[Math.min(place, documentIds.length - 2)]?.querySelector("button");
    if (next) next.focus();
    else this.#chat.focus();
  }
}
