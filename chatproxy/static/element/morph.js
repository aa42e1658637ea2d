// Nodes that were drawn anew, put where older ones are that they mostly equal: what is the same stays, and with it
// what the reader has there, as a selection, the focus, or a place that was scrolled to.

/**
 * @param {Node} parent @param {Node[]} old some last children of it, in their order @param {Node[]} fresh what shall be there
 * @returns {Node[]} what is there: an old one where it could be made the same
 */
export function graft(parent, old, fresh) {
  for (const gone of old.slice(fresh.length)) parent.removeChild(gone);
  return fresh.map((node, index) => {
    const was = old[index];
    if (was && madeSame(was, node)) return was;
    return was ? (parent.replaceChild(node, was), node) : parent.appendChild(node);
  });
}

/** @param {any} was @param {any} is @returns {boolean} whether it could be done */
function madeSame(was, is) {
  if (was.nodeName !== is.nodeName) return false;
  if (was.nodeType === Node.TEXT_NODE) return setText(was, is.data);
  if (was.nodeName === "BUTTON") return true; // what it says at the moment is its own
  if (was.attributes.length !== is.attributes.length) return false;
  if ([...is.attributes].some(({ name, value }) => was.getAttribute(name) !== value)) return false;
  graft(was, [...was.childNodes], [...is.childNodes]);
  return true;
}

/** @param {Text} node @param {string} text */
function setText(node, text) {
  const grown = text.startsWith(node.data);
  if (!grown) node.data = text;
  else if (text.length > node.data.length) node.appendData(text.slice(node.data.length));
  return true;
}
