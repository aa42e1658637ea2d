// How the documents look that answers draw on. It is of no use before there is one, and is loaded with the first.

const CSS = `
.documents { display: flex; flex-wrap: wrap; align-items: flex-start; gap: .35rem; max-block-size: 9rem; margin: .2rem -.2rem 0; padding: .2rem; overflow-y: auto; list-style: none; }
.documents[hidden] { display: none; }
.document { display: grid; grid-template-columns: auto minmax(0, max-content) 1fr; align-items: center; gap: 0 .5rem;
  box-sizing: border-box; max-inline-size: min(100%, 26rem);
  padding: .2rem .5rem .2rem .75rem; border-radius: 1.1rem; background: var(--soft); color: var(--text); font-size: .88rem; }
.document .name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.document button { justify-self: start; padding: .35rem; border-radius: 50%; color: var(--muted); }
.document button:hover { color: var(--text); }
.document p { grid-column: 1 / -1; margin: 0 0 .3rem; color: var(--muted); overflow-wrap: anywhere; }
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** Add the style sheet to the document or shadow tree where they are. @param {Node} node */
export function styleDocuments(node) {
  const root = /** @type {Document | ShadowRoot} */ (node.getRootNode());
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  if (!root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
}
