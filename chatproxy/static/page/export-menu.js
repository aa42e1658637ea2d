// The menu that downloads the session as a file, or prints it.

import { h } from "../dom/dom.js";

/**
 * @typedef {"json" | "markdown" | "print"} Format
 */

export class ExportMenu {
  #details;
  #onexport;

  /** @param {HTMLDetailsElement} details @param {(format: Format) => void} onexport */
  constructor(details, onexport) {
    this.#details = details;
    this.#onexport = onexport;
    for (const button of details.querySelectorAll("button")) {
      button.addEventListener("click", () => {
        details.open = false;
        this.#onexport(/** @type {Format} */ (button.dataset.format));
      });
    }
    addEventListener("click", ({ target }) => {
      if (!details.contains(/** @type {Node} */ (target))) details.open = false;
    });
    addEventListener("keydown", ({ key }) => {
      if (key !== "Escape" || !details.open) return;
      details.open = false;
      details.querySelector("summary")?.focus();
    });
  }

  /** @param {boolean} visible */
  setVisible(visible) {
    this.#details.hidden = !visible;
  }
}

/**
 * Let the browser save a file.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
