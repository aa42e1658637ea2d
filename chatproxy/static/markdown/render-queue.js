// Rendering in steps: those of all messages take turns, a few milliseconds in each animation frame.

const BUDGET = 5; // ms per frame; the browser needs as much again for the layout of what was rendered

/** @typedef {(frame: number) => void} Step one short piece of rendering; `frame` tells frames apart */

/** @type {Set<Step>} in the order in which they take their turns */
const steps = new Set();
let frame = 0;

/**
 * Run a step once, in the next animation frame that has time for it. A step that is not done adds itself
 * again.
 *
 * @param {Step} step
 */
export function enqueue(step) {
  steps.add(step);
  frame ||= requestAnimationFrame(run);
}

/** @param {Step} step */
export function dequeue(step) {
  steps.delete(step);
}

/** Run all steps at once, as for paper, which does not wait. */
export function flush() {
  for (const step of steps) {
    steps.delete(step);
    step(performance.now());
  }
}

/** @param {number} now */
function run(now) {
  frame = 0;
  const end = performance.now() + BUDGET;
  for (const step of steps) {
    steps.delete(step); // if it adds itself, it comes last, in this loop
    step(now);
    if (performance.now() >= end) break;
  }
  if (steps.size) frame ||= requestAnimationFrame(run);
}
