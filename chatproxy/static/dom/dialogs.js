// Questions in <dialog> elements.

import { h } from "../dom/dom.js";

/**
 * Open a dialog, and return the value of the button that closes it; "" if it was dismissed.
 *
 * @param {HTMLDialogElement} dialog
 * @returns {Promise<string>}
 */
export function ask(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }),
  );
}

/**
 * Ask whether something is to be deleted.
 *
 * @param {HTMLDialogElement} dialog
 * @param {string} name
 * @param {string} [more] what else there is to know
 */
export async function confirm(dialog, name, more = "") {
  dialog.querySelector("p")?.replaceChildren("Delete “", h("bdi", {}, name), `”?${more}`);
  return (await ask(dialog)) === "delete";
}
