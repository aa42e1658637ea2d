// How <chat-history> looks.

import { styleSheet } from "./base-styles.js";

const CSS = `
:host { display: block; background: var(--bg); }
.frame { display: flex; flex-direction: column; gap: .5rem; inline-size: 100%; block-size: 100%; padding: .6rem; line-height: 1.5; }
.new { display: flex; align-items: center; gap: .6rem; padding: .45rem .75rem; border-radius: .6rem; font-weight: 500; text-align: start; }
.new .icon { flex: none; }
:is(.new, .more):hover { background: var(--soft); }
nav { flex: 1; min-block-size: 0; overflow-y: auto; }
ul { list-style: none; margin: 0; padding: 0; }
li { display: flex; align-items: center; border-radius: .6rem; }
li:is(:hover, :focus-within), li:has([aria-current]) { background: var(--soft); }
li:has([aria-current]) { box-shadow: inset 3px 0 var(--accent); }
li:has([aria-current]):dir(rtl) { box-shadow: inset -3px 0 var(--accent); }
.session { flex: 1; min-inline-size: 0; padding: .42rem .75rem; border-radius: .6rem; font-size: .94rem; text-align: start;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.session[aria-current] { font-weight: 600; }
.session:focus-visible { outline-offset: -2px; }
li input { flex: 1; min-inline-size: 0; padding: .35rem .6rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--bg); }
.tools { display: flex; inline-size: 0; overflow: hidden; }
li:is(:hover, :focus-within) .tools { inline-size: auto; overflow: visible; }
@media (hover: none) { .tools { inline-size: auto; } }
.tools button { padding: .4rem; border-radius: .5rem; color: var(--muted); font-size: .85rem; }
.tools button:hover { color: var(--text); }
.none, .problem { margin: .4rem .75rem; font-size: .9rem; color: var(--muted); overflow-wrap: anywhere; }
.problem { color: var(--danger); }
.more { inline-size: 100%; padding: .4rem .75rem; border-radius: .6rem; color: var(--muted); font-size: .9rem; }
dialog { inline-size: min(24rem, calc(100vw - 2rem)); padding: 1.5rem; border: 1px solid var(--line); border-radius: 1rem;
  background: var(--bg); color: var(--text); }
dialog::backdrop { background: #0006; }
dialog p { margin: 0 0 1rem; overflow-wrap: anywhere; }
.buttons { display: flex; justify-content: flex-end; gap: .5rem; }
.buttons button { padding: .35rem 1rem; border: 1px solid var(--line); border-radius: 2rem; }
.buttons .danger { color: var(--danger); border-color: currentColor; }
@media (forced-colors: active) {
  li:has([aria-current]) { outline: 2px solid Highlight; outline-offset: -2px; }
}
@media print { :host { display: none; } }
`;

export const styles = () => styleSheet(CSS);
