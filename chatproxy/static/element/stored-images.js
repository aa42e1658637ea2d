// The images of a stored message, fetched when they come near the screen: an `<img>` by itself would send no
// token. What is fetched is kept until the message goes away.

import { h, icon } from "../dom/dom.js";

const AT_ONCE = 2; // images; a browser has few connections to a server

/** @type {(() => Promise<void>)[]} */
const waiting = [];
let loading = 0;

function loadNext() {
  while (loading < AT_ONCE && waiting.length) {
    loading += 1;
    waiting.shift()?.().finally(() => {
      loading -= 1;
      loadNext();
    });
  }
}

export class StoredImages {
  element = h("div", { class: "images" });
  #labels;
  #load;
  #gone = new AbortController();
  /** @type {string[]} */
  #urls = [];
  #observer;

  /**
   * @param {number} count
   * @param {import("../chat-interface.js").Labels} labels
   * @param {(number: number, signal: AbortSignal) => Promise<Blob>} load
   */
  constructor(count, labels, load) {
    this.#labels = labels;
    this.#load = load;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.#observer.unobserve(target);
        this.#enqueue(/** @type {HTMLImageElement} */ (target));
      }
    });
    for (let number = 0; number < count; number += 1) this.element.append(this.#newImage(number));
  }

  /** Let go of the images. */
  remove() {
    this.#gone.abort();
    this.#observer.disconnect();
    for (const url of this.#urls) URL.revokeObjectURL(url);
  }

  /** @param {number} number */
  #newImage(number) {
    const image = h("img", { alt: this.#labels.image, "aria-busy": "true", "data-number": number });
    this.#observer.observe(image);
    return image;
  }

  /** @param {HTMLImageElement} image */
  #enqueue(image) {
    waiting.push(() => this.#show(image));
    loadNext();
  }

  /** @param {HTMLImageElement} image */
  async #show(image) {
    const { signal } = this.#gone;
    if (signal.aborted) return;
    const number = Number(image.dataset.number);
    try {
      const url = URL.createObjectURL(await this.#load(number, signal));
      this.#urls.push(url);
      if (signal.aborted) return URL.revokeObjectURL(url);
      image.src = url;
      image.removeAttribute("aria-busy");
    } catch {
      if (!signal.aborted) image.replaceWith(this.#failed(number));
    }
  }

  /** @param {number} number */
  #failed(number) {
    const again = () => button.replaceWith(this.#newImage(number));
    const button = h("button", { type: "button", class: "quiet", onclick: again }, icon("retry"));
    button.append(this.#labels.imageFailed);
    return button;
  }
}
