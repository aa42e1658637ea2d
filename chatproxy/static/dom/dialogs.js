// Questions in <dialog> elements.

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
 * @param {string} question
 */
export async function confirm(dialog, question) {
  dialog.querySelector("p")?.replaceChildren(question);
  return (await ask(dialog)) === "delete";
}
