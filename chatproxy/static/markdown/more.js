// What not every answer needs of Markdown, in one module. It is loaded when a text may need it (needs.js).

import { comments } from "./syntax/comments.js";
import { details } from "./syntax/details.js";
import { dunder } from "./syntax/dunder.js";
import { footnotes } from "./syntax/footnotes.js";
import { formulas } from "./syntax/formulas.js";
import { tags } from "./syntax/tags.js";

export { copyFormulas } from "./copy-formulas.js";
export { cut, lengthLimit } from "./cut.js";
export { decode, loadNames } from "./entities.js";
export { Footnotes } from "./footnotes.js";

/** @type {import("./syntax.js").Syntax[]} which follow those of syntax.js */
export const SYNTAXES = [dunder, tags, comments, details, footnotes, formulas];
/** @type {Record<string, import("./syntax.js").Render>} */
export const BLOCKS = Object.assign({}, ...SYNTAXES.map(({ blocks }) => blocks));
/** @type {Record<string, import("./syntax.js").Render>} */
export const INLINES = Object.assign({}, ...SYNTAXES.map(({ inlines }) => inlines));
