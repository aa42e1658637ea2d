// Where the reader writes: a field that grows with its text, what is attached to it, and one button to send or
// stop. A wish that cannot be met is answered with a sentence.

import { connectionLost } from "../client/chat-error.js";
import { directionOf } from "../dom/direction.js";
import { h, icon, iconButton } from "../dom/dom.js";
import { Later } from "../dom/later.js";
import { filesPasted } from "./files.js";

const attachments = new Later(() => import("./attachments.js"));

const SIZED_BY_STYLE = globalThis.CSS?.supports?.("field-sizing", "content") ?? false;
const MEASURED = 4000; // characters; a longer text fills the field, and measuring it would take long

/** @typedef {import("../chat-interface.js").ImageAttachment} ImageAttachment */

/**
 * @typedef {object} ComposerHandlers
 * @property {(text: string, images: ImageAttachment[]) => boolean} onsend returns whether it was accepted
 * @property {() => void} onstop
 * @property {() => void} onwrite called when the reader, not the page, has changed the text
 * @property {() => void} onpause called when the reader leaves the field
 * @property {(files: File[]) => void} onfiles
 * @property {(sentence: string) => void} onhint
 * @property {(sentence: string, error?: unknown) => void} onproblem
 * @property {import("./attachments.js").AttachmentHandlers["upload"]} upload
 */

export class Composer {
  #streaming = false;
  #sendWhenReady = false;
  #labels;
  #handlers;
  /** @type {import("./attachments.js").Attachments | null} from the first file on */
  #attachments = null;
  #arriving = 0; // how often files wait for the module
  #previews = h("div", { class: "previews", hidden: true });
  #enterKey;
  #field;
  #files = h("input", { type: "file", multiple: true, hidden: true });
  #attach;
  #button;

  /**
   * @param {import("../chat-interface.js").Labels} labels
   * @param {import("./enter-key.js").EnterKey} enterKey
   * @param {ComposerHandlers} handlers
   */
  constructor(labels, enterKey, handlers) {
    this.#labels = labels;
    this.#handlers = handlers;
    this.#enterKey = enterKey;
    const field = {
      part: "input",
      rows: 1,
      "aria-label": labels.placeholder,
    };
    this.#field = h("textarea", field);
    this.#attach = iconButton("attach", labels.attach, () => this.#files.click(), { class: "attach" });
    this.#button = h("button", { type: "button", class: "send", part: "send" });
    const form = {
      class: "composer",
      part: "composer",
      onsubmit: (/** @type {Event} */ event) => event.preventDefault(),
    };
    this.element = h("form", form, this.#previews, this.#files, this.#attach, this.#field, this.#button);
    this.#listen();
    this.#update();
  }

  /** Whether an answer is in progress: the button then stops it. */
  set streaming(/** @type {boolean} */ streaming) {
    this.#streaming = streaming;
    this.#update();
  }

  set disabled(/** @type {boolean} */ disabled) {
    this.#field.disabled = this.#attach.disabled = this.#button.disabled = disabled;
    this.element.title = disabled ? this.#labels.disabled : "";
  }

  set placeholder(/** @type {string} */ placeholder) {
    this.#field.placeholder = placeholder;
  }

  /** Let go of the pictures, which belonged to another conversation. */
  discard() {
    for (const { url } of this.#attachments?.pictures ?? []) URL.revokeObjectURL(url);
    this.#attachments?.clear();
  }

  get text() {
    return this.#field.value;
  }

  set text(/** @type {string} */ text) {
    this.#field.value = text;
    this.#sendWhenReady = false;
    this.#update();
  }

  /** @param {File[]} files */
  async attach(files) {
    this.#arriving += 1;
    this.#update();
    const module = await attachments.load();
    this.#arriving -= 1;
    this.#update();
    if (!module) return this.#fail(connectionLost().message);
    this.#attachments ??= new module.Attachments(this.#previews, this.#labels, {
      ...this.#handlers,
      onproblem: (sentence, error) => this.#fail(sentence, error),
      onchange: () => this.#handleAttachments(),
    });
    await this.#attachments.add(files);
  }

  /** @param {string} sentence why a file is not attached @param {unknown} [error] of the server's */
  #fail(sentence, error) {
    this.#sendWhenReady = false; // without what was meant to go with it
    this.#handlers.onproblem(sentence, error);
  }

  /** Whether something that is attached is not ready yet. */
  get #busy() {
    return this.#arriving > 0 || Boolean(this.#attachments?.busy);
  }

  get #pictures() {
    return this.#attachments?.pictures ?? [];
  }

  focus() {
    this.#field.focus();
  }

  /** Focus the button that sends or stops. */
  focusButton() {
    this.#button.focus();
  }

  #send() {
    if (this.#field.disabled) return;
    const isEmpty = this.#isEmpty();
    if (this.#streaming) return isEmpty ? undefined : this.#handlers.onhint(this.#labels.waitOrStop);
    if (isEmpty) return this.#handlers.onhint(this.#labels.nothingToSend);
    this.#sendWhenReady = this.#busy;
    if (this.#sendWhenReady) return this.#handlers.onhint(this.#labels.sentWhenReady);
    if (!this.#handlers.onsend(this.#field.value, this.#pictures)) return;
    this.#field.value = "";
    this.#attachments?.clear();
  }

  #isEmpty() {
    return !this.#busy && !this.#pictures.length && !/\S/.test(this.#field.value);
  }

  /** What was attached is ready, or something else was. */
  #handleAttachments() {
    this.#update();
    if (this.#sendWhenReady && !this.#busy) this.#send();
  }

  #listen() {
    this.#button.addEventListener("click", () => (this.#streaming ? this.#handlers.onstop() : this.#send()));
    this.#field.addEventListener("input", () => {
      this.#update();
      this.#handlers.onwrite();
    });
    this.#field.addEventListener("blur", () => this.#handlers.onpause());
    this.#field.addEventListener("keydown", (event) => this.#handleKey(event));
    this.#enterKey.label(this.#field);
    this.#field.addEventListener("paste", (event) => this.#paste(event));
    this.#files.addEventListener("change", () => {
      this.#handlers.onfiles([...(this.#files.files ?? [])]);
      this.#files.value = "";
    });
  }

  /** @param {KeyboardEvent} event */
  #handleKey(event) {
    if (!this.#enterKey.isToSend(event)) return;
    event.preventDefault();
    this.#send();
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const files = filesPasted(event.clipboardData);
    if (!files.length) return;
    event.preventDefault();
    this.#handlers.onfiles(files);
  }

  #update() {
    const action = this.#streaming ? "stop" : "send";
    const label = this.#labels[action];
    const refused = !this.#streaming && this.#isEmpty();
    if (this.#button.dataset.action !== action) this.#button.replaceChildren(icon(action));
    this.#button.dataset.action = action;
    this.#button.title = refused ? this.#labels.nothingToSend : label;
    this.#button.setAttribute("aria-label", label);
    this.#button.setAttribute("aria-disabled", String(refused));
    this.element.ariaBusy = this.#arriving ? "true" : null;
    const direction = directionOf(this.#field.value);
    if (this.#field.dir !== direction) this.#field.dir = direction;
    if (!SIZED_BY_STYLE) this.#fit();
  }

  /** Make the field as high as its text; the style sheet limits the height. */
  #fit() {
    const { style } = this.#field;
    const long = this.#field.textLength > MEASURED;
    style.height = long ? "100vh" : "auto";
    if (!long && this.#field.scrollHeight) style.height = `${this.#field.scrollHeight}px`;
  }
}
