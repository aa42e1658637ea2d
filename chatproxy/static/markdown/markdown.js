// From Markdown tokens, as the lexer of `marked` returns them, to DOM nodes. Only the elements named here are
// created, everything else is text (raw HTML too), and nothing that a model wrote is ever loaded.

import { h } from "../dom/dom.js";
import { withDirections } from "./direction.js";
import { codeElement } from "./code-view.js";
import { formulaNode } from "./formula-node.js";
import { more } from "./needs.js";
import { SYNTAXES } from "./syntax.js";

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
 * @property {string} [tex] of a formula
 * @property {boolean} [display] whether a formula has lines of its own
 * @property {string} [name] of a tag
 * @property {boolean} [opens] whether a delimiter or tag may be the first of a pair
 * @property {boolean} [closes] whether a delimiter may be the second of a pair
 * @property {boolean} [closing] whether a tag is the second of a pair
 * @property {boolean} [open] whether a block's own end is missing: it may go on
 * @property {string} [label] of a footnote
 * @property {Token} [summary] of details
 * @property {string} [opening] of details, with the summary
 */

/**
 * What the caller gives.
 *
 * @typedef {object} Settings
 * @property {import("../chat-interface.js").Labels} labels
 * @property {(number: number) => Node | null} [reference] creates the link for a `[1]`, if it is one
 * @property {(text: string, button: HTMLElement) => void} [copy]
 *
 * @typedef {object} State
 * @property {import("./footnotes.js").Footnotes} [footnotes] if there may be some
 * @property {boolean} [growing] whether the block may still change
 *
 * @typedef {Settings & State} Context
 *
 * @typedef {import("./cut.js").Continuation} Continuation
 * @typedef {import("./syntax.js").Inside} Inside
 * @typedef {import("./syntax.js").Render} Render
 */

const MAX_DEPTH = 24; // of nesting; deeper text is shown as it was written
const SHORT_CELL = 16; // characters: a word, a date or a number, which stays in one line
const LONG_CELL = 60; // characters
const ADDRESS = /^(?:https?:|www\.|mailto:|[^\s@]+@[^\s@]+$)/i;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

/**
 * Render a block; null if it shows nothing.
 *
 * @param {Token} token
 * @param {Context} context
 * @param {Continuation} [continuation] if it continues a block that was cut
 * @returns {Node | null}
 */
export function renderBlock(token, context, continuation, depth = 0) {
  const render = depth > MAX_DEPTH ? undefined : (BLOCKS[token.type] ?? more.now?.BLOCKS[token.type]);
  const node = render ? render(token, insideOf(context, depth, continuation)) : plain(token.raw);
  if (continuation && node instanceof Element) {
    node.classList.add("continued");
    node.classList.toggle("in-line", Boolean(continuation.inLine));
  }
  return node;
}

/**
 * @param {Context} context
 * @param {number} depth
 * @param {Continuation} [continuation]
 * @returns {Inside}
 */
function insideOf(context, depth, continuation) {
  return {
    context,
    continuation,
    inlines(token) {
      if (depth > MAX_DEPTH || !token.tokens) return [text(token.text ?? token.raw)];
      return token.tokens.map((inner) => {
        const render = INLINES[inner.type] ?? more.now?.INLINES[inner.type];
        return render?.(inner, insideOf(context, depth + 1)) ?? text(inner.raw);
      });
    },
    blocks(token, first) {
      return (token.tokens ?? [])
        .filter(({ type }) => type !== "space")
        .map((inner, index) => renderBlock(inner, context, index || first?.next ? undefined : first, depth + 1))
        .filter((node) => node !== null);
    },
  };
}

/**
 * Create a paragraph that shows text as it was written.
 *
 * @param {string} text
 */
export function plain(text) {
  return h("p", { class: "plain" }, text.replace(/(?<!\n)\n+$/, ""));
}

/** @type {Record<string, Render>} */
const BLOCKS = {
  space: () => null,
  def: () => null,
  hr: () => h("hr"),
  paragraph: (token, { inlines }) => h("p", {}, ...inlines(token)),
  heading: renderHeading,
  blockquote: (token, { blocks, continuation }) =>
    h("blockquote", { dir: "auto" }, ...blocks(token, continuation?.inner)),
  text: (token, { inlines }) => fragment(inlines(token)),
  checkbox,
  list: renderList,
  table: renderTable,
  code: renderCode,
  formula: (formula, inside) => formulaNode("div", formula, inside),
  ...Object.assign({}, ...SYNTAXES.map(({ blocks }) => blocks)),
};

