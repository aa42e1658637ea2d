// The menu that downloads the session as a file, or prints it.

import { h } from "../dom/dom.js";
import { installMenu } from "./menu.js";

/**
 * @typedef {"json" | "markdown" | "print"} Format
 */

export class ExportMenu {
  #details;

  /** @param {HTMLDetailsElement} details @param {(format: Format) => void} onexport */
  constructor(details, onexport) {
    this.#details = details;
    installMenu(details, ({ dataset }) => onexport(/** @type {Format} */ (dataset.format)));
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
