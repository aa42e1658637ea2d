// From text to tokens: the lexer of `marked`, with the syntax beside it (syntax.js), within bounds.

import { SYNTAXES } from "./syntax.js";

/**
 * @typedef {import("./markdown.js").Token} Token
 *
 * Lexes one text in pieces; it remembers the link definitions of the pieces before.
 *
 * @typedef {{lex: (text: string) => Token[]}} Lexer
 *
 * @typedef {Record<string, unknown>} Links
 * @typedef {{tokens: Token[] & {links: Links}, lex(text: string): Token[],
 *   inlineTokens(text: string, tokens?: Token[]): Token[]}} MarkedLexer
 * @typedef {{Lexer: new (options: object) => MarkedLexer,
 *   Marked: new (options: object) => {defaults: object}}} MarkedModule
 */

const NESTED = /(?:>[ \t]*|[*+-][ \t]+){50}/; // each marker would cost the lexer a stack frame
const MAX_DELIMITERS = 256; // in a paragraph: the lexer looks from each for its partner

/** @type {Promise<(() => Lexer) | null> | undefined} */
let loading;

/** Load the lexer, once. Returns a function that creates one, or null if `marked` is not in the package. */
export function loadLexer() {
  loading ??= import("../vendor/marked.js").then(lexerFactory, () => null);
  return loading;
}

/** @param {MarkedModule} marked @returns {() => Lexer} */
function lexerFactory({ Lexer: MarkedLexer, Marked }) {
  const extensions = SYNTAXES.flatMap((syntax) => syntax.extensions);
  const options = new Marked({ gfm: true, extensions }).defaults;
  class BoundedLexer extends MarkedLexer {
    /** @param {string} source @param {Token[]} [tokens] @returns {Token[]} */
    inlineTokens(source, tokens = []) {
      const delimiters = source.match(/[*_~]/g)?.length ?? 0;
      if (delimiters <= MAX_DELIMITERS) return super.inlineTokens(source, tokens);
      tokens.push({ type: "text", raw: source, text: source });
      return tokens;
    }
  }
  return () => {
    /** @type {Links} */
    const definitions = Object.create(null);
    return {
      lex(text) {
        if (NESTED.test(text)) return [{ type: "plain", raw: text }];
        try {
          const lexer = new BoundedLexer(options);
          lexer.tokens.links = definitions;
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
