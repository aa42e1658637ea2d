// Light, dark, or as the system is: one button that goes through the three, and is remembered.

import { icon } from "../dom/dom.js";

const THEMES = ["auto", "light", "dark"];
const KEY = "chatproxy theme";

function kept() {
  const theme = localStorage.getItem(KEY) ?? "";
  return THEMES.includes(theme) ? theme : "auto";
}

/** @param {HTMLElement} button @param {HTMLElement} chat */
export function themed(button, chat) {
  const paint = () => {
    const theme = kept();
    button.title = `Theme: ${theme}`;
    button.setAttribute("aria-label", button.title);
    document.documentElement.dataset.theme = theme;
    if (theme === "auto") chat.removeAttribute("theme");
    else chat.setAttribute("theme", theme);
  };
  button.append(icon("theme"));
  button.addEventListener("click", () => {
    localStorage.setItem(KEY, /** @type {string} */ (THEMES[(THEMES.indexOf(kept()) + 1) % THEMES.length]));
    paint();
  });
  paint();
}
