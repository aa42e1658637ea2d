// Replaces DOM nodes by newly rendered ones but keeps every old node that can be made equal, and with it the
// reader's selection, focus and scroll position.

/**
 * Elements that become equal to a newly rendered one by themselves, and return whether they could.
 *
 * @type {WeakMap<Node, (newNode: Node) => boolean>}
 */
export const updates = new WeakMap();

/**
 * Turn the last children of an element into the new nodes. Compares old and new pairwise by position,
 * O(nodes).
 *
 * @param {Node} parent
 * @param {Node[]} oldNodes the last children of `parent`, in order
 * @param {Node[]} newNodes
 * @returns {Node[]} the nodes that are there now: for each new node itself, or the old one that became equal
 *   to it
 */
export function morph(parent, oldNodes, newNodes) {
  for (const node of oldNodes.slice(newNodes.length)) parent.removeChild(node);
  return newNodes.map((newNode, index) => {
    const oldNode = oldNodes[index];
    if (!oldNode) return parent.appendChild(newNode);
    if (makeEqual(oldNode, newNode)) return oldNode;
    parent.replaceChild(newNode, oldNode);
    return newNode;
  });
}

/** @param {Node} oldNode @param {Node} newNode @returns {boolean} whether it was possible */
function makeEqual(oldNode, newNode) {
  if (oldNode.nodeName !== newNode.nodeName) return false;
  const update = updates.get(oldNode);
  if (update) return update(newNode);
  if (oldNode instanceof Text && newNode instanceof Text) {
    setText(oldNode, newNode.data);
    return true;
  }
  if (!(oldNode instanceof Element && newNode instanceof Element)) return false;
  if (oldNode.nodeName === "BUTTON") return true; // it may say "Copied" at the moment
  if (oldNode.nodeName === "DETAILS") newNode.toggleAttribute("open", oldNode.hasAttribute("open"));
  if (oldNode.attributes.length !== newNode.attributes.length) return false;
  if ([...newNode.attributes].some(({ name, value }) => oldNode.getAttribute(name) !== value)) return false;
  morph(oldNode, [...oldNode.childNodes], [...newNode.childNodes]);
  return true;
}

/**
 * Set a node's text; if the text only grew, by appending, which keeps a selection inside it.
 *
 * @param {Text} node
 * @param {string} text
 */
function setText(node, text) {
  if (!text.startsWith(node.data)) node.data = text;
  else if (text.length > node.data.length) node.appendData(text.slice(node.data.length));
}
