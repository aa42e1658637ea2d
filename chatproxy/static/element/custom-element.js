// What the elements share: how they are registered, and how properties and attributes go together.

/** Servers that render pages import the elements without a DOM, which must not throw. */
export const Element = globalThis.HTMLElement ?? /** @type {typeof HTMLElement} */ (class {});

/**
 * Register an element, unless the tag is taken or there is no registry.
 *
 * @param {string} tag
 * @param {CustomElementConstructor} element
 */
export function define(tag, element) {
  const registry = globalThis.customElements;
  if (registry && !registry.get(tag)) registry.define(tag, element);
}

/**
 * Set again the properties that were set before the class was defined; those hide the accessors.
 *
 * @param {HTMLElement} element
 * @param {object} prototype what has the accessors
 */
export function upgradeProperties(element, prototype) {
  const own = /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (element));
  for (const [name, { set }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (!set || !Object.hasOwn(own, name)) continue;
    const value = own[name];
    delete own[name];
    own[name] = value;
  }
}

/**
 * Let an attribute follow its property.
 *
 * @param {HTMLElement} element
 * @param {string} name
 * @param {string | number | null | undefined} value null and undefined remove it
 */
export function reflect(element, name, value) {
  if (value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, String(value));
}
