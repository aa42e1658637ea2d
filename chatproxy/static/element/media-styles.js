// How the element looks elsewhere than on a screen with a mouse: on touch screens, in forced colours, on paper.

/** Of every element, after everything else: conditions add no specificity. */
export const MEDIA = `
/* Touch screens: 44 px to hit. Below 16 px in a field, Safari on a phone zooms in, and not out again: whatever the
   host page and other rules say. */
@media (pointer: coarse) {
  :is(input, select, textarea) { font-size: max(1rem, 16px) !important; }
  :is(button, summary, .chip) { min-block-size: 44px; min-inline-size: 44px; }
  summary { display: flow-root list-item; align-content: center; }
  .actions button { display: inline-grid; place-items: center; }
  .actions, .assistant[data-status="streaming"] .footer { min-block-size: 44px; }
  .assistant[data-status="streaming"] .footer { padding-block-end: 44px; }
  .code-head { align-items: center; padding-block: 0; }
  .code-head button { padding-inline: .5rem; margin-inline-end: -.5rem; }
  .composer textarea { min-block-size: 44px; padding-block: .6rem; }
  .latest { border-radius: 50%; }
  .preview button { inset-block-start: -14px; inset-inline-end: -14px; background: none; display: grid; place-items: center; }
  .preview button .icon { background: var(--strong); border-radius: 50%; padding: .3em; inline-size: 1.9em; block-size: 1.9em; }
}

/* Forced colours have no backgrounds: what only these show needs a line, or a pair of the system's colours. */
@media (forced-colors: active) {
  .message.user .bubble, .edit, .send, .strong, .preview button, .content a.reference { border: 1px solid; }
  :not(pre) > code { border: 1px solid; }
  .code-head { border-block-end: 1px solid; }
  .cursor { background: CanvasText; }
  .send[aria-disabled="true"], button:disabled { color: GrayText; border-color: GrayText; }
  .snippet mark, .chip[aria-expanded="true"] { background: Highlight; color: HighlightText; forced-color-adjust: none; }
  .composer:focus-within { outline: 2px solid Highlight; }
  :is(button, summary):hover { color: Highlight; border-color: Highlight; }
  .chip[aria-expanded="true"]:hover { color: HighlightText; }
}
`;

/** Of the conversation: the whole of it, black on white, and nothing that is cut, folded or to be pressed. */
export const PAPER = `
.paper-only { display: none; color: var(--muted); }
@media print {
  :host, :host([theme]) { --bg: #fff; --text: #000; --muted: #444; --line: #999; --soft: #f4f4f5; --accent: #000; --danger: #000;
    color-scheme: light; }
  /* The page's rules for the element win over these, except where it matters. */
  :host { position: static !important; block-size: auto !important; max-block-size: none !important; overflow: visible !important; }
  :host, .frame, .scroller, .log, .column { display: block; block-size: auto; min-block-size: 0; max-inline-size: none; overflow: visible; }
  .log { scrollbar-gutter: auto; }
  .column { padding: 0; }
  .bottom, .latest, .earlier, .empty, .actions, .edit, .copy-code, .cursor { display: none; }
  .paper-only:not([hidden]) { display: block; }
  .group.complete { content-visibility: visible; }
  .message.user .bubble { border: 1px solid var(--line); }
  :is(.thought, .snippet) { max-block-size: none; overflow: visible; }
  .code { overflow: visible; }
  .code pre { overflow: visible; white-space: pre-wrap; overflow-wrap: anywhere; }
  .table { overflow: visible; }
  .table table { inline-size: 100%; }
  th, td { overflow-wrap: break-word; }
  :is(th, td) :is(a, code) { overflow-wrap: anywhere; } /* what is long, and without spaces */
  .content a:not(.reference, .bare)[href^="http"]::after { content: " (" attr(href) ")"; overflow-wrap: anywhere; }
  .sources ul { display: block; }
  .sources li { max-inline-size: none; margin-block-end: .3rem; }
  .chip { display: block; white-space: normal; border: 0; padding: 0; }
  .chip :is(.title, .place) { overflow: visible; }
  .chip svg { display: inline-block; vertical-align: -.2em; }
  .images img { max-inline-size: 100%; max-block-size: 20cm; }
  :is(.images img, tr, .failure, .snippet) { break-inside: avoid; }
  .content :is(h3, h4, h5, h6), .code-head { break-after: avoid; }
}
`;
