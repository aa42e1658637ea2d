// What goes with the next message, above the field: pictures, and documents while they are uploaded.

import { h, icon, iconButton } from "../dom/dom.js";
import { isolated } from "../texts/format.js";
import { isPicture } from "./files.js";
import { readPicture } from "./pictures.js";
import { sentenceFor } from "./problems.js";

const MAX_BYTES = 20 * 1024 * 1024; // of all pictures; in base64 they have to fit in a request of 32 MiB
const MAX_PICTURES = 32;

/**
 * @typedef {import("../chat-interface.js").ImageAttachment} ImageAttachment
 * @typedef {import("../types.js").UploadProgress} UploadProgress
 *
 * @typedef {object} UploadOptions
 * @property {(progress: UploadProgress) => void} onProgress
 * @property {AbortSignal} signal
 *
 * @typedef {object} AttachmentHandlers
 * @property {(file: File, options: UploadOptions) => Promise<void>} upload
 * @property {() => void} onchange something was added, is ready, or was removed
 * @property {(sentence: string) => void} onhint what happens
 * @property {(sentence: string, error?: unknown) => void} onproblem what went wrong, and the last error of the server's; "" if an upload was cancelled
 */

export class Attachments {
  /** @type {ImageAttachment[]} */
  pictures = [];
  #element;
  #labels;
  #handlers;
  /** @type {Set<HTMLElement>} what is being read or uploaded */
  #unready = new Set();
  /** @type {string[]} what went wrong since nothing was being read or uploaded */
  #problems = [];
  /** @type {unknown} the last of these that the server said */
  #error;
  // One picture is decoded at a time, which takes much memory, and one document is uploaded at a time.
  #decoding = Promise.resolve();
  #uploading = Promise.resolve();

  /**
   * @param {HTMLElement} element
   * @param {import("../chat-interface.js").Labels} labels
   * @param {AttachmentHandlers} handlers
   */
  constructor(element, labels, handlers) {
    this.#element = element;
    this.#labels = labels;
    this.#handlers = handlers;
  }

  /** Whether something is not ready yet. */
  get busy() {
    return this.#unready.size > 0;
  }

  /** Add files, each as what it is. It returns when all are ready or refused. @param {File[]} files */
  async add(files) {
    if (!this.busy) {
      this.#problems = [];
      this.#error = undefined;
    }
    await Promise.all(files.map((file) => (isPicture(file) ? this.#addPicture(file) : this.#addDocument(file))));
  }

  /** Let go of the pictures, which are sent. */
  clear() {
    this.pictures = [];
    for (const child of [...this.#element.children]) {
      if (!this.#unready.has(/** @type {HTMLElement} */ (child))) child.remove();
    }
    this.#update();
  }

  // -- pictures

  /** @param {File} file */
  async #addPicture(file) {
    const item = h("div", { class: "preview", "aria-busy": "true" });
    this.#show(item);
    const read = this.#decoding.then(() => readPicture(file));
    this.#decoding = read.then(nothing, nothing);
    try {
      this.#accept(await read, item);
    } catch {
      item.remove();
      this.#fail(this.#labels.unreadablePicture(isolated(file.name)));
    }
    this.#ready(item);
  }

  /** @param {ImageAttachment} picture @param {HTMLElement} item */
  #accept(picture, item) {
    const bytes = [...this.pictures, picture].reduce((sum, { data }) => sum + data.length * 0.75, 0);
    const many = this.pictures.length >= MAX_PICTURES;
    if (many || bytes > MAX_BYTES) {
      URL.revokeObjectURL(picture.url);
      item.remove();
      return this.#fail(many ? this.#labels.tooManyImages : this.#labels.imagesTooLarge);
    }
    this.pictures = [...this.pictures, picture];
    const remove = () => {
      this.pictures = this.pictures.filter((other) => other !== picture);
      URL.revokeObjectURL(picture.url);
      item.remove();
      this.#update();
    };
    const shown = h("img", { src: picture.url, alt: picture.name || this.#labels.image, draggable: "false" });
    item.replaceChildren(shown, iconButton("close", this.#labels.removeImage, remove));
  }

  // -- documents

  /** @param {File} file */
  async #addDocument(file) {
    const { labels, stop, item, progress } = this.#uploadItem(file);
    this.#show(item);
    const onProgress = (/** @type {UploadProgress} */ { loaded, total }) => {
      if (loaded < total) progress.value = loaded / total;
      else {
        progress.removeAttribute("value"); // the server extracts the text
        this.#handlers.onhint(labels.reading(isolated(file.name)));
      }
    };
    const upload = this.#uploading.then(() => {
      stop.signal.throwIfAborted();
      progress.value = 0;
      this.#handlers.onhint(labels.uploading(isolated(file.name)));
      return this.#handlers.upload(file, { onProgress, signal: stop.signal });
    });
    this.#uploading = upload.then(nothing, nothing);
    try {
      await upload;
      this.#endHint();
    } catch (error) {
      if (stop.signal.aborted) this.#handlers.onproblem("");
      else this.#fail(sentenceFor(error, this.#labels), error);
    } finally {
      item.remove();
      this.#ready(item);
    }
  }

  /** @param {File} file */
  #uploadItem(file) {
    const labels = this.#labels;
    const stop = new AbortController();
    const progress = h("progress", { max: 1, value: 0, "aria-label": labels.uploading(file.name) });
    const cancel = iconButton("close", labels.cancelUpload(file.name), () => stop.abort());
    const name = h("span", { class: "name", dir: "auto", title: file.name }, file.name);
    const item = h("div", { class: "upload", part: "upload" }, icon("document"), name, progress, cancel);
    return { labels, stop, item, progress };
  }

  // --

  /** @param {HTMLElement} item */
  #show(item) {
    this.#unready.add(item);
    this.#element.append(item);
    this.#update();
  }

  /** @param {HTMLElement} item */
  #ready(item) {
    this.#unready.delete(item);
    this.#update();
  }

  /** @param {string} sentence @param {unknown} [error] of the server's */
  #fail(sentence, error) {
    this.#error = error ?? this.#error;
    if (!this.#problems.includes(sentence)) this.#problems.push(sentence);
    this.#handlers.onproblem(this.#problems.join(" "), this.#error);
  }

  /** Take away the hint, or show the problems, which the hints since then have hidden. */
  #endHint() {
    if (this.#problems.length) this.#handlers.onproblem(this.#problems.join(" "), this.#error);
    else this.#handlers.onhint("");
  }

  #update() {
    this.#element.hidden = !this.#element.childElementCount;
    this.#handlers.onchange();
  }
}

const nothing = () => {};
