// The page at `/docs/element`: what custom-elements.json says of each element, the English texts, and fields
// that change the elements on the page.

import "../chat-history.js";
import "../chat-interface.js";
import "../chat-launcher.js";
import { byId, h } from "../dom/dom.js";
import { historyLabels, labels, launcherLabels } from "../texts/en.js";
import { applyTheme } from "../page/theme.js";
import { authorization } from "../page/token.js";
import { code, copyButton, prose, scrollToFragment, section } from "./reference.js";

/**
 * The parts of a custom elements manifest that the page shows.
 *
 * @typedef {object} Entry
 * @property {string} name
 * @property {string} description
 * @property {{text: string}} [type]
 * @property {string} [syntax] of a custom property
 * @property {string} [default]
 * @property {string} [fieldName]
 * @property {string} [kind] of a member
 * @property {boolean} [static]
 * @property {boolean} [readonly]
 * @property {{name: string, type: {text: string}, optional?: boolean}[]} [parameters]
 * @property {{type: {text: string}}} [return]
 *
 * @typedef {object} Declaration
 * @property {string} tagName
 * @property {string} summary
 * @property {string} description
 * @property {Entry[]} attributes
 * @property {Entry[]} members
 * @property {Entry[]} events
 * @property {Entry[]} [slots]
 * @property {Entry[]} cssParts
 * @property {Entry[]} cssProperties
 *
 * @typedef {{modules: {path: string, declarations: [Declaration]}[]}} Manifest
 */

const MANIFEST = new URL("../custom-elements.json", import.meta.url);
/** @type {Record<string, object>} by tag */
const LABELS = { "chat-interface": labels, "chat-history": historyLabels, "chat-launcher": launcherLabels };
// Attributes that no field changes: they connect these elements, or the elements set them.
const FIXED = ["endpoint", "session-id", "storage-key", "for", "busy", "unread"];

/** @param {Manifest} manifest */
function render({ modules }) {
  byId("about").textContent =
    "Custom elements for chats in any page. These are connected to this server; the fields below change them.";
  for (const { path, declarations } of modules) {
    const [declaration] = declarations;
    byId("elements").append(...article(path, declaration));
    byId("contents").append(
      h("h2", {}, h("a", { href: `#${declaration.tagName}` }, `<${declaration.tagName}>`)),
      h("ul", {}, ...kinds(declaration).map(([id, title]) => h("li", {}, h("a", { href: `#${id}` }, title)))),
    );
  }
}

/**
 * Return the sections of an element that are not empty: the id, the title and the rows of each.
 *
 * @param {Declaration} declaration
 * @returns {[id: string, title: string, rows: Node[][]][]}
 */
function kinds({ tagName, attributes, members, events, slots = [], cssParts, cssProperties }) {
  const fields = members.filter(({ kind }) => kind === "field");
  const methods = members.filter(({ kind }) => kind === "method");
  /** @type {[string, Node[][]][]} */
  const all = [
    ["Attributes", attributes.map((each) => row(each.name, each))],
    ["Properties", fields.map((each) => row(each.name, each))],
    ["Methods", methods.map((each) => row(signature(each), each))],
    ["Events", events.map((each) => row(each.name, each))],
    ["Slots", slots.map((each) => row(each.name || "(default)", each))],
    ["Parts", cssParts.map((each) => row(`::part(${each.name})`, each))],
    ["Custom properties", cssProperties.map((each) => row(each.name, each))],
    ["Labels", Object.entries(LABELS[tagName] ?? {}).flatMap(([name, text]) => labelRows(name, text))],
  ];
  return all
    .filter(([, rows]) => rows.length > 0)
    .map(([title, rows]) => [`${tagName}-${title.toLowerCase().replace(" ", "-")}`, title, rows]);
}

/** @param {string} path @param {Declaration} declaration */
function article(path, declaration) {
  const { tagName, summary, description } = declaration;
  return [
    h("h2", { id: tagName }, `<${tagName}>`),
    h("p", {}, ...prose(`${summary} ${description}`)),
    h("p", {}, "Module: ", code(path)),
    ...playground(declaration),
    ...kinds(declaration).map(([id, title, rows]) =>
      h("article", { id, "aria-label": `${title} of ${tagName}` }, ...section(title, rows)),
    ),
  ];
}

/** @param {string} name @param {Entry} entry */
function row(name, { type, syntax, default: value, readonly, description }) {
  const said = [type?.text ?? syntax, value && `default ${value}`, readonly && "read-only"];
  const notes = said.filter(Boolean).join(" · ");
  return [
    h("dt", {}, code(name)),
    ...(notes ? [h("dd", { class: "type" }, notes)] : []),
    h("dd", {}, ...prose(description)),
  ];
}

