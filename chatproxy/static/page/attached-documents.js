// The conversation's documents, below the field to write in, beside the button that opens the list of documents.
//
// The element's `document-id` is the state; the next message takes a changed one to the server.

import { DocumentChips } from "../element/document-chips.js";
import { ProblemLine } from "./problem-line.js";
import { texts } from "./texts.js";

export class AttachedDocuments {
  #chat;
  #problem;

  /**
   * @param {import("../chat-interface.js").ChatInterface} chat
   * @param {{parent: HTMLElement, problem: HTMLElement}} elements
   * @param {(error: import("../types.js").ChatError) => void} onunauthorized
   */
  constructor(chat, { parent, problem }, onunauthorized) {
    this.#chat = chat;
    this.#problem = new ProblemLine(problem, onunauthorized);
    chat.addEventListener("chat-send", () => this.#problem.clear());
    const chips = new DocumentChips(chat, parent, texts.labels);
    new MutationObserver(() => chips.show()).observe(chat, { attributeFilter: ["document-id"] });
  }

  /** Let the next message be answered from these. @param {number[]} ids */
  choose(ids) {
    this.#problem.clear();
    this.#chat.documentIds = ids;
  }

  /** Drop the choice: another session is opened. */
  leave() {
    this.#problem.clear();
    this.#chat.documentIds = undefined;
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
}
