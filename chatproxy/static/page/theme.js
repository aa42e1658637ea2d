// Light, dark, or as the system: one button that switches between the three. The choice is kept.

import { icon } from "../dom/dom.js";
import { store, stored } from "../client/storage.js";

const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
const KEY = "chatproxy theme";

/** @typedef {typeof THEMES[number]} Theme */

/** Apply the theme that was chosen to the page, and return it. */
export function applyTheme() {
  const chosen = stored("localStorage", KEY);
  const theme = THEMES.find((each) => each === chosen) ?? "auto";
  document.documentElement.dataset.theme = theme;
  colourWindow(theme);
  return theme;
}

/**
 * Let what the system draws around the page have its colour. index.html names both.
 *
 * @param {Theme} theme
 */
function colourWindow(theme) {
  for (const each of document.querySelectorAll("meta[name=theme-color]")) {
    const { scheme = "" } = /** @type {HTMLElement} */ (each).dataset;
    const media = `(prefers-color-scheme: ${scheme})`;
    each.setAttribute("media", theme === "auto" ? media : theme === scheme ? "all" : "not all");
  }
}

/**
 * @param {HTMLElement} button
 * @param {import("../chat-interface.js").ChatInterface} chat
 * @param {Record<Theme, string>} labels of the button
 */
export function installThemeToggle(button, chat, labels) {
  const apply = () => {
    const theme = applyTheme();
    button.title = labels[theme];
    button.setAttribute("aria-label", button.title);
    chat.theme = theme === "auto" ? null : theme;
    return theme;
  };
  button.append(icon("theme"));
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(applyTheme()) + 1) % THEMES.length];
    store("localStorage", KEY, next ?? "auto");
    apply();
  });
  apply();
}