/** @param {Entry} method */
function signature({ name, parameters = [], return: returned, static: isStatic }) {
  const list = parameters
    .map((each) => `${each.name}${each.optional ? "?" : ""}: ${each.type.text}`)
    .join(", ");
  return `${isStatic ? "static " : ""}${name}(${list}): ${returned?.type.text}`;
}

/** @param {string} name @param {unknown} text a text, or what makes one */
function labelRows(name, text) {
  if (text !== null && typeof text === "object") {
    return Object.entries(text).map(([key, each]) => labelRow(`${name}["${key}"]`, each));
  }
  return [labelRow(name, typeof text === "function" ? example(text) : String(text))];
}

/** @param {string} name @param {string} text */
const labelRow = (name, text) => [h("dt", {}, code(name)), h("dd", {}, text)];

/**
 * Return what a function makes of numbers, or else of a time.
 *
 * @param {Function} make
 */
function example(make) {
  for (const values of [[2, 60], [new Date()]]) {
    try {
      return String(make(...values));
    } catch {
      // it takes something else
    }
  }
  return "…";
}

/**
 * Return fields for the attributes and the custom properties, and the markup that says the same.
 *
 * @param {Declaration} declaration
 */
function playground({ tagName, attributes, cssProperties }) {
  const element = /** @type {HTMLElement} */ (document.querySelector(tagName));
  const markup = code("");
  const show = () => (markup.textContent = markupOf(element));
  const free = attributes.filter(({ name, fieldName }) => fieldName && !FIXED.includes(name));
  const fields = free.map((attribute) => attributeField(element, attribute, show));
  const styles = cssProperties.map((property) => propertyField(element, property, show));
  show();
  new MutationObserver(show).observe(element, { attributes: true });
  const form = (/** @type {Node[]} */ nodes) => {
    const made = h("form", {}, ...nodes);
    made.addEventListener("submit", (event) => event.preventDefault());
    return made;
  };
  return [
    h("h3", {}, "Try it"),
    form(fields),
    h("details", {}, h("summary", {}, "Custom properties"), form(styles)),
    h(
      "div",
      { class: "curl" },
      markup,
      copyButton(`Copy the markup of ${tagName}`, () => markup.textContent ?? ""),
    ),
  ];
}

/** @param {HTMLElement} element @param {Entry} attribute @param {() => void} onchange */
function attributeField(element, { name, type, default: value }, onchange) {
  const choices = [...(type?.text ?? "").matchAll(/"(\w[\w-]*)"/g)].map(([, choice]) => choice ?? "");
  if (type?.text === "boolean") {
    const box = h("input", { type: "checkbox" });
    box.checked = element.hasAttribute(name);
    box.addEventListener("change", () => element.toggleAttribute(name, box.checked));
    const follow = () => (box.checked = element.hasAttribute(name));
    new MutationObserver(follow).observe(element, { attributeFilter: [name] });
    return h("label", {}, box, code(name));
  }
  const control =
    choices.length > 0 ? chooser(choices) : h("input", { type: "text", placeholder: value ?? "" });
  control.value = element.getAttribute(name) ?? "";
  control.addEventListener("input", () => {
    if (control.value) element.setAttribute(name, control.value);
    else element.removeAttribute(name);
    onchange();
  });
  return h("label", {}, code(name), control);
}

/** @param {string[]} choices */
const chooser = (choices) =>
  h("select", {}, h("option", { value: "" }, "not set"), ...choices.map((choice) => h("option", {}, choice)));

/** @param {HTMLElement} element @param {Entry} property @param {() => void} onchange */
function propertyField(element, { name, default: value }, onchange) {
  const field = h("input", { type: "text", placeholder: value ?? "" });
  field.addEventListener("input", () => {
    element.style.setProperty(name, field.value);
    onchange();
  });
  return h("label", {}, code(name), field);
}

/** @param {HTMLElement} element */
function markupOf(element) {
  const given = element.getAttributeNames().filter((name) => name !== "id" && !FIXED.includes(name));
  const written = given.map((name) => {
    const value = element.getAttribute(name);
    return value ? ` ${name}="${value.replaceAll('"', "&quot;")}"` : name === "style" ? "" : ` ${name}`;
  });
  return `<${element.localName}${written.join("")}></${element.localName}>`;
}

async function start() {
  applyTheme();
  for (const chat of document.querySelectorAll("chat-interface")) {
    chat.headers = authorization();
    chat.suggestions = ["What can you do?", "Show me a table"];
  }
  try {
    const response = await fetch(MANIFEST);
    if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
    render(await response.json());
  } catch (error) {
    byId("about").textContent = `The description cannot be loaded: ${/** @type {Error} */ (error).message}`;
    return;
  }
  scrollToFragment();
}

start();
