// Finds what belongs together in a line: the delimiters of emphasis, and opening and closing tags. It is the
// algorithm of CommonMark, which takes time in proportion to the tokens:
// https://spec.commonmark.org/0.31.2/#phase-2-inline-structure

/**
 * @typedef {import("./markdown.js").Token} Token
 *
 * What may be closed by a later token.
 *
 * @typedef {object} Opener
 * @property {Token} token
 * @property {string} kind a delimiter's character, or the name of a tag
 * @property {number} count of delimiters that are left
 * @property {number} index of the token in the output
 * @property {number} start of its rest in the source
 * @property {number} serial in the order of the source
 */

/** Pairs the tokens of one line or paragraph. */
export class Pairs {
  #source;
  /** @type {Token[]} */
  #output = [];
  /** @type {Opener[]} */
  #openers = [];
  #opened = 0;
  /** @type {Map<string, number>} for each kind of closer, the serial up to which no opener fits */
  #none = new Map();
  #at = 0;

  /** @param {string} source what the tokens are the parts of */
  constructor(source) {
    this.#source = source;
  }

  /**
   * Return the tokens with those that are inside a pair in a token of that pair's.
   *
   * @param {Token[]} tokens
   */
  pair(tokens) {
    for (const token of tokens) {
      if (token.type === "delimiter") this.#delimiter(token);
      else if (token.type === "tag") this.#tag(token);
      else this.#output.push(token);
      this.#at += token.raw.length;
    }
    return merged(this.#output);
  }

  /** @param {Token} token */
  #delimiter(token) {
    const kind = token.raw.slice(0, 1);
    let used = 0;
    let opener;
    while (used < token.raw.length && (opener = this.#openerFor(token, kind))) {
      const count = kind === "~" || Math.min(opener.count, token.raw.length - used) > 1 ? 2 : 1;
      used += count;
      opener.count -= count;
      const type = kind === "~" ? "del" : count === 2 ? "strong" : "em";
      this.#close(opener, type, opener.start + opener.count, this.#at + used);
    }
    if (used < token.raw.length) this.#keep(token, kind, used);
  }

  /** @param {Token} token */
  #tag(token) {
    const kind = String(token.name);
    const opener = token.closing ? this.#openerFor(token, kind) : undefined;
    if (!opener) return this.#keep(token, kind, 0);
    opener.count = 0;
    this.#close(opener, kind, opener.start, this.#at + token.raw.length);
  }

  /**
   * Return the nearest opener for a closer.
   *
   * @param {Token} closer
   * @param {string} kind
   */
  #openerFor(closer, kind) {
    if (!closer.closes && !closer.closing) return undefined;
    const { length } = closer.raw;
    const key = `${kind} ${closer.opens} ${length % 3}`;
    const none = this.#none.get(key) ?? 0;
    for (let index = this.#openers.length - 1; index >= 0; index -= 1) {
      const opener = /** @type {Opener} */ (this.#openers[index]);
      if (opener.serial <= none) break;
      if (opener.kind !== kind) continue;
      const sum = opener.token.raw.length + length;
      const either = opener.token.closes || closer.opens;
      if (closer.closing || !either || sum % 3 || !(length % 3)) return opener;
    }
    this.#none.set(key, this.#opened);
    return undefined;
  }

  /**
   * Put what is behind the opener into a token.
   *
   * @param {Opener} opener
   * @param {string} type
   * @param {number} start in the source
   * @param {number} end
   */
  #close(opener, type, start, end) {
    const tokens = merged(this.#output.splice(opener.index + 1));
    const raw = this.#source.slice(start, end);
    if (opener.count) this.#output.splice(-1, 1, rest(opener.token, 0, opener.count));
    else this.#output.pop();
    this.#output.push({ type, raw, text: raw, tokens });
    while (this.#openers.at(-1) !== opener) this.#openers.pop();
    if (!opener.count) this.#openers.pop();
  }

  /**
   * Let a token stay what it is, and open what comes later, if it can.
   *
   * @param {Token} token
   * @param {string} kind
   * @param {number} used delimiters
   */
  #keep(token, kind, used) {
    const index = this.#output.push(rest(token, used)) - 1;
    if (!token.opens) return;
    const count = token.raw.length - used;
    const start = this.#at + used;
    this.#openers.push({ token, kind, count, index, start, serial: (this.#opened += 1) });
  }
}

/** @param {Token} token @param {number} from @param {number} [to] @returns {Token} the same as text */
function rest({ raw }, from, to) {
  return { type: "text", raw: raw.slice(from, to), text: raw.slice(from, to) };
}

/** @param {Token[]} tokens @returns {Token[]} with adjacent text in one token */
function merged(tokens) {
  /** @type {Token[]} */
  const all = [];
  for (const token of tokens) {
    const last = all.at(-1);
    if (token.type === "text" && last?.type === "text") {
      all[all.length - 1] = { ...last, raw: last.raw + token.raw, text: `${last.text}${token.text}` };
    } else {
      all.push(token);
    }
  }
  return all;
}
