// The access token: kept for the lifetime of the tab, exchanged for `#code=…` in the address, taken from `#token=…`, or
// asked for.
//
// A code is good for one login, so the address opens nothing when it is found in a history or a log. Whoever writes a
// token into an address chose that it does.

import { ask } from "../dom/dialogs.js";
import { store, stored } from "../client/storage.js";

const KEY = "chatproxy token";

/**
 * Log in with the code or the token in the address, if there is one, and take it out of the address.
 *
 * @param {string} baseUrl
 * @param {string} unreachable what to say if the server cannot be reached
 * @returns {Promise<string>} what went wrong; "" if nothing did
 */
export async function logIn(baseUrl, unreachable) {
  const given = new URLSearchParams(location.hash.slice(1));
  const [code, whole] = [given.get("code"), given.get("token")];
  if (!code && !whole) return "";
  history.replaceState(history.state, "", location.pathname + location.search);
  if (whole) keep(whole);
  if (!code) return "";
  try {
    const url = new URL("api/login", baseUrl);
    const response = await fetch(url, { method: "POST", headers: { "Login-Code": code } });
    const { token, error } = await response.json();
    if (token) keep(token);
    return error ?? "";
  } catch {
    return unreachable;
  }
}

/** @param {string} token */
const keep = (token) => store("sessionStorage", KEY, token);

/**
 * Return whether the page is a visitor's, who could log in: the server has a door, and lets visitors in without.
 *
 * @param {string} baseUrl
 */
export async function isVisitor(baseUrl) {
  if (stored("sessionStorage", KEY)) return false;
  try {
    const response = await fetch(new URL("api/chat/sessions?limit=1", baseUrl));
    return response.status === 401 && Boolean((await response.json()).visitors);
  } catch {
    return false;
  }
}

/**
 * Return the headers of a request. A proxy in front may ask for a password, which browsers send as `Authorization`, so
 * the token has a header of its own.
 *
 * @returns {Record<string, string>}
 */
export function authorization() {
  const token = stored("sessionStorage", KEY);
  return token ? { "x-api-key": token } : {};
}

/** The dialog that asks for the token. */
export class TokenDialog {
  #dialog;
  #field;
  #problem;
  #wrong;
  #ontoken;
  #open = false;

  /**
   * @param {{dialog: HTMLDialogElement, field: HTMLInputElement, problem: HTMLElement}} elements
   * @param {string} problem why the token has to be entered, if there is more to say
   * @param {string} wrong what to say of a token that is refused
   * @param {() => void} ontoken
   */
  constructor(elements, problem, wrong, ontoken) {
    this.#wrong = wrong;
    this.#dialog = elements.dialog;
    this.#field = elements.field;
    this.#ontoken = ontoken;
    this.#problem = elements.problem;
    this.#say(problem);
  }

  /** @param {string} problem */
  #say(problem) {
    this.#problem.textContent = problem;
    this.#problem.hidden = !problem;
  }

  /** Ask for another token than the one that was refused, if there was one. */
  refuse() {
    if (!this.#open && stored("sessionStorage", KEY)) this.#say(this.#wrong);
    return this.open();
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
    keep(token);
    this.#say("");
    this.#ontoken();
  }
}
