// Markdown tokens, as `marked`'s lexer gives them, to DOM nodes. Only elements named here are made, all
// text goes in as text (raw HTML too), and nothing that a model wrote is ever loaded.

import { h } from "../dom/dom.js";
import { labels as english } from "./labels.js";

/**
 * @typedef {{type: string, raw: string, text?: string, tokens?: Token[], [field: string]: any}} Token
 * @typedef {{lex: (text: string) => Token[]}} Lexer lexes one text in pieces, and remembers its link definitions
 * @typedef {{
 *   labels: import("./labels.js").Labels,
 *   reference?: (number: number) => Node | null,
 *   copy?: (text: string, button: HTMLElement) => void,
 * }} Context `reference` gives the link for a `[1]` in the text, where there is such a source
 */

const MAX_DEPTH = 24; // of nesting; deeper, text shows as it was written
const NESTED = /(?:>[ \t]*|[*+-][ \t]+){50}/; // what a lexer would take a stack frame each for
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** @type {Promise<(() => Lexer) | null> | undefined} */
let loading;

/** A maker of lexers, or null where `marked` was not packed along: then text shows as it is. */
export function loadLexer() {
  loading ??= import(new URL("../vendor/marked.esm.js", import.meta.url).href).then(
    (module) => lexerMaker(module.Lexer),
    () => null,
  );
  return loading;
}

/** @param {any} Marked */
export function lexerMaker(Marked) {
  return () => {
    const definitions = Object.create(null);
    return {
      /** @param {string} text */
      lex(text) {
        if (NESTED.test(text)) return [{ type: "plain", raw: text }];
        try {
          const lexer = new Marked({ gfm: true });
          Object.assign(lexer.tokens.links, definitions);
          const tokens = lexer.lex(text);
          Object.assign(definitions, lexer.tokens.links);
          return tokens;
        } catch {
          return [{ type: "plain", raw: text }];
        }
      },
    };
  };
}

/**
 * A block's node; null for what shows nothing.
 * @param {Token} token
 * @param {Context} [context]
 * @returns {Node | null}
 */
export function renderBlock(token, context = { labels: english }, depth = 0) {
  if (depth > MAX_DEPTH) return plain(token.raw);
  const block = BLOCKS[token.type];
  return block ? block(token, context, depth) : plain(token.raw);
}

/** @param {string} text */
export function plain(text) {
  return h("p", { class: "plain" }, text.replace(/\n+$/, ""));
}

/** @type {Record<string, (token: Token, context: Context, depth: number) => Node | null>} */
const BLOCKS = {
  space: () => null,
  def: () => null,
  hr: () => h("hr"),
  paragraph: (token, context, depth) => h("p", {}, ...inlines(token, context, depth)),
  // The conversation's own headings come first: the page has h1, a message begins below.
  heading: (token, context, depth) => h(`h${Math.min(token.depth + 2, 6)}`, {}, ...inlines(token, context, depth)),
  blockquote: (token, context, depth) => h("blockquote", { dir: "auto" }, ...blocks(token, context, depth)),
  text: (token, context, depth) => fragment(inlines(token, context, depth)),
  checkbox: (token) => text(token.checked ? "☑ " : "☐ "),
  list: renderList,
  table: renderTable,
  code: renderCode,
};

/** @type {Record<string, (token: Token, context: Context, depth: number) => Node>} */
const INLINES = {
  text: (token, context, depth) =>
    token.tokens ? fragment(inlines(token, context, depth)) : referenced(decoded(token.text ?? ""), context),
  escape: (token) => text(token.text ?? ""),
  br: () => h("br"),
  strong: (token, context, depth) => h("strong", {}, ...inlines(token, context, depth)),
  em: (token, context, depth) => h("em", {}, ...inlines(token, context, depth)),
  del: (token, context, depth) => h("del", {}, ...inlines(token, context, depth)),
  codespan: (token) => h("code", {}, token.text ?? ""),
  checkbox: (token) => text(token.checked ? "☑ " : "☐ "),
  link: (token, context, depth) => link(token.href, inlines(token, context, depth), token.raw),
  // Shown as a link: to load it would tell its server who reads this.
  image: (token) => link(token.href, [text(`🖼 ${token.text || token.href}`)], token.raw),
};

