// Copying text, on insecure origins too, where `navigator.clipboard` is undefined.

/** @param {string} text */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text);
  }
}

/**
 * Copy the way older browsers do: select the text in a field out of sight and run the copy command.
 *
 * @param {string} text
 */
function copyBySelection(text) {
  const focused = deepActiveElement();
  const field = document.createElement("textarea");
  field.value = text;
  field.readOnly = true;
  Object.assign(field.style, { position: "fixed", top: "0", opacity: "0" });
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus({ preventScroll: true });
  if (!copied) throw new Error("The browser does not let this page copy.");
}

/** Return the focused element, also inside shadow trees. */
function deepActiveElement() {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return /** @type {HTMLElement | null} */ (element);
}
