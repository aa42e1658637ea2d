// The page at `/docs`: how to start, then every operation of `/openapi.json` with its fields, responses, examples and
// errors, a curl command, and a form to try it.

import { byId, h } from "../dom/dom.js";
import { Later } from "../dom/later.js";
import { applyTheme } from "../page/theme.js";
import { commands } from "./curl.js";
import { BASE_URL, endpointsOf, FORM_TYPE, nameOf, resolved, shown } from "./openapi.js";
import { code, codeBox, example, output, prose, scrollToFragment, section } from "./reference.js";
import { startSection } from "./start.js";

/**
 * @typedef {import("./openapi.js").Api} Api
 * @typedef {import("./openapi.js").ApiResponse} ApiResponse
 * @typedef {import("./openapi.js").Endpoint} Endpoint
 * @typedef {import("./openapi.js").Example} Example
 * @typedef {import("./openapi.js").Parameter} Parameter
 * @typedef {import("./openapi.js").Schema} Schema
 */

const TRY = new Later(() => import("./try-form.js"));
const WIDE = matchMedia("(min-width: 60rem)"); // as in docs.css
// The tags that are names.
const TITLES = /** @type {Record<string, string>} */ ({ openai: "OpenAI", "ai-sdk": "AI SDK" });

/** @param {Api} api */
function render(api) {
  const operations = byId("operations");
  const contents = byId("contents");
  byId("about").replaceChildren(api.info.description);
  operations.append(startSection(api));
  contents.append(h("h2", {}, h("a", { href: "#start" }, "Start")));
  const endpoints = endpointsOf(api);
  for (const tag of new Set(endpoints.map(tagOf))) {
    const tagged = endpoints.filter((endpoint) => tagOf(endpoint) === tag);
    const links = tagged.map((endpoint) => h("li", { "data-words": wordsOf(endpoint) }, endpointLink(endpoint)));
    operations.append(group(tag, TITLES[tag] ?? tag, tagged.map((endpoint) => endpointArticle(endpoint, api))));
    contents.append(h("div", {}, h("h2", {}, h("a", { href: `#tag-${tag}` }, TITLES[tag] ?? tag)), h("ul", {}, ...links)));
  }
  const { schemas, examples } = api.components;
  operations.append(
    group("errors", "errors", Object.entries(examples).map(([name, each]) => errorArticle(name, each))),
    group("types", "types", Object.entries(schemas).map(([name, schema]) => typeArticle(name, schema))),
  );
  for (const name of ["errors", "types"]) contents.append(h("h2", {}, h("a", { href: `#tag-${name}` }, name)));
}

/** @param {string} name @param {string} title @param {Node[]} articles */
const group = (name, title, articles) =>
  h("details", { class: "group", id: `tag-${name}`, open: true }, h("summary", {}, h("h2", {}, title)), ...articles);

/** Return what the filter finds an operation by. @param {Endpoint} endpoint */
const wordsOf = ({ method, path, operation: { operationId, summary, tags } }) =>
  [method, path, operationId, summary, ...tags].join(" ").toLowerCase();

/** @param {Endpoint} endpoint */
const tagOf = ({ operation }) => operation.tags[0] ?? "";

/** @param {Endpoint} endpoint */
const endpointLink = ({ method, path, operation }) => {
  const parts = path.split(/(?=\/)/).flatMap((part) => [h("wbr"), part]); // where a long path may wrap
  return h("a", { href: `#${operation.operationId}` }, h("span", { class: "method" }, method), " ", ...parts);
};