/** @param {Token} token @param {Context} context @param {number} depth */
function inlines(token, context, depth) {
  if (depth > MAX_DEPTH || !token.tokens) return [text(token.text ?? token.raw)];
  return token.tokens.map((inner) => {
    const inline = INLINES[inner.type];
    return inline ? inline(inner, context, depth + 1) : text(inner.raw);
  });
}

/** @param {Token} token @param {Context} context @param {number} depth */
function blocks(token, context, depth) {
  return /** @type {Node[]} */ (
    (token.tokens ?? []).map((inner) => renderBlock(inner, context, depth + 1)).filter(Boolean)
  );
}

/** @param {Token} token @param {Context} context @param {number} depth */
function renderList(token, context, depth) {
  const start = token.ordered && token.start !== 1 ? token.start : undefined;
  const items = token.items.map((/** @type {Token} */ item) => h("li", { class: item.task && "task" }, ...blocks(item, context, depth)));
  return h(token.ordered ? "ol" : "ul", { dir: "auto", start }, ...items);
}

/** @param {Token} token @param {Context} context @param {number} depth */
function renderTable(token, context, depth) {
  const row = (/** @type {Token[]} */ cells, /** @type {string} */ tag) =>
    h(
      "tr",
      {},
      ...cells.map((cell) => h(tag, { class: cell.align && `align-${cell.align}` }, ...inlines(cell, context, depth))),
    );
  const head = h("thead", {}, row(token.header, "th"));
  const body = h("tbody", {}, ...token.rows.map((/** @type {Token[]} */ cells) => row(cells, "td")));
  const scrolls = { class: "table", tabindex: 0, role: "group", "aria-label": context.labels.table };
  return h("div", scrolls, h("table", {}, head, body));
}

/** @param {Token} token @param {Context} context */
function renderCode(token, context) {
  const language = (token.lang ?? "").trim().split(/\s+/)[0];
  const code = h("code", {}, token.text ?? "");
  const copy = h("button", { type: "button", class: "copy-code" }, context.labels.copyCode);
  // The code that is beside it then: it may grow, and be drawn anew.
  copy.addEventListener("click", () => context.copy?.(copy.closest(".code").querySelector("code").textContent, copy));
  const heading = h("div", { class: "code-head" }, h("span", {}, language || context.labels.code), copy);
  const scrolls = { tabindex: 0, role: "group", "aria-label": language || context.labels.code };
  return h("div", { class: "code" }, heading, h("pre", scrolls, code));
}

/**
 * An address that is whole and of an allowed scheme; all else shows as it was written.
 * @param {string} address @param {Node[]} children @param {string} raw
 */
function link(address, children, raw) {
  const url = safeUrl(address);
  return url ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children) : text(raw);
}

/** @param {string} address @returns {string | null} */
export function safeUrl(address) {
  try {
    const url = new URL(decoded(address));
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** Text in which each `[1]` that names a source is a link to it. @param {string} words @param {Context} context */
function referenced(words, context) {
  if (!context.reference || !words.includes("[")) return text(words);
  const parts = words.split(/\[(\d{1,3})\]/); // every second one is a number
  return fragment(
    parts.map((part, index) => (index % 2 && context.reference?.(Number(part))) || text(index % 2 ? `[${part}]` : part)),
  );
}

const ENTITIES = /** @type {Record<string, string>} */ ({
  amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", hellip: "…", ndash: "–", mdash: "—", copy: "©",
});

/** The entities that models write, as characters. @param {string} words */
function decoded(words) {
  if (!words.includes("&")) return words;
  return words.replace(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(\w{2,8}));/g, (whole, decimal, hex, name) => {
    if (name) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name] : whole;
    const point = decimal ? Number(decimal) : parseInt(hex, 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
  });
}

/** @param {string} words */
const text = (words) => document.createTextNode(words);

/** @param {Node[]} nodes */
function fragment(nodes) {
  const all = document.createDocumentFragment();
  all.append(...nodes);
  return all;
}
