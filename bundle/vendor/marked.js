// The lexer, and what reads its extensions: rendering is markdown/'s.

import { Lexer, Tokenizer } from "marked";

export { Lexer };

/** As much of the class of that name as a lexer needs: it would bring the parser and the renderer. */
export class Marked {
  defaults = { gfm: true, extensions: {}, tokenizer: new Tokenizer() };

  constructor(...packs) {
    for (const { extensions = [], tokenizer = {} } of packs) {
      extensions.forEach((extension) => this.#extend(extension));
      for (const [name, tokenize] of Object.entries(tokenizer)) this.#replace(name, tokenize);
    }
  }

  /** Try an extension before those that there are. */
  #extend({ level, tokenizer, start }) {
    const all = this.defaults.extensions;
    (all[level] ??= []).unshift(tokenizer);
    if (start) (all[level === "block" ? "startBlock" : "startInline"] ??= []).push(start);
  }

  /** Try a method before the tokenizer's own, which follows if it returns false. */
  #replace(name, tokenize) {
    const { tokenizer } = this.defaults;
    const next = tokenizer[name];
    tokenizer[name] = (...words) => {
      const token = tokenize.apply(tokenizer, words);
      return token === false ? next.apply(tokenizer, words) : token;
    };
  }
}
