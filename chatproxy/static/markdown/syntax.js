// The kinds of Markdown that there are beside those of `marked`, each in a module of its own (syntax/): how it is found
// in a text, and how it is shown. Those that few texts have are in more.js.

import { emphasis } from "./syntax/emphasis.js";
import { fences } from "./syntax/fences.js";
import { lineEnds } from "./syntax/line-ends.js";
import { typed } from "./syntax/typed.js";
import { urls } from "./syntax/urls.js";
import { windowsPath } from "./syntax/windows-path.js";

/**
 * @typedef {import("./markdown.js").Token} Token
 *
 * One of marked's extensions: https://marked.js.org/using_pro#extensions
 *
 * @typedef {object} Extension
 * @property {string} name the type of its tokens
 * @property {"block" | "inline"} level
 * @property {(text: string) => number | undefined} [start] returns where in a line or paragraph the next token may
 *   begin
 * @property {(this: {lexer: import("./lexer.js").MarkedLexer}, text: string, tokens: Token[]) => Token | undefined}
 *   tokenizer returns the token at the beginning of the text; `tokens` are those before it
 *
 * What a renderer has besides its token.
 *
 * @typedef {object} Inside
 * @property {import("./markdown.js").Context} context
 * @property {import("./cut.js").Continuation} [continuation] if the block continues one that was cut
 * @property {(token: Token) => Node[]} inlines renders what is in the token's lines
 * @property {(token: Token, continuation?: import("./cut.js").Continuation) => Node[]} blocks renders the blocks in
 *   the token; the first one may continue another
 *
 * @typedef {(token: Token, inside: Inside) => Node | null} Render null: nothing is shown
 *
 * @typedef {object} Syntax
 * @property {Extension[]} extensions the first one in the text counts; at one place, that of the last syntax
 * @property {Record<string, (text: string) => Token | false | undefined>} [tokenizer] in the place of marked's own,
 *   which is asked after false
 * @property {Record<string, Render>} [blocks] by the type of token
 * @property {Record<string, Render>} [inlines]
 */

/** @type {Syntax[]} */
export const SYNTAXES = [emphasis, lineEnds, urls, windowsPath, fences, typed];
