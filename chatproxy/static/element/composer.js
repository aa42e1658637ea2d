// Where the reader writes: a field that grows, pictures attached or pasted, and one button that sends or stops.

import { h, icon, iconButton } from "../dom/dom.js";

const MAX_PICTURES = 10 * 1024 * 1024; // bytes; in base64 they have to fit in a request of 16 MiB

/** @typedef {import("./conversation.js").Picture} Picture */

export class Composer {
  /** @type {Picture[]} */
  pictures = [];
  #streaming = false;

  /**
   * @param {import("./labels.js").Labels} labels
   * @param {{onsend: (text: string, pictures: Picture[]) => boolean, onstop: () => void,
   *   onwrite: (text: string) => void, onnotice: (sentence: string) => void}} handlers
   *   `onsend` says whether it took the message; `onwrite` hears what the reader, not the page, changed
   */
  constructor(labels, { onsend, onstop, onwrite, onnotice }) {
    this.labels = labels;
    this.onsend = onsend;
    this.onstop = onstop;
    this.onwrite = onwrite;
    this.onnotice = onnotice;
    this.previews = h("div", { class: "previews", hidden: true });
    this.field = h("textarea", { part: "input", rows: 1, dir: "auto", enterkeyhint: "send", "aria-label": labels.placeholder });
    this.files = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true });
    this.attach = iconButton("attach", labels.attach, () => this.files.click(), { class: "attach" });
    this.button = h("button", { type: "button", class: "send", part: "send" });
    this.element = h("form", { class: "composer", part: "composer" }, this.previews);
    this.element.append(this.files, this.attach, this.field, this.button);
    this.#listen();
    this.#show();
  }

  set streaming(/** @type {boolean} */ streaming) {
    this.#streaming = streaming;
    this.#show();
  }

  set disabled(/** @type {boolean} */ disabled) {
    this.field.disabled = this.attach.disabled = this.button.disabled = disabled;
  }

  set placeholder(/** @type {string} */ placeholder) {
    this.field.placeholder = placeholder;
  }

  get text() {
    return this.field.value;
  }

  set text(/** @type {string} */ text) {
    this.field.value = text;
    this.#show();
  }

  focus() {
    this.field.focus();
  }

  /** Where the answer is stopped. */
  focusButton() {
    this.button.focus();
  }

  send() {
    const text = this.field.value;
    if (this.#streaming || !text.trim() || this.field.disabled) return;
    if (!this.onsend(text, this.pictures)) return;
    this.field.value = "";
    this.pictures = [];
    this.#showPreviews();
    this.#show();
  }

  #listen() {
    this.element.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    this.button.addEventListener("click", () => (this.#streaming ? this.onstop() : this.send()));
    this.field.addEventListener("input", () => (this.#show(), this.onwrite(this.field.value)));
    this.field.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.field.addEventListener("paste", (/** @type {ClipboardEvent} */ event) => this.#paste(event));
    this.files.addEventListener("change", () => {
      this.#add([...this.files.files]);
      this.files.value = "";
    });
  }

  /** While an input method composes, Enter and Esc are its own (Safari tells by 229). @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.send();
    }
  }

  /** @param {ClipboardEvent} event */
  #paste(event) {
    const pictures = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (!pictures.length) return;
    event.preventDefault();
    this.#add(pictures);
  }

  /** @param {File[]} files */
  async #add(files) {
    const images = files.filter(({ type }) => type.startsWith("image/"));
    const held = this.pictures.reduce((sum, { data }) => sum + data.length * 0.75, 0);
    if (images.reduce((sum, { size }) => sum + size, held) > MAX_PICTURES) return this.onnotice(this.labels.picturesTooLarge);
    for (const file of images) this.pictures = [...this.pictures, await picture(file)];
    this.#showPreviews();
    this.focus();
  }

  #showPreviews() {
    const { removePicture, picture } = this.labels;
    this.previews.hidden = !this.pictures.length;
    this.previews.replaceChildren(
      ...this.pictures.map((shown) => {
        const remove = iconButton("close", removePicture, () => {
          this.pictures = this.pictures.filter((other) => other !== shown);
          URL.revokeObjectURL(shown.url);
          this.#showPreviews();
          this.focus();
        });
        return h("div", { class: "preview" }, h("img", { src: shown.url, alt: shown.name || picture }), remove);
      }),
    );
  }

  #show() {
    const label = this.#streaming ? this.labels.stop : this.labels.send;
    const drawing = this.#streaming ? "stop" : "send";
    if (this.button.dataset.does !== drawing) this.button.replaceChildren(icon(drawing));
    this.button.dataset.does = drawing;
    this.button.title = label;
    this.button.setAttribute("aria-label", label);
    this.button.setAttribute("aria-disabled", String(!this.#streaming && !this.field.value.trim()));
    this.field.style.height = "auto"; // to be measured; the stylesheet says how far it may grow
    if (this.field.scrollHeight) this.field.style.height = `${this.field.scrollHeight}px`;
  }
}

/** @param {File} file @returns {Promise<Picture>} */
function picture(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      const data = String(reader.result).replace(/^[^,]*,/, "");
      resolve({ name: file.name, data, url: URL.createObjectURL(file) });
    };
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
