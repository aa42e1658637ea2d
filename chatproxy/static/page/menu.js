// A <details> that is a menu: a choice, a click elsewhere and Esc close it.

/**
 * @param {HTMLDetailsElement} details
 * @param {(choice: HTMLButtonElement) => void} onchoose
 */
export function installMenu(details, onchoose) {
  for (const button of details.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      details.open = false;
      onchoose(button);
    });
  }
  addEventListener("click", ({ target }) => {
    if (!details.contains(/** @type {Node} */ (target))) details.open = false;
  });
  addEventListener(
    "keydown",
    (event) => {
      if (event.key !== "Escape" || !details.open) return;
      event.stopPropagation(); // it would also hide the sidebar
      details.open = false;
      details.querySelector("summary")?.focus();
    },
    { capture: true },
  );
}