/** @type {Record<string, Render>} */
const INLINES = {
  text: (token, { inlines, context }) =>
    token.tokens ? fragment(inlines(token)) : withReferences(decode(token.raw), context),
  escape: (token) => text(token.text ?? ""),
  br: () => h("br"),
  strong: (token, { inlines }) => h("strong", {}, ...inlines(token)),
  em: (token, { inlines }) => h("em", {}, ...inlines(token)),
  del: (token, { inlines }) => h("del", {}, ...inlines(token)),
  codespan: (token) => h("code", { dir: "ltr" }, token.text ?? ""),
  checkbox,
  formula: (formula, inside) => formulaNode("span", formula, inside),
  link: (token, { inlines }) => link(token, inlines(token)),
  // A link instead of the image: loading it would tell its server who reads this.
  image: (token) => link(token, [text(`🖼 ${decode(token.text || token.href || "")}`)]),
  ...Object.assign({}, ...SYNTAXES.map(({ inlines }) => inlines)),
};

/** @param {Token} token */
function checkbox(token) {
  return text(token.checked ? "☑ " : "☐ ");
}

/** @param {Token} token @param {Inside} inside */
function renderHeading(token, { inlines }) {
  const level = Math.min((token.depth ?? 1) + 2, 6); // h1 and h2 are the page's
  return h(/** @type {"h3" | "h4" | "h5" | "h6"} */ (`h${level}`), {}, ...inlines(token));
}

/** @param {Token} token @param {Inside} inside */
function renderList(token, { blocks, continuation }) {
  const first = continuation?.start ?? token.start;
  const start = token.ordered && first !== 1 ? first : undefined;
  const items = (token.items ?? []).map((item, index) => {
    const inner = index === 0 ? continuation?.inner : undefined;
    const kind = inner ? "continued" : item.task && "task";
    return h("li", { class: kind }, ...blocks(item, inner));
  });
  return h(token.ordered ? "ol" : "ul", { dir: "auto", start }, ...items);
}

/** @param {Token} token @param {Inside} inside */
function renderTable(token, { inlines, context }) {
  const row = (/** @type {Token[]} */ cells, /** @type {"th" | "td"} */ tag) => {
    const rendered = cells.map((cell) => {
      const nodes = fragment(inlines(cell));
      return h(tag, { class: classOf(cell, nodes.textContent ?? "") }, nodes);
    });
    return h("tr", {}, ...rendered);
  };
  const head = h("thead", {}, row(token.header ?? [], "th"));
  const body = h("tbody", {}, ...(token.rows ?? []).map((cells) => row(cells, "td")));
  const scroller = { class: "table", tabindex: 0, role: "group", "aria-label": context.labels.table, dir: "auto" };
  return h("div", scroller, h("table", {}, head, body));
}

/** @param {Token} cell @param {string} words what it shows */
function classOf({ align }, words) {
  const length = words.length <= SHORT_CELL ? "short" : words.length >= LONG_CELL && "long";
  return [align && `align-${align}`, length].filter(Boolean).join(" ") || null;
}

/** @param {Token} token @param {Inside} inside */
function renderCode(token, { context, continuation }) {
  const info = token.lang ?? "";
  const [language] = info.trim().split(/\s+/);
  const name = language || context.labels.code;
  const copy = h("button", { type: "button", class: "copy-code" }, context.labels.copyCode);
  copy.addEventListener("click", () => {
    // The code that is beside the button by then: it may have grown or been rendered again.
    const code = copy.closest(".code");
    if (code) context.copy?.(wholeCode(code), copy);
  });
  const heading = h("div", { class: "code-head" }, h("span", {}, name), copy);
  const scroller = { tabindex: 0, role: "group", "aria-label": name };
  const code = (token.text ?? "").split("\n").slice(continuation?.hidden).join("\n");
  return h("div", { class: "code" }, heading, h("pre", scroller, codeElement(code, info, continuation?.code)));
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
  return parts
    .map((part, index) => {
      const sameLine = index === 0 || part.classList.contains("in-line");
      return (sameLine ? "" : "\n") + (part.querySelector("code")?.textContent ?? "");
    })
    .join("");
}

/**
 * Create a link to an absolute URL with an allowed scheme. Anything else is shown as it was written.
 *
 * @param {Token} token
 * @param {Node[]} children
 */
function link({ href = "", raw, text: shown = raw }, children) {
  const url = safeUrl(href);
  if (!url) return text(raw);
  const dir = ADDRESS.test(shown) && "ltr"; // words take the direction of those around them
  const bare = shown === href && "bare"; // on paper, it is said once
  return h("a", { href: url, class: bare, target: "_blank", rel: "noopener noreferrer nofollow", dir }, ...children);
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
  if (!reference || !words.includes("[")) return withDirections(words);
  const parts = words.split(/\[(\d{1,3}(?:, ?\d{1,3})*)\]/); // every second one is a number, or several
  return fragment(
    parts.map((part, index) => {
      if (index % 2 === 0) return withDirections(part);
      const links = part.split(",").map((number) => reference(Number(number)));
      return links.every((link) => link !== null) ? fragment(links) : withDirections(`[${part}]`);
    }),
  );
}

/** @param {string} words @returns {string} */
const decode = (words) => more.now?.decode(words) ?? words;

/** @param {string} words */
const text = (words) => document.createTextNode(words);

/** @param {Node[]} nodes */
function fragment(nodes) {
  const all = document.createDocumentFragment();
  all.append(...nodes);
  return all;
}
