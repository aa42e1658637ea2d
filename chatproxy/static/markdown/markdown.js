// From Markdown tokens, as the lexer of `marked` returns them, to DOM nodes. Only the elements named here are
// created, everything else is text (raw HTML too), and nothing that a model wrote is ever loaded.

import { h } from "../dom/dom.js";
import { labels as english } from "../element/labels.js";

/**
 * A token of marked's lexer; which fields there are depends on the type.
 *
 * @typedef {object} Token
 * @property {string} type
 * @property {string} raw the source of the token
 * @property {string} [text]
 * @property {Token[]} [tokens] inside this one
 * @property {string} [href] of a link or image
 * @property {string} [lang] of code
 * @property {string} [tag] of a link definition
 * @property {number} [depth] of a heading
 * @property {boolean} [ordered] a list's
 * @property {number | ""} [start] a list's
 * @property {Token[]} [items] of a list
 * @property {boolean} [task] whether a list item has a checkbox
 * @property {boolean} [checked] of a checkbox
 * @property {Token[]} [header] of a table
 * @property {Token[][]} [rows] of a table
 * @property {string | null} [align] of a table's cell
 */

/**
 * Lexes one text in pieces; it remembers the link definitions of the pieces before.
 *
 * @typedef {{lex: (text: string) => Token[]}} Lexer
 *
 * @typedef {object} Context
 * @property {import("../chat-interface.js").Labels} labels
 * @property {(number: number) => Node | null} [reference] creates the link for a `[1]`, if it is one
 * @property {(text: string, button: HTMLElement) => void} [copy]
 *
 * @typedef {Record<string, unknown>} Links
 * @typedef {{tokens: Token[] & {links: Links}, lex(text: string): Token[],
 *   inlineTokens(text: string, tokens?: Token[]): Token[]}} MarkedLexer
 *
 * @typedef {import("./cut.js").Continuation} Continuation
 */

const MAX_DEPTH = 24; // of nesting; deeper text is shown as it was written
const NESTED = /(?:>[ \t]*|[*+-][ \t]+){50}/; // each marker would cost the lexer a stack frame
const MAX_DELIMITERS = 256; // in a paragraph: the lexer looks from each for its partner
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** @type {Promise<(() => Lexer) | null> | undefined} */
let loading;

/** Load the lexer, once. Returns a function that creates one, or null if `marked` is not in the package. */
export function loadLexer() {
  loading ??= import(new URL("../vendor/marked.esm.js", import.meta.url).href).then(
    (module) => lexerFactory(module.Lexer),
    () => null,
  );
  return loading;
}

