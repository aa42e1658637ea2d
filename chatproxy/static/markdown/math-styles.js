// What is not in MathML Core, such as strokes through a term, and what Temml leaves to these classes. It is of no use
// before there is a formula, and is loaded with the first.

const CSS = `
.tml-display > mrow { padding-block: .5ex; }
.tml-left { text-align: left; text-align: -webkit-left; } .tml-right { text-align: right; text-align: -webkit-right; }
.tml-jot > mtr > mtd { padding-block: .7ex; } .tml-small mtd { padding-block: .35ex; }
.tml-tag { padding-inline-start: 2em; }
menclose, .menclose { display: inline-block; position: relative; }
.tml-overline { border-block-start: .065em solid; padding-block-start: .1em; }
.tml-underline { border-block-end: .065em solid; padding-block-end: .1em; }
.tml-cancel, .tml-xcancel, .tml-cancelto { display: inline-block; position: absolute; inset: 0; background: currentcolor; }
.upstrike, .tml-cancelto { clip-path: polygon(0 calc(100% - .06em), calc(100% - .06em) 0, 100% .06em, .06em 100%); }
.downstrike { clip-path: polygon(0 .06em, .06em 0, 100% calc(100% - .06em), calc(100% - .06em) 100%); }
.sout { clip-path: polygon(0 calc(50% - .03em), 100% calc(50% - .03em), 100% calc(50% + .03em), 0 calc(50% + .03em)); }
.tml-xcancel { clip-path: polygon(.06em 0, 0 .06em, calc(50% - .06em) 50%, 0 calc(100% - .06em), .06em 100%, 50% calc(50% + .06em),
  calc(100% - .06em) 100%, 100% calc(100% - .06em), calc(50% + .06em) 50%, 100% .06em, calc(100% - .06em) 0, 50% calc(50% - .06em)); }
.tml-tilde-2 { transform: scale(2, 1.1); } .tml-tilde-3 { transform: scale(3, 1.1); } .tml-tilde-4 { transform: scale(4, 1.1); }
.tml-hat-1 { transform: scaleX(1.9); } .tml-hat-2 { transform: scaleX(3.9); } .tml-hat-3 { transform: scaleX(5.8); } .tml-hat-4 { transform: scaleX(7.8); }
.chr-sml { transform: translateX(.07em); } .chr-med { transform: translateX(.14em); } .chr-lrg { transform: translateX(.21em); }
`;

/** @type {CSSStyleSheet | undefined} */
let sheet;

/** Add the style sheet to the document or shadow tree where a formula is. @param {Node} formula */
export function styleFormulas(formula) {
  const root = /** @type {Document | ShadowRoot} */ (formula.getRootNode());
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  if (!root.adoptedStyleSheets.includes(sheet)) root.adoptedStyleSheets.push(sheet);
}