/** @param {Endpoint} endpoint @param {Api} api */
function endpointArticle(endpoint, api) {
  const { method, path, operation } = endpoint;
  const bodies = Object.entries(operation.requestBody?.content ?? {});
  const responses = Object.entries(operation.responses);
  const successes = responses.filter(([status]) => status < "400");
  const failures = responses.filter(([status]) => status >= "400");
  const name = `${method} ${path}`;
  return h(
    "article",
    { id: operation.operationId, "aria-label": name, "data-words": wordsOf(endpoint) },
    h(
      "details",
      {},
      h(
        "summary",
        {},
        h("h3", {}, h("span", { class: "method" }, method), " ", code(path)),
        h("p", {}, ...prose(operation.summary)),
      ),
      ...section("Parameters", operation.parameters.map(parameter)),
      ...bodies.flatMap(([type, { schema }]) => requestBody(type, schema, api)),
      ...section("Responses", successes.map(success)),
      ...successes.flatMap(examples),
      ...section("Errors", failures.map(failure)),
      ...commands(endpoint, api).map(([type, line]) => {
        const label = `Copy the curl command for ${name}`;
        return codeBox("", line, type === FORM_TYPE ? `${label}, with a form` : label);
      }),
      tryButton(endpoint, api),
    ),
  );
}

/**
 * Return a button that makes place for the form.
 *
 * @param {Endpoint} endpoint
 * @param {Api} api
 */
function tryButton(endpoint, api) {
  const label = `Try ${endpoint.method} ${endpoint.path}`;
  /** @type {HTMLButtonElement} */
  const button = h("button", { type: "button", class: "try", "aria-label": label, onclick }, "Try it");
  async function onclick() {
    const module = await TRY.load();
    if (!module) return void (byId("announcer").textContent = "The form cannot be loaded; try again.");
    const form = module.tryForm(endpoint, api, label);
    button.replaceWith(form);
    /** @type {HTMLElement | null} */ (form.querySelector("input, textarea, button"))?.focus();
  }
  return button;
}

/** @param {[string, ApiResponse]} response by status */
const examples = ([status, { content = {} }]) =>
  Object.entries(content).flatMap(([type, each]) =>
    Object.entries(each.examples ?? {}).map(([name, { value }]) => {
      const kind = name === "answer" ? "" : `, with ${name}`;
      return example(`Example: ${status}, ${type}${kind}`, shown(value));
    }),
  );

/** @param {Parameter} parameter */
const parameter = ({ name, in: place, required, schema, description }) =>
  field(name, { ...schema, description }, required, place);

/**
 * Describe a body by its fields, or in words if it has none of its own.
 *
 * @param {string} type
 * @param {Schema} schema
 * @param {Api} api
 */
function requestBody(type, schema, api) {
  const { properties, required = [], description = "" } = resolved(schema, api);
  const title = `Request body: ${type}`;
  if (!properties) return [h("h4", {}, title), h("p", {}, ...prose(description))];
  const fields = Object.entries(properties);
  return section(
    title,
    fields.map(([name, property]) => field(name, property, required.includes(name))),
  );
}

/** @param {string} name @param {Schema} schema @param {boolean} required @param {string} [place] */
function field(name, schema, required, place) {
  const notes = [place && `in the ${place}`, required && "required"].filter(Boolean).join(", ");
  const description = schema.description ?? schema.anyOf?.find((option) => option.description)?.description;
  const type = h("dd", { class: "type" }, ...typeOf(schema), ...(notes ? [` · ${notes}`] : []));
  return [h("dt", {}, code(name)), type, ...(description ? [h("dd", {}, ...prose(description))] : [])];
}

/** @param {[string, ApiResponse]} response by status */
function success([status, { description, content = {} }]) {
  const types = Object.entries(content).map(([type, { schema }]) =>
    h("dd", {}, `${type}: `, ...typeOf(schema)),
  );
  return [h("dt", {}, code(status)), ...(types.length > 0 ? types : [h("dd", {}, description)])];
}

/** @param {[string, ApiResponse]} response by status */
function failure([status, { content = {} }]) {
  const codes = Object.values(content).flatMap((each) => Object.entries(each.examples ?? {}));
  const links = codes.map(([name, { $ref = "" }]) => h("a", { href: `#error-${nameOf($ref)}` }, code(name)));
  return [h("dt", {}, code(status)), h("dd", {}, ...join(", ", links))];
}

