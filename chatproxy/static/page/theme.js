// Light, dark, or as the system: one button that switches between the three. The choice is kept.

import { icon } from "../dom/dom.js";

const THEMES = /** @type {const} */ (["auto", "light", "dark"]);
const KEY = "chatproxy theme";

/** @typedef {typeof THEMES[number]} Theme */

/** Apply the theme that was chosen to the page, and return it. */
export function applyTheme() {
  const stored = localStorage.getItem(KEY);
  const theme = THEMES.find((each) => each === stored) ?? "auto";
  document.documentElement.dataset.theme = theme;
  return theme;
}

/** @param {HTMLElement} button @param {import("../chat-interface.js").ChatInterface} chat */
export function installThemeToggle(button, chat) {
  const apply = () => {
    const theme = applyTheme();
    button.title = `Theme: ${theme}`;
    button.setAttribute("aria-label", button.title);
    chat.theme = theme === "auto" ? null : theme;
    return theme;
  };
  button.append(icon("theme"));
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(applyTheme()) + 1) % THEMES.length];
    localStorage.setItem(KEY, next ?? "auto");
    apply();
  });
  apply();
}
