// A formula as an element: set by the library if it is there, else as it was written, until it is.

import { h } from "../dom/dom.js";
import { Later } from "../dom/later.js";
import { keepPlace } from "./keep-place.js";
import { updates } from "./morph.js";
import { enqueue } from "./render-queue.js";

/**
 * @typedef {(tex: string, display: boolean) => Element | null} SetFormula null: it has a mistake
 */

/** @type {SetFormula | undefined} */
let setFormula;

const mathml = new Later(() => import("./mathml.js"));
const temml = new Later(() => import("../vendor/temml.js"));

/** Load the library, with the first formula. Without it, formulas stay as they were written. */
async function load() {
  const [tree, tex] = await Promise.all([mathml.load(), temml.load()]);
  if (tree && tex) setFormula ??= tree.mathFrom(tex.toTree);
}

/** @type {ResizeObserver | undefined} */
let widths;

/** Let the keyboard scroll a formula while it is wider than its place. @param {Element} element */
function watchWidth(element) {
  widths ??= new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
      else target.removeAttribute("tabindex");
    }
  });
  widths.observe(element);
}

/**
 * Create the element that shows a formula.
 *
 * @param {"div" | "span"} tag
 * @param {import("./markdown.js").Token} formula
 * @param {import("./syntax.js").Inside} inside
 */
export function formulaNode(tag, { raw, tex = "", display = false, open }, { context, continuation }) {
  const source = (continuation ? raw.slice(raw.indexOf("\n") + 1) : raw).replace(/\n$/, "");
  const attributes = { class: display ? "formula display" : "formula", dir: "ltr" };
  if (open || continuation) return h(tag, attributes, source);
  const group = display ? { role: "group", "aria-label": context.labels.formula } : {};
  const element = h(tag, { ...attributes, ...group, "data-source": source }, source);
  updates.set(element, (newer) => newer instanceof HTMLElement && newer.dataset.source === source);
  const set = () => {
    const math = setFormula?.(tex, display);
    if (math) element.replaceChildren(math);
    if (display) watchWidth(element);
  };
  const late = !setFormula;
  const settle = async () => {
    if (!element.isConnected) return; // the one before it has stayed
    if (late) await load();
    if (!element.isConnected) return;
    mathml.now?.styleFormulas(element);
    if (late) enqueue(() => element.isConnected && keepPlace(element, set));
  };
  if (!late) set();
  queueMicrotask(settle); // when the step of rendering is over
  return element;
}
