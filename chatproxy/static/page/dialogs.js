// The page's questions, in <dialog> elements.

import { h } from "../dom/dom.js";

/** @param {HTMLDialogElement} dialog @returns {Promise<string>} the value of the button that closed it; "" for none */
export function asked(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

/** @param {HTMLDialogElement} dialog @param {string} name of what is to be deleted @param {string} [more] @returns {Promise<boolean>} */
export async function confirmed(dialog, name, more = "") {
  const text = /** @type {HTMLElement} */ (dialog.querySelector("p"));
  text.replaceChildren("Delete “", h("bdi", {}, name), `”?${more}`);
  return (await asked(dialog)) === "delete";
}
