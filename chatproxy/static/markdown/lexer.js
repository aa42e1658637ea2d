// From text to tokens: the lexer of `marked`, with the syntax beside it (syntax.js), within bounds.

import { ListCode } from "./list-code.js";
import { mayNeedMore, more } from "./needs.js";
import { Pairs } from "./pairs.js";
import { SYNTAXES } from "./syntax.js";

/**
 * @typedef {import("./markdown.js").Token} Token
 *
 * Lexes one text in pieces; it remembers the link definitions of the pieces before.
 *
 * @typedef {object} Lexer
 * @property {(text: string) => Token[]} lex
 * @property {(text: string) => string} [read] returns what comes next in the text, in any pieces, as `lex` has to
 *   be given it
 * @property {(text: string) => boolean} [mayNeedMore] whether it reads the text better with more.js
 *
 * @typedef {import("./syntax.js").Extension} Extension
 *
 * @typedef {Map<Extension, number>} Starts how long the text is from where an extension begins next; -1: it does not
 * @typedef {Record<string, unknown>} Links
 * @typedef {{inLink: boolean, top: boolean, detailsDepth?: number}} State
 * @typedef {{tokens: Token[] & {links: Links}, state: State, source: string, inlineQueue: {src: string}[],
 *   tokenizer: {list(text: string): Token | undefined, table(text: string): Token | undefined}, lex(text: string): Token[],
 *   blockTokens(text: string, tokens: Token[]): Token[], inline(text: string, tokens: Token[]): Token[],
 *   inlineTokens(text: string, tokens?: Token[]): Token[]}} MarkedLexer
 * @typedef {{Lexer: new (options: object) => MarkedLexer,
 *   Marked: new (...options: object[]) => {defaults: object}}} MarkedModule
 */

const NESTED = /(?:>[ \t]*|[*+-][ \t]+){50}/; // each marker would cost the lexer a stack frame

/** @type {Promise<(() => Lexer) | null> | undefined} */
let loading;

/** Load the lexer, once. Returns a function that creates one, or null if `marked` is not in the package. */
export function loadLexer() {
  loading ??= import("../vendor/marked.js").then(lexerFactory, () => null);
  return loading;
}

/**
 * Let an extension remember where it begins next: the lexer asks after each token.
 *
 * @param {Extension} extension
 * @returns {object}
 */
function withMemory(extension) {
  const { level, start } = extension;
  if (level !== "inline" || !start) return extension;
  return {
    ...extension,
    /** @this {{lexer: {starts: Starts}}} @param {string} text the rest of a line or paragraph */
    start(text) {
      const { starts } = this.lexer;
      const known = starts.get(extension);
      if (known !== undefined && known <= text.length) return known < 0 ? known : text.length - known;
      const index = start(text) ?? -1;
      starts.set(extension, index < 0 ? -1 : text.length - index);
      return index;
    },
  };
}

/** @param {MarkedModule} marked @returns {() => Lexer} */
function lexerFactory({ Lexer: MarkedLexer, Marked }) {
  const optionsFor = (/** @type {import("./syntax.js").Syntax[]} */ syntaxes) => {
    const extensions = syntaxes.flatMap((syntax) => syntax.extensions.map(withMemory));
    const tokenizers = syntaxes.flatMap(({ tokenizer }) => (tokenizer ? [{ tokenizer }] : []));
    return new Marked({ gfm: true, extensions }, ...tokenizers).defaults;
  };
  const few = optionsFor(SYNTAXES);
  /** @type {object | undefined} */
  let all;
  const options = () => (more.now ? (all ??= optionsFor([...SYNTAXES, ...more.now.SYNTAXES])) : few);
  class PairingLexer extends MarkedLexer {
    /** @type {Starts} */
    starts = new Map();
    source = ""; // the whole text

    /** @param {string} source @param {Token[]} [tokens] @returns {Token[]} */
    inlineTokens(source, tokens = []) {
      const outer = this.starts;
      this.starts = new Map();
      const paired = new Pairs(source).pair(super.inlineTokens(source, []));
      this.starts = outer;
      for (const token of paired) tokens.push(token);
      return tokens;
    }
  }
  return () => {
    /** @type {Links} */
    const definitions = Object.create(null);
    const code = new ListCode();
    return {
      read: (text) => code.read(text),
      mayNeedMore,
      lex(text) {
        if (NESTED.test(text)) return [{ type: "plain", raw: text }];
        try {
          const lexer = new PairingLexer(options());
          lexer.tokens.links = definitions;
          lexer.source = text;
          return forgetLast(lexer.lex(text), definitions);
        } catch {
          return [{ type: "plain", raw: text }];
        }
      },
    };
  };
}

/**
 * Forget the definition at the end of the text: its address may still grow, and the first one counts.
 *
 * @param {Token[]} tokens
 * @param {Links} definitions
 */
function forgetLast(tokens, definitions) {
  const last = tokens.at(-1);
  if (last?.type === "def" && last.tag !== undefined) delete definitions[last.tag];
  return tokens;
}