/** @param {string} name @param {Example} error */
const errorArticle = (name, { value }) =>
  h(
    "article",
    { id: `error-${name}`, "aria-label": name, "data-words": name.toLowerCase() },
    h("details", {}, h("summary", {}, h("h3", {}, code(name))), output(name, shown(value))),
  );

/** @param {string} name @param {Schema} schema */
function typeArticle(name, schema) {
  const { properties = {}, required = [], description } = schema;
  const rows = Object.entries(properties).map(([key, property]) =>
    field(key, property, required.includes(key)),
  );
  return h(
    "article",
    { id: `type-${name}`, "aria-label": name, "data-words": name.toLowerCase() },
    h(
      "details",
      {},
      h("summary", {}, h("h3", {}, code(name))),
      ...(description ? [h("p", {}, ...prose(description))] : []),
      ...(rows.length > 0 ? [h("dl", {}, ...rows.flat())] : [h("p", {}, ...typeOf(schema))]),
    ),
  );
}

/**
 * Describe a type in words.
 *
 * @param {Schema} schema
 * @returns {(Node | string)[]}
 */
function typeOf(schema) {
  if (schema.$ref) return [h("a", { href: `#type-${nameOf(schema.$ref)}` }, nameOf(schema.$ref))];
  if (schema.anyOf) {
    return schema.anyOf.flatMap((option, index) => [...(index ? [" or "] : []), ...typeOf(option)]);
  }
  if (schema.enum) return join(" or ", schema.enum.map(code));
  if (schema.type === "array" && schema.items) return ["array of ", ...typeOf(schema.items)];
  const limits = limitsOf(schema).join(", ");
  return [limits ? `${schema.type ?? "anything"} (${limits})` : (schema.type ?? "anything")];
}

/** @param {Schema} schema */
function limitsOf({ minLength, maxLength, minimum, maximum, pattern, contentEncoding, contentMediaType }) {
  const highest = Number.isSafeInteger(maximum) ? maximum : undefined; // else just the integer's size
  return [
    minLength === 1 && maxLength === undefined ? "not empty" : range(minLength, maxLength, " characters"),
    range(minimum, highest, ""),
    pattern && `matching ${pattern}`,
    contentEncoding,
    contentMediaType,
  ].filter(Boolean);
}

/** @param {number | undefined} least @param {number | undefined} most @param {string} unit */
function range(least, most, unit) {
  if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
  if (most !== undefined) return `at most ${most}${unit}`;
  return least === undefined ? "" : `at least ${least}${unit}`;
}

/** @param {string} separator @param {Node[]} nodes */
const join = (separator, nodes) => nodes.flatMap((node, index) => (index ? [separator, node] : [node]));

/** Show the operations, errors and types that have all of the words. */
function filter() {
  const words = byId("filter", HTMLInputElement).value.toLowerCase().split(/\s+/);
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-words]"))) {
    each.hidden = !words.every((word) => each.dataset.words?.includes(word));
  }
  for (const each of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#contents > div, .group"))) {
    each.hidden = !each.querySelector("[data-words]:not([hidden])");
  }
  const found = document.querySelectorAll("article[data-words]:not([hidden])").length;
  byId("announcer").textContent = `${found} found.`;
}

async function start() {
  applyTheme();
  byId("contents-box", HTMLDetailsElement).open = WIDE.matches;
  try {
    const response = await fetch(`${BASE_URL}/openapi.json`);
    if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
    render(await response.json());
  } catch (error) {
    byId("about").textContent =
      `The API description cannot be loaded: ${/** @type {Error} */ (error).message}`;
    return;
  }
  byId("filter").addEventListener("input", filter);
  addEventListener("hashchange", scrollToFragment);
  scrollToFragment();
}

start();
