// The page's questions, in <dialog> elements.

/** @param {HTMLDialogElement} dialog @returns {Promise<string>} the value of the button that closed it; "" for none */
export function asked(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true }));
}

/** @param {HTMLDialogElement} dialog @param {string} question @returns {Promise<boolean>} */
export async function confirmed(dialog, question) {
  const text = /** @type {HTMLElement} */ (dialog.querySelector("p"));
  text.textContent = question;
  return (await asked(dialog)) === "delete";
}
