// DOM nodes from names, attributes and children. Strings become text, never markup.

/** @typedef {string | number | boolean | null | undefined | ((event: Event) => void)} AttributeValue */

/**
 * Create an element. A function is a listener (`onclick`), `true` an empty attribute; `undefined`, `null` and
 * `false` leave the attribute out.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, AttributeValue>} [attributes]
 * @param {...(Node | string)} children
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  element.append(...children); // before `dir="auto"`: it makes the browser look at the text at each change
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice("on".length), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  return element;
}

/**
 * Return the element of the page that has this id.
 *
 * @template {HTMLElement} [E=HTMLElement]
 * @param {string} id
 * @param {new () => E} [type]
 * @returns {E}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!element || (type && !(element instanceof type))) {
    throw new TypeError(`The page has no #${id} of that type.`);
  }
  return /** @type {E} */ (element);
}

/**
 * Make these nodes an element's children, in this order. One that stays where it is among the others is not moved:
 * it keeps the focus, and the scroll place.
 *
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  const kept = new Set(children);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
}

const SVG = "http://www.w3.org/2000/svg";

/** Paths drawn with a stroke, in a square of 24 by 24. */
const ICONS = {
  send: "M12 19V5m-6 6 6-6 6 6",
  stop: "M7 7h10v10H7z",
  attach: "m20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7L9.4 17a1.7 1.7 0 0 1-2.4-2.4L14.5 7",
  document: "M7 3h7l5 5v13H7zM14 3v5h5M10 13h6M10 17h6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "m5 12.5 4.5 4.5L19 7.5",
  retry: "M20 11a8 8 0 1 0-2 6m2-12v6h-6",
  edit: "m4 20 1-4L16 5l3 3L8 19z",
  close: "m6 6 12 12M18 6 6 18",
  down: "M12 5v14m-6-6 6 6 6-6",
  previous: "m14.5 6-6 6 6 6",
  next: "m9.5 6 6 6-6 6",
  menu: "M4 7h16M4 12h16M4 17h16",
  chat: "M6 5h12a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-5 4v-4a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2z",
  plus: "M12 5v14M5 12h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  theme: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  settings: "M4 8h9m5 0h2M4 16h2m5 0h9M15.5 5.5v5M8.5 13.5v5",
  keyboard: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M8 14.5h8",
  export: "M12 4v11m-5-5 5 5 5-5M5 20h14",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7",
  unpin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v7M4 4l16 16",
  more: "M4 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0M18 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0",
};

/** @typedef {keyof typeof ICONS} IconName */

/** @param {IconName} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Create a button that shows an icon and has a label for screen readers and as its tooltip.
 *
 * @param {IconName} name
 * @param {string} label
 * @param {(event: Event) => void} onclick
 * @param {Record<string, AttributeValue>} [attributes]
 */
export function iconButton(name, label, onclick, attributes = {}) {
  return h(
    "button",
    { type: "button", "aria-label": label, title: label, onclick, ...attributes },
    icon(name),
  );
}