/** @param {new (options: {gfm: boolean}) => MarkedLexer} Marked @returns {() => Lexer} */
function lexerFactory(Marked) {
  class BoundedLexer extends Marked {
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
          const lexer = new BoundedLexer({ gfm: true });
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

/**
 * Render a block; null if it shows nothing.
 *
 * @param {Token} token
 * @param {Context} [context]
 * @param {Continuation} [continuation] if it continues a block that was cut
 * @returns {Node | null}
 */
export function renderBlock(token, context = { labels: english }, depth = 0, continuation) {
  const render = depth > MAX_DEPTH ? undefined : BLOCKS[token.type];
  const node = render ? render(token, context, depth, continuation) : plain(token.raw);
  if (continuation && node instanceof Element) {
    node.classList.add("continued");
    node.classList.toggle("in-line", Boolean(continuation.inLine));
  }
  return node;
}

/**
 * Create a paragraph that shows text as it was written.
 *
 * @param {string} text
 */
export function plain(text) {
  return h("p", { class: "plain" }, text.replace(/(?<!\n)\n+$/, ""));
}

/**
 * @typedef {(token: Token, context: Context, depth: number, continuation?: Continuation) => Node | null}
 *   Render
 */

/** @type {Record<string, Render>} */
const BLOCKS = {
  space: () => null,
  def: () => null,
  hr: () => h("hr"),
  paragraph: (token, context, depth) => h("p", {}, ...inlines(token, context, depth)),
  heading: renderHeading,
  blockquote: (token, context, depth, continuation) =>
    h("blockquote", { dir: "auto" }, ...blocks(token, context, depth, continuation?.inner)),
  text: (token, context, depth) => fragment(inlines(token, context, depth)),
  checkbox,
  list: renderList,
  table: renderTable,
  code: renderCode,
};

/** @type {Record<string, (token: Token, context: Context, depth: number) => Node>} */
const INLINES = {
  text: (token, context, depth) =>
    token.tokens
      ? fragment(inlines(token, context, depth))
      : withReferences(decode(token.text ?? ""), context),
  escape: (token) => text(token.text ?? ""),
  br: () => h("br"),
  strong: (token, context, depth) => h("strong", {}, ...inlines(token, context, depth)),
  em: (token, context, depth) => h("em", {}, ...inlines(token, context, depth)),
  del: (token, context, depth) => h("del", {}, ...inlines(token, context, depth)),
  codespan: (token) => h("code", {}, token.text ?? ""),
  checkbox,
  link: (token, context, depth) => link(token, inlines(token, context, depth)),
  // A link instead of the image: loading it would tell its server who reads this.
  image: (token) => link(token, [text(`🖼 ${token.text || token.href}`)]),
};

/** @param {Token} token @param {Context} context @param {number} depth */
function inlines(token, context, depth) {
  if (depth > MAX_DEPTH || !token.tokens) return [text(token.text ?? token.raw)];
  return token.tokens.map((inner) => {
    const render = INLINES[inner.type];
    return render ? render(inner, context, depth + 1) : text(inner.raw);
  });
}

/**
 * @param {Token} token
 * @param {Context} context
 * @param {number} depth
 * @param {Continuation} [continuation] of the first block
 */
function blocks(token, context, depth, continuation) {
  return (token.tokens ?? [])
    .map((inner, index) => renderBlock(inner, context, depth + 1, index === 0 ? continuation : undefined))
    .filter((node) => node !== null);
}

/** @param {Token} token */
function checkbox(token) {
  return text(token.checked ? "☑ " : "☐ ");
}

/** @param {Token} token @param {Context} context @param {number} depth */
function renderHeading(token, context, depth) {
  const level = Math.min((token.depth ?? 1) + 2, 6); // h1 and h2 are the page's
  return h(/** @type {"h3" | "h4" | "h5" | "h6"} */ (`h${level}`), {}, ...inlines(token, context, depth));
}

/**
 * @param {Token} token
 * @param {Context} context
 * @param {number} depth
 * @param {Continuation} [continuation]
 */
function renderList(token, context, depth, continuation) {
  const first = continuation?.start ?? token.start;
  const start = token.ordered && first !== 1 ? first : undefined;
  const items = (token.items ?? []).map((item, index) => {
    const inner = index === 0 ? continuation?.inner : undefined;
    const kind = inner ? "continued" : item.task && "task";
    return h("li", { class: kind }, ...blocks(item, context, depth, inner));
  });
  return h(token.ordered ? "ol" : "ul", { dir: "auto", start }, ...items);
}

/** @param {Token} token @param {Context} context @param {number} depth */
function renderTable(token, context, depth) {
  const row = (/** @type {Token[]} */ cells, /** @type {"th" | "td"} */ tag) => {
    const rendered = cells.map((cell) =>
      h(tag, { class: cell.align && `align-${cell.align}` }, ...inlines(cell, context, depth)),
    );
    return h("tr", {}, ...rendered);
  };
  const head = h("thead", {}, row(token.header ?? [], "th"));
  const body = h("tbody", {}, ...(token.rows ?? []).map((cells) => row(cells, "td")));
  const scroller = { class: "table", tabindex: 0, role: "group", "aria-label": context.labels.table };
  return h("div", scroller, h("table", {}, head, body));
}

/** @param {Token} token @param {Context} context */
function renderCode(token, context) {
  const [language] = (token.lang ?? "").trim().split(/\s+/);
  const name = language || context.labels.code;
  const copy = h("button", { type: "button", class: "copy-code" }, context.labels.copyCode);
  copy.addEventListener("click", () => {
    // The code that is beside the button by then: it may have grown or been rendered again.
    const code = copy.closest(".code");
    if (code) context.copy?.(wholeCode(code), copy);
  });
  const heading = h("div", { class: "code-head" }, h("span", {}, name), copy);
  const scroller = { tabindex: 0, role: "group", "aria-label": name };
  return h("div", { class: "code" }, heading, h("pre", scroller, h("code", {}, token.text ?? "")));
}

/**
 * Return the text of code, with that of the parts that continue it.
 *
 * @param {Element} code
 */
function wholeCode(code) {
  const all = [.../** @type {ParentNode} */ (code.getRootNode()).querySelectorAll(".code")];
  const from = all.indexOf(code);
  const end = all.findIndex((part, index) => index > from && !part.classList.contains("continued"));
  const parts = all.slice(from, end < 0 ? undefined : end);
  return parts.reduce((whole, part) => {
    const sameLine = whole === "" || whole.endsWith("\n") || part.classList.contains("in-line");
    return whole + (sameLine ? "" : "\n") + (part.querySelector("code")?.textContent ?? "");
  }, "");
}

/**
 * Create a link to an absolute URL with an allowed scheme. Anything else is shown as it was written.
 *
 * @param {Token} token
 * @param {Node[]} children
 */
function link({ href = "", raw }, children) {
  const url = safeUrl(href);
  return url
    ? h("a", { href: url, target: "_blank", rel: "noopener noreferrer nofollow" }, ...children)
    : text(raw);
}

/** @param {string} address @returns {string | null} */
export function safeUrl(address) {
  try {
    const url = new URL(decode(address));
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/**
 * Turn each `[1]` or `[1, 2]` that names sources into links to them.
 *
 * @param {string} words
 * @param {Context} context
 */
function withReferences(words, context) {
  const { reference } = context;
  if (!reference || !words.includes("[")) return text(words);
  const parts = words.split(/\[(\d{1,3}(?:, ?\d{1,3})*)\]/); // every second one is a number, or several
  return fragment(
    parts.map((part, index) => {
      if (index % 2 === 0) return text(part);
      const links = part.split(",").map((number) => reference(Number(number)));
      return links.every((link) => link !== null) ? fragment(links) : text(`[${part}]`);
    }),
  );
}

const ENTITIES = /** @type {Record<string, string>} */ ({
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: "\u00a0",
  hellip: "…",
  ndash: "–",
  mdash: "—",
  copy: "©",
});

/**
 * Decode numeric character references and the named ones that models write.
 *
 * @param {string} words
 */
function decode(words) {
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
