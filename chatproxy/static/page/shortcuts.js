// The page's keyboard shortcuts, and the dialog that lists them.

import { h } from "../dom/dom.js";
import { texts } from "./texts.js";

const MAC = /Mac|iP(hone|ad)/.test(navigator.platform);
const { mod, shift, escape } = texts.page.shortcuts;
/** @type {Record<string, string>} what is printed on keys */
const NAMES = { Mod: MAC ? "⌘" : mod, Shift: shift, Escape: escape };

/**
 * `Mod` is ⌘ on a Mac, and Ctrl elsewhere.
 *
 * @typedef {object} Shortcut
 * @property {string} keys such as `Mod+Shift+O`; the last one is compared with `KeyboardEvent.key`
 * @property {string} label
 * @property {() => void} [run] undefined: another part of the page handles the key
 */

export class Shortcuts {
  #dialog;
  #shortcuts;

  /** @param {HTMLDialogElement} dialog @param {HTMLElement} list @param {Shortcut[]} shortcuts */
  constructor(dialog, list, shortcuts) {
    this.#dialog = dialog;
    this.#shortcuts = shortcuts;
    list.replaceChildren(
      ...shortcuts.map(({ keys, label }) => h("li", {}, h("span", {}, label), h("span", {}, ...shown(keys)))),
    );
    addEventListener("keydown", (event) => this.#handle(event));
  }

  /** Open the list. */
  open() {
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  /** @param {KeyboardEvent} event */
  #handle(event) {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    const pressed = this.#shortcuts.find(({ keys, run }) => run && matches(event, keys));
    if (!pressed) return;
    event.preventDefault();
    pressed.run?.();
  }
}

/** @param {KeyboardEvent} event @param {string} keys */
function matches({ key, ctrlKey, metaKey, shiftKey, altKey }, keys) {
  const wanted = keys.split("+");
  const mod = MAC ? metaKey && !ctrlKey : ctrlKey && !metaKey;
  return (
    key.toLowerCase() === wanted.at(-1)?.toLowerCase() &&
    mod === wanted.includes("Mod") &&
    // Where a sign needs Shift, as `/` does on many keyboards, Shift says nothing.
    (shiftKey === wanted.includes("Shift") || !/\w/.test(key)) &&
    !altKey
  );
}

/** @param {string} keys @returns {HTMLElement[]} */
const shown = (keys) =>
  keys.split("+").map((key) => h("kbd", {}, NAMES[key] ?? key));
