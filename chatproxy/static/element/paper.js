// What style sheets cannot do for paper: render what waits for its turn, and unfold what is folded.

import { flush } from "../markdown/render-queue.js";

/**
 * Have everything in a shadow tree on paper, and fold it again afterwards.
 *
 * @param {ParentNode} root
 * @param {AbortSignal} signal ends that
 */
export function unfoldOnPaper(root, signal) {
  /** @type {HTMLDetailsElement[]} */
  let unfolded = [];
  const unfold = () => {
    flush();
    unfolded = [...root.querySelectorAll("details")].filter(({ open }) => !open);
    for (const details of unfolded) details.open = true;
  };
  const fold = () => {
    for (const details of unfolded.splice(0)) details.open = false;
  };
  addEventListener("beforeprint", unfold, { signal });
  addEventListener("afterprint", fold, { signal });
}
