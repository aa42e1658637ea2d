// The page at `/docs`: every operation of `/openapi.json` with its fields, responses, errors, and a curl
// command.

import { byId, h } from "../dom/dom.js";
import { applyTheme } from "../page/theme.js";
import { code, copyButton, prose, scrollToFragment, section } from "./reference.js";

/**
 * The parts of an OpenAPI document that chatproxy uses.
 *
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {Schema[]} [anyOf]
 * @property {string} [type]
 * @property {Schema} [items]
 * @property {(string | number)[]} [enum]
 * @property {string} [description]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {number} [minLength]
 * @property {number} [maxLength]
 * @property {number} [minimum]
 * @property {number} [maximum]
 * @property {string} [pattern]
 * @property {string} [contentEncoding]
 * @property {string} [contentMediaType]
 *
 * @typedef {{name: string, in: string, required: boolean, schema: Schema, description?: string}} Parameter
 * @typedef {Record<string, {schema: Schema, example?: unknown}>} Content by media type
 * @typedef {{description: string, content?: Content}} ApiResponse
 *
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string[]} tags
 * @property {string} summary
 * @property {Parameter[]} parameters
 * @property {{content: Content}} [requestBody]
 * @property {Record<string, ApiResponse>} responses by status
 * @property {object[]} [security]
 *
 * @typedef {object} Api
 * @property {{description: string}} info
 * @property {Record<string, Record<string, Operation>>} paths by path and method
 * @property {{schemas: Record<string, Schema>}} components
 * @property {object[]} security
 *
 * @typedef {{method: string, path: string, operation: Operation}} Endpoint
 */

const BASE_URL = new URL("../..", import.meta.url).href.replace(/\/$/, "");
const METHODS = ["get", "post", "put", "patch", "delete"];
// The shell variables that stand for path parameters in curl commands.
const VARIABLES = /** @type {Record<string, string>} */ ({
  sid: "SESSION",
  mid: "MESSAGE",
  id: "DOCUMENT",
  path: "FILE",
  rid: "RESPONSE",
});
// The tags that are names.
const TITLES = /** @type {Record<string, string>} */ ({ openai: "OpenAI", "ai-sdk": "AI SDK" });

/** @param {Api} api */
function render(api) {
  const operations = byId("operations");
  const contents = byId("contents");
  byId("about").replaceChildren(api.info.description);
  const endpoints = endpointsOf(api);
  for (const tag of new Set(endpoints.map(tagOf))) {
    const tagged = endpoints.filter((endpoint) => tagOf(endpoint) === tag);
    const title = TITLES[tag] ?? tag;
    operations.append(h("h2", {}, title), ...tagged.map((endpoint) => endpointArticle(endpoint, api)));
    contents.append(
      h("h2", {}, title),
      h("ul", {}, ...tagged.map((endpoint) => h("li", {}, endpointLink(endpoint)))),
    );
  }
  const types = Object.entries(api.components.schemas).map(([name, schema]) => typeArticle(name, schema));
  operations.append(h("h2", { id: "types" }, "types"), ...types);
  contents.append(h("h2", {}, h("a", { href: "#types" }, "types")));
}

/** @param {Api} api @returns {Endpoint[]} */
function endpointsOf(api) {
  return Object.entries(api.paths).flatMap(([path, operations]) =>
    METHODS.flatMap((method) => {
      const operation = operations[method];
      return operation ? [{ method: method.toUpperCase(), path, operation }] : [];
    }),
  );
}

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
  const command = curl(endpoint, needsToken(operation, api));
  return h(
    "article",
    { id: operation.operationId, "aria-label": `${method} ${path}` },
    h("h3", {}, h("span", { class: "method" }, method), " ", h("code", {}, path)),
    h("p", {}, ...prose(operation.summary)),
    ...section("Parameters", operation.parameters.map(parameter)),
    ...bodies.flatMap(([type, { schema }]) => requestBody(type, schema, api)),
    ...section("Responses", responses.filter(([status]) => status < "400").map(success)),
    ...section("Errors", responses.filter(([status]) => status >= "400").map(failure)),
    h(
      "div",
      { class: "curl" },
      h("code", {}, command),
      copyButton(`Copy the curl command for ${method} ${path}`, () => command),
    ),
  );
}

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
  const body = (schema.$ref && api.components.schemas[nameOf(schema.$ref)]) || schema;
  const { properties, required = [], description = "" } = body;
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
function failure([status, { description }]) {
  const codes = description.split(", "); // not all APIs have them in the body
  return [h("dt", {}, code(status)), h("dd", {}, ...join(", ", codes.map(code)))];
}

/** @param {string} name @param {Schema} schema */
function typeArticle(name, schema) {
  const { properties = {}, required = [], description } = schema;
  const rows = Object.entries(properties).map(([key, property]) =>
    field(key, property, required.includes(key)),
  );
  return h(
    "article",
    { id: `type-${name}`, "aria-label": name },
    h("h3", {}, code(name)),
    ...(description ? [h("p", {}, ...prose(description))] : []),
    ...(rows.length > 0 ? [h("dl", {}, ...rows.flat())] : [h("p", {}, ...typeOf(schema))]),
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

/** @param {string} ref */
const nameOf = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

/** @param {string} separator @param {Node[]} nodes */
const join = (separator, nodes) => nodes.flatMap((node, index) => (index ? [separator, node] : [node]));

/** @param {Operation} operation @param {Api} api */
const needsToken = (operation, api) => (operation.security ?? api.security).length > 0;

/** @param {Endpoint} endpoint @param {boolean} withToken */
function curl({ method, path, operation }, withToken) {
  const { example } = operation.requestBody?.content["application/json"] ?? {};
  const answers = Object.keys(operation.responses[200]?.content ?? {});
  const streams = answers.some((type) => ["text/event-stream", "application/x-ndjson"].includes(type));
  const url = BASE_URL + path.replace(/{(\w+)}/g, (_, name) => `$${VARIABLES[name] ?? name.toUpperCase()}`);
  return [
    streams ? "curl -N" : "curl",
    method !== "GET" && `-X ${method}`,
    withToken && '-H "Authorization: Bearer $TOKEN"',
    example && `-H "Content-Type: application/json" -d ${shellQuote(JSON.stringify(example))}`,
    `"${url}"`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** @param {string} text */
const shellQuote = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

async function start() {
  applyTheme();
  try {
    const response = await fetch(`${BASE_URL}/openapi.json`);
    if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
    render(await response.json());
  } catch (error) {
    byId("about").textContent =
      `The API description cannot be loaded: ${/** @type {Error} */ (error).message}`;
    return;
  }
  scrollToFragment();
}

start();
