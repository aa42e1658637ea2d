// From TeX to MathML nodes. Temml reads the TeX and returns a tree; only the elements, attributes and styles named here
// are created of it, so that no formula can load, link or cover anything.

export { styleFormulas } from "./math-styles.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";
const LONGEST = 50; // em; no formula needs a longer space
const MAX_NODES = 20_000;
const CACHED = 512; // formulas; those of a paragraph are set again with each of its words

const ELEMENTS = new Set(
  (
    "math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace " +
    "msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none semantics"
  ).split(" "),
);
const ATTRIBUTES = new Set(
  (
    "accent accentunder columnalign columnspan depth display displaystyle fence form height largeop linethickness " +
    "lspace mathsize mathvariant maxsize minsize movablelimits notation rowspan rspace scriptlevel separator " +
    "stretchy symmetric voffset width"
  ).split(" "),
);
const STYLES = new Set(
  (
    "border border-bottom border-left border-right border-top bottom font-style font-weight height left margin-left " +
    "margin-right math-depth math-shift math-style padding padding-bottom padding-left padding-right padding-top " +
    "position right text-align transform width"
  ).split(" "),
);
const VALUE = /^[\w\s.%()-]+$/;
const LENGTH = /(?<![\d.])(-?[\d.]+)\s*(em|ex|px|pt|pc|cm|mm|in|bp)\b/g;
/** @type {Record<string, number>} */
const EMS = { em: 1, ex: 0.5, px: 0.0625, pt: 0.083, bp: 0.083, pc: 1, cm: 2.36, mm: 0.236, in: 6 };

/**
 * @typedef {(tex: string, options: object) => TreeNode} ToTree
 *
 * A node of Temml's tree: an element, text, or a fragment without a type.
 *
 * @typedef {object} TreeNode
 * @property {string} [type]
 * @property {string} [text]
 * @property {Record<string, unknown>} [attributes]
 * @property {string[]} [classes]
 * @property {Record<string, unknown>} [style]
 * @property {TreeNode[]} [children]
 */

/**
 * Return a function that sets a formula, or returns null for one with a mistake.
 *
 * @param {ToTree} toTree
 * @returns {import("./formula-node.js").SetFormula}
 */
export function mathFrom(toTree) {
  /** @type {Map<string, TreeNode | null>} */
  const trees = new Map();
  return (tex, display) => {
    const key = `${display}${tex}`;
    let tree = trees.get(key);
    if (tree === undefined) {
      tree = treeOf(toTree, tex, display);
      if (trees.size >= CACHED) trees.delete(/** @type {string} */ (trees.keys().next().value));
      trees.set(key, tree);
    }
    return tree && /** @type {Element} */ (element(tree));
  };
}

/**
 * @param {ToTree} toTree
 * @param {string} tex
 * @param {boolean} display
 */
function treeOf(toTree, tex, display) {
  // Blank lines would end a formula in TeX. What `\def` multiplies is bounded.
  const options = { displayMode: display, wrap: display ? "none" : "tex", throwOnError: true, trust: false, maxExpand: 500 };
  try {
    const tree = toTree(tex.replace(/\n\s*\n/g, "\n"), options);
    return size(tree) <= MAX_NODES ? tree : null;
  } catch {
    return null;
  }
}

/** @param {TreeNode} node @returns {number} */
function size({ children = [] }) {
  return children.reduce((sum, child) => sum + size(child), 1);
}

/** @param {TreeNode} node @returns {Node} */
function element(node) {
  const { type, text, attributes = {}, classes = [], style = {}, children = [] } = withPrime(node);
  if (!type && text !== undefined) return document.createTextNode(text);
  const made = type && ELEMENTS.has(type) ? document.createElementNS(MATHML, type) : null;
  const parent = made ?? document.createDocumentFragment();
  parent.append(...children.map(element));
  if (!made) return parent;
  const names = classes.filter(Boolean).join(" ");
  if (names) made.setAttribute("class", names);
  for (const [name, value] of Object.entries(attributes)) {
    if (ATTRIBUTES.has(name) && isShort(value)) made.setAttribute(name, String(value));
  }
  // `\rule` is a space with a background. Backgrounds of other things would need other text on them.
  if (type === "mspace" && attributes.mathbackground) made.style.backgroundColor = "currentcolor";
  setStyle(made, { ...declarations(attributes.style), ...style });
  return made;
}

/**
 * Put a prime beside what it belongs to. As a superscript, it would be raised twice, and be tiny, unless the font has
 * other primes for that.
 *
 * @param {TreeNode} node
 * @returns {TreeNode}
 */
function withPrime(node) {
  const [base, ...scripts] = node.children ?? [];
  const prime = scripts.at(-1);
  const parts = prime?.type === "mrow" ? (prime.children ?? []) : [prime];
  const primes = parts.length > 0 && parts.every((part) => part?.classes?.includes("tml-prime"));
  if (!base || !prime || !primes || !/^msu[bp]/.test(node.type ?? "")) return node;
  const row = { type: "mrow", children: [base, prime] };
  return scripts.length === 1 ? row : { type: "msub", children: [row, .../** @type {TreeNode[]} */ (scripts.slice(0, 1))] };
}

/** @param {unknown} style of an attribute @returns {Record<string, string>} */
function declarations(style) {
  const pairs = String(style ?? "").split(";").map((declaration) => declaration.split(":"));
  return Object.fromEntries(pairs.flatMap(([name, value]) => (value ? [[name?.trim(), value.trim()]] : [])));
}

/** @param {MathMLElement} made @param {Record<string, unknown>} style */
function setStyle(made, style) {
  for (const [property, value] of Object.entries(style)) {
    const name = property.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    // Colours are for white paper; towards the colour of the text, they can be read on any ground.
    if (name === "color" && value) made.style.color = `color-mix(in oklab, ${value} 60%, var(--text))`;
    else if (STYLES.has(name) && isShort(value)) made.style.setProperty(name, String(value));
  }
}

/** @param {unknown} value whether it is a plain value without a length that nobody needs */
function isShort(value) {
  const lengths = String(value).matchAll(LENGTH);
  return VALUE.test(String(value)) && [...lengths].every(([, number, unit = ""]) => isBelow(Number(number), unit));
}

/** @param {number} number @param {string} unit */
function isBelow(number, unit) {
  return Math.abs(number) * (EMS[unit] ?? 1) <= LONGEST;
}
