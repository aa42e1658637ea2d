// Where the reader writes: a field that grows with its text, images to attach or paste, and one button to
// send or stop.

import { h, icon, iconButton } from "../dom/dom.js";

const MAX_BYTES = 10 * 1024 * 1024; // of all images; in base64 they have to fit in a request of 32 MiB

/** @typedef {import("../chat-interface.js").ImageAttachment} ImageAttachment */

/**
 * @typedef {object} ComposerHandlers
 * @property {(text: string, images: ImageAttachment[]) => boolean} onsend returns whether it was accepted
 * @property {() => void} onstop
 * @property {(text: string) => void} onwrite called when the reader, not the page, has changed the text
 * @property {(sentence: string) => void} onnotice
 */

export class Composer {
  /** @type {ImageAttachment[]} */
  #images = [];
  #streaming = false;
  #labels;
  #handlers;
  #previews = h("div", { class: "previews", hidden: true });
  #field;
  #files = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true });
  #attach;
  #button;

  /** @param {import("../chat-interface.js").Labels} labels @param {ComposerHandlers} handlers */
  constructor(labels, handlers) {
    this.#labels = labels;
    this.#handlers = handlers;
    const field = {
      part: "input",
      rows: 1,
      dir: "auto",
      enterkeyhint: "send",
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
  }

  set placeholder(/** @type {string} */ placeholder) {
    this.#field.placeholder = placeholder;
  }

  get text() {
    return this.#field.value;
  }

  set text(/** @type {string} */ text) {
    this.#field.value = text;
    this.#update();
  }

  focus() {
    this.#field.focus();
  }

  /** Focus the button that sends or stops. */
  focusButton() {
    this.#button.focus();
  }

  #send() {
    const text = this.#field.value;
    if (this.#streaming || !text.trim() || this.#field.disabled) return;
    if (!this.#handlers.onsend(text, this.#images)) return;
    this.#field.value = "";
    this.#images = [];
    this.#updatePreviews();
    this.#update();
  }

  #listen() {
    this.#button.addEventListener("click", () => (this.#streaming ? this.#handlers.onstop() : this.#send()));
    this.#field.addEventListener("input", () => {
      this.#update();
      this.#handlers.onwrite(this.#field.value);
    });
    this.#field.addEventListener("keydown", (event) => this.#handleKey(event));
    this.#field.addEventListener("paste", (event) => this.#paste(event));
    this.#files.addEventListener("change", () => {
      this.#addImages([...(this.#files.files ?? [])]);
      this.#files.value = "";
    });
  }

  /**
   * Send on Enter, except while an input method composes: Enter is then its own. Safari only says so by the
   * key code 229.
   *
   * @param {KeyboardEvent} event
   */
  #handleKey(event) {
    if (event.isComposing || event.keyCode === 229 || event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    this.#send();
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const images = [...(event.clipboardData?.files ?? [])].filter(isImage);
    if (!images.length) return;
    event.preventDefault();
    this.#addImages(images);
  }

  /** @param {File[]} files */
  async #addImages(files) {
    const added = files.filter(isImage);
    const attached = this.#images.reduce((sum, { data }) => sum + data.length * 0.75, 0); // base64 is longer
    const bytes = added.reduce((sum, { size }) => sum + size, attached);
    if (bytes > MAX_BYTES) return this.#handlers.onnotice(this.#labels.imagesTooLarge);
    for (const file of added) this.#images = [...this.#images, await readImage(file)];
    this.#updatePreviews();
    this.focus();
  }

  #updatePreviews() {
    this.#previews.hidden = !this.#images.length;
    this.#previews.replaceChildren(...this.#images.map((image) => this.#preview(image)));
  }

  /** @param {ImageAttachment} image */
  #preview(image) {
    const remove = iconButton("close", this.#labels.removeImage, () => {
      this.#images = this.#images.filter((other) => other !== image);
      URL.revokeObjectURL(image.url);
      this.#updatePreviews();
      this.focus();
    });
    return h(
      "div",
      { class: "preview" },
      h("img", { src: image.url, alt: image.name || this.#labels.image }),
      remove,
    );
  }

  #update() {
    const action = this.#streaming ? "stop" : "send";
    const label = this.#labels[action];
    if (this.#button.dataset.action !== action) this.#button.replaceChildren(icon(action));
    this.#button.dataset.action = action;
    this.#button.title = label;
    this.#button.setAttribute("aria-label", label);
    this.#button.setAttribute("aria-disabled", String(!this.#streaming && !this.#field.value.trim()));
    this.#field.style.height = "auto"; // to measure the text; the style sheet limits the height
    if (this.#field.scrollHeight) this.#field.style.height = `${this.#field.scrollHeight}px`;
  }
}

/** @param {File} file */
const isImage = ({ type }) => type.startsWith("image/");

/** @param {File} file @returns {Promise<ImageAttachment>} */
function readImage(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      const data = String(reader.result).replace(/^[^,]*,/, ""); // of a data: URL
      resolve({ name: file.name, data, url: URL.createObjectURL(file) });
    };
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
