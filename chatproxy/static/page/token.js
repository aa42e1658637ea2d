// The access token: kept for the lifetime of the tab, taken from `#token=…` in the address or asked for.
//
// Browsers do not send a fragment to the server, so a link with the token leaves it in no log.

import { ask } from "./dialogs.js";

const KEY = "chatproxy token";

/** Take the token out of the address, where it would be seen and copied. */
export function takeTokenFromAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  sessionStorage.setItem(KEY, token);
  history.replaceState(history.state, "", location.pathname + location.search);
}

/** @returns {Record<string, string>} the headers of a request */
export function authorization() {
  const token = sessionStorage.getItem(KEY);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** The dialog that asks for the token. */
export class TokenDialog {
  #dialog;
  #field;
  #ontoken;
  #open = false;

  /** @param {HTMLDialogElement} dialog @param {HTMLInputElement} field @param {() => void} ontoken */
  constructor(dialog, field, ontoken) {
    this.#dialog = dialog;
    this.#field = field;
    this.#ontoken = ontoken;
  }

  /** Open the dialog, unless it is open: several requests may have failed. */
  async open() {
    if (this.#open) return;
    this.#open = true;
    this.#field.value = "";
    const answer = await ask(this.#dialog);
    this.#open = false;
    const token = this.#field.value.trim();
    if (answer !== "enter" || !token) return;
    sessionStorage.setItem(KEY, token);
    this.#ontoken();
  }
}
