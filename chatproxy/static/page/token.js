// The access token: kept for the lifetime of the tab, exchanged for `#code=…` in the address or asked for.
//
// The code is good for one login, so the address opens nothing when it is found in a history or a log.

import { ask } from "../dom/dialogs.js";

const KEY = "chatproxy token";

/**
 * Log in with the code in the address, if there is one, and take it out of the address.
 *
 * @param {string} baseUrl
 * @returns {Promise<string>} what went wrong; "" if nothing did
 */
export async function logIn(baseUrl) {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (!code) return "";
  history.replaceState(history.state, "", location.pathname + location.search);
  try {
    const url = new URL("api/login", baseUrl);
    const response = await fetch(url, { method: "POST", headers: { "Login-Code": code } });
    const { token, error } = await response.json();
    if (token) sessionStorage.setItem(KEY, token);
    return error ?? "";
  } catch {
    return "The server could not be reached for the login; enter the token.";
  }
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

  /**
   * @param {{dialog: HTMLDialogElement, field: HTMLInputElement, problem: HTMLElement}} elements
   * @param {string} problem why the token has to be entered, if there is more to say
   * @param {() => void} ontoken
   */
  constructor(elements, problem, ontoken) {
    this.#dialog = elements.dialog;
    this.#field = elements.field;
    this.#ontoken = ontoken;
    elements.problem.textContent = problem;
    elements.problem.hidden = !problem;
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
