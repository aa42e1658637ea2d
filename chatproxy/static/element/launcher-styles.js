// How <chat-launcher> looks: a button in the corner, and the panel above it, which on phones is the whole screen.

import { styleSheet } from "./base-styles.js";

/** The media query of the screens that the panel fills, as in the style sheet. */
export const NARROW = "(max-width: 30rem)";

const CSS = `
:host { display: contents; }
.frame { display: contents; --offset: var(--chat-launcher-offset, 1rem); }
.launch, .panel { position: fixed; inset: auto; z-index: var(--chat-launcher-z-index, 2147483000); }
.launch { inset-block-end: var(--offset); inset-inline-end: var(--offset); inline-size: 3.5rem; block-size: 3.5rem; display: grid;
  place-items: center; border: 1px solid transparent; border-radius: 50%; font-size: 1.4rem; line-height: 1;
  background: var(--strong); color: var(--on-strong); box-shadow: 0 4px 16px #0004; }
.launch:focus-visible { outline-offset: 3px; }
.mark { position: absolute; inset-block-start: 0; inset-inline-end: 0; inline-size: 1rem; block-size: 1rem;
  border: 2px solid var(--bg); border-radius: 50%; background: var(--danger); }
.panel { inset-block-end: calc(var(--offset) + 4.25rem); inset-inline-end: var(--offset); margin: 0; padding: 0; overflow: hidden;
  inline-size: var(--chat-launcher-width, 24rem); max-inline-size: calc(100vw - 2 * var(--offset));
  block-size: var(--chat-launcher-height, 40rem); max-block-size: calc(100dvh - 2 * var(--offset) - 4.25rem);
  border: 1px solid var(--line); border-radius: 1rem; background: var(--bg); color: var(--text); box-shadow: 0 8px 40px #0004; }
.panel[open] { display: flex; flex-direction: column; animation: rise .15s ease-out; }
@keyframes rise { from { opacity: 0; translate: 0 .75rem; } }
@media (prefers-reduced-motion: reduce) { .panel[open] { animation: none; } }
:host([placement="bottom-start"]) :is(.launch, .panel) { inset-inline: var(--offset) auto; }
header { display: flex; align-items: center; gap: .5rem; padding: .5rem .5rem .5rem 1rem; border-block-end: 1px solid var(--line); }
h2 { flex: 1; min-inline-size: 0; margin: 0; font-size: 1rem; font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.close { inline-size: 2.5rem; block-size: 2.5rem; display: grid; place-items: center; border-radius: .6rem; color: var(--muted); }
.close:hover { background: var(--soft); color: var(--text); }
.body { flex: 1; min-block-size: 0; display: flex; flex-direction: column; }
.body > *, ::slotted(*) { flex: 1; min-block-size: 0; }
@media (max-width: 30rem) {
  .panel, :host([placement="bottom-start"]) .panel { inset: 0; inline-size: 100%; block-size: 100%; max-inline-size: none; max-block-size: none;
    border: 0; border-radius: 0; padding-block-start: env(safe-area-inset-top); }
}
@media (forced-colors: active) {
  .launch { border-color: ButtonBorder; }
  .mark { forced-color-adjust: none; background: Highlight; border-color: Canvas; }
}
@media print { :host { display: none; } }
`;

export const styles = () => styleSheet(CSS);
