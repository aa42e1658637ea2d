// A passage with what was found in it.

import { h } from "./dom.js";

/**
 * Return a passage in pieces, those that were found as `<mark>`. Places count code points.
 *
 * @param {{snippet: string, found: [number, number][]}} passage
 */
export function marked({ snippet, found }) {
  const characters = [...snippet];
  const pieces = [];
  let end = 0;
  for (const [from, to] of found ?? []) {
    if (from < end || to <= from) continue;
    pieces.push(characters.slice(end, from).join(""), h("mark", {}, characters.slice(from, to).join("")));
    end = to;
  }
  return [...pieces, characters.slice(end).join("")];
}
