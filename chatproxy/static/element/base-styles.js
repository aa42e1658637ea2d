// What the style sheets of all elements begin with, and how they are made: constructed ones, which a strict
// Content-Security-Policy allows. Pages change them with `--chat-…` properties, `theme` and ::part().
//
// A page's rules for the element itself win over `:host`, and so do those for `*`. So the host has what pages
// may set, its box and its colour scheme, and `.frame` within begins with the initial value of everything that
// would be inherited. Only whether there is anything to see and to click, and the direction, follow the page.

import { MEDIA } from "./media-styles.js";

const CSS = `
:host {
  --bg: var(--chat-background, light-dark(#ffffff, #1c1c1e));
  --text: var(--chat-text, light-dark(#1d1d1f, #ececee));
  --muted: var(--chat-muted, light-dark(#5f6066, #a5a6ad));
  --line: var(--chat-border, light-dark(#e3e3e6, #3a3a3e));
  --soft: var(--chat-surface, light-dark(#f4f4f5, #2a2a2d));
  --accent: var(--chat-accent, light-dark(#0b57d0, #8ab4f8));
  --strong: var(--chat-button, light-dark(#1d1d1f, #ececee));
  --on-strong: var(--chat-button-text, light-dark(#ffffff, #1c1c1e));
  --danger: var(--chat-danger, light-dark(#b3261e, #f2b8b5));
  color-scheme: light dark;
}
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
:host([hidden]), [hidden] { display: none !important; }
.frame {
  all: initial;
  box-sizing: border-box;
  --chatproxy-rem: 1em;
  color-scheme: inherit;
  visibility: inherit;
  pointer-events: inherit;
  user-select: text;
  color: var(--text);
  /* The last family keeps browsers from making "monospace" alone smaller. */
  font: var(--chat-font-size, medium)/1.65 var(--chat-font, ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif), sans-serif;
}
*, ::before, ::after { box-sizing: border-box; }
button, input, textarea { font: inherit; color: inherit; }
textarea { unicode-bidi: plaintext; text-align: start; } /* each paragraph has its own direction */
button { cursor: pointer; background: none; border: 0; padding: 0; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.icon { inline-size: 1.15em; block-size: 1.15em; fill: none; stroke: currentColor; stroke-width: 1.9;
  stroke-linecap: round; stroke-linejoin: round; display: block; }
.request-id { color: var(--muted); font-size: .85em; }
.request-id summary { cursor: pointer; inline-size: fit-content; }
.request-id code { user-select: all; }
.unseen { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

/** @type {Map<string, CSSStyleSheet>} by their text */
const sheets = new Map();

/**
 * Return a style sheet of the elements, made when it is first needed: without a DOM there are none. In it, a rem
 * is the letters' size in the element: the page's root may have any, such as 62.5%.
 *
 * @param {string} css
 */
export function styleSheet(css) {
  let sheet = sheets.get(css);
  if (!sheet) {
    if (sheets.size === 0) registerRem();
    sheets.set(css, (sheet = new CSSStyleSheet()));
    sheet.replaceSync(
      (CSS + css + MEDIA).replace(REM, (all, number) =>
        number ? `calc(${number} * var(--chatproxy-rem))` : all,
      ),
    );
  }
  return sheet;
}

// Conditions of @media have the browser's own rem, and no properties.
const REM = /@media[^{]*|(-?[\d.]+)rem\b/g;

/** Let the property be a length, so that it is computed where it is set, and inherited as that. */
function registerRem() {
  try {
    globalThis.CSS.registerProperty({
      name: "--chatproxy-rem",
      syntax: "<length>",
      inherits: true,
      initialValue: "16px",
    });
  } catch {
    // another copy of this module has done so
  }
}
