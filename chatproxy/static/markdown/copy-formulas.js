// Copying a selection with formulas in it gives them as they were written, as MathML has no text that reads well.

import { h } from "../dom/dom.js";

/**
 * Handle the `copy` event of a selection with formulas; others are the browser's.
 *
 * @param {ClipboardEvent} event
 */
export function copyFormulas(event) {
  const place = /** @type {Element} */ (event.currentTarget);
  const root = /** @type {ShadowRoot} */ (place.getRootNode());
  const range = selectedIn(root);
  if (!range || !event.clipboardData || event.composedPath().some((node) => node instanceof HTMLTextAreaElement)) return;
  for (const edge of [range.startContainer, range.endContainer]) includeWhole(range, edge);
  const copied = h("div", { class: "unseen" }, range.cloneContents());
  for (const button of copied.querySelectorAll("button")) button.remove();
  for (const group of copied.querySelectorAll(".complete")) group.classList.remove("complete");
  const all = [...copied.querySelectorAll(".formula")];
  if (!all.length) return;
  event.clipboardData.setData("text/html", new XMLSerializer().serializeToString(copied));
  for (const formula of all) formula.replaceChildren(sourceOf(formula));
  place.append(copied); // where the style sheet applies: `innerText` breaks lines as what is shown does
  event.clipboardData.setData("text/plain", copied.innerText);
  copied.remove();
  event.preventDefault();
}

/** @param {Element} formula */
function sourceOf(formula) {
  return /** @type {HTMLElement} */ (formula).dataset.source ?? formula.textContent ?? "";
}

/** @param {ShadowRoot} root @returns {Range | null} a copy of what is selected in it */
function selectedIn(root) {
  const selection = document.getSelection();
  const [selected] = selection?.getComposedRanges?.({ shadowRoots: [root] }) ?? [];
  if (!selected || selected.collapsed || !root.contains(selected.startContainer) || !root.contains(selected.endContainer)) {
    return null;
  }
  const range = document.createRange();
  range.setStart(selected.startContainer, selected.startOffset);
  range.setEnd(selected.endContainer, selected.endOffset);
  return range;
}

/** @param {Range} range @param {Node} edge a formula that the range begins or ends in is copied whole */
function includeWhole(range, edge) {
  const formula = (edge instanceof Element ? edge : edge.parentElement)?.closest(".formula");
  if (!formula) return;
  if (edge === range.startContainer) range.setStartBefore(formula);
  if (edge === range.endContainer) range.setEndAfter(formula);
}
