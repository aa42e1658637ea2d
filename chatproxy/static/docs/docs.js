// The page at `/docs`: every call of `/openapi.json` with its fields, answers, errors, and a line for curl.

import { copyText } from "../dom/clipboard.js";
import { h, icon, iconButton } from "../dom/dom.js";

/**
 * @typedef {Record<string, any>} Schema
 * @typedef {{method: string, path: string, operation: any}} Call
 */

const base = new URL("../..", import.meta.url).href.replace(/\/$/, "");
const METHODS = ["get", "post", "put", "patch", "delete"];
// What a curl line calls the names that addresses have in braces.
const VARIABLES = /** @type {Record<string, string>} */ ({ sid: "SESSION", mid: "MESSAGE", id: "DOCUMENT", path: "FILE" });

/** @param {string} id @returns {any} */
const $ = (id) => document.getElementById(id);

/** @param {any} api the document */
function show(api) {
  $("about").replaceChildren(api.info.description);
  const all = callsOf(api);
  const types = Object.entries(api.components.schemas);
  for (const name of new Set(all.map(({ operation }) => operation.tags[0]))) {
    const calls = all.filter(({ operation }) => operation.tags[0] === name);
    $("calls").append(h("h2", {}, name), ...calls.map((call) => article(call, api)));
    $("contents").append(h("h2", {}, name), list(calls.map(entry)));
  }
  $("calls").append(h("h2", { id: "types" }, "types"), ...types.map(([name, schema]) => type(name, schema)));
  $("contents").append(h("h2", {}, h("a", { href: "#types" }, "types")));
}

/** @param {any} api @returns {Call[]} */
const callsOf = (api) =>
  Object.entries(api.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => method in methods).map((method) => ({
      method: method.toUpperCase(),
      path,
      operation: methods[method],
    })),
  );

/** @param {Call} call */
const entry = ({ method, path, operation }) =>
  h("a", { href: `#${operation.operationId}` }, h("span", { class: "method" }, method), ` ${path}`);

/** @param {Call} call @param {any} api */
function article(call, api) {
  const { method, path, operation } = call;
  const sent = Object.entries(operation.requestBody?.content ?? {});
  const answers = Object.entries(operation.responses);
  const line = curl(call, asksForToken(operation, api));
  return h(
    "article",
    { id: operation.operationId, "aria-label": `${method} ${path}` },
    h("h3", {}, h("span", { class: "method" }, method), " ", h("code", {}, path)),
    h("p", {}, operation.summary),
    ...part("Parameters", operation.parameters.map(parameter)),
    ...sent.flatMap(([mediaType, { schema }]) => part(`Body: ${mediaType}`, fieldsOf(schema, api))),
    ...part("Answers", answers.filter(([status]) => status < "400").map(answer)),
    ...part("Errors", answers.filter(([status]) => status >= "400").map(failure)),
    h("div", { class: "curl" }, h("code", {}, line), copyButton(line, `${method} ${path}`)),
  );
}

/** @param {string} title @param {Node[][]} rows each of a `dt` and its `dd`s */
const part = (title, rows) => (rows.length === 0 ? [] : [h("h4", {}, title), h("dl", {}, ...rows.flat())]);

/** @param {any} parameter */
const parameter = ({ name, in: place, required, schema, description }) =>
  field(name, { ...schema, description }, required, place);

/** @param {Schema} schema @param {any} api */
function fieldsOf(schema, api) {
  const { properties = {}, required = [] } = "$ref" in schema ? api.components.schemas[nameOf(schema)] : schema;
  return Object.entries(properties).map(([name, each]) => field(name, each, required.includes(name)));
}

/** @param {string} name @param {Schema} schema @param {boolean} required @param {string} [place] */
function field(name, schema, required, place) {
  const also = [place && `in the ${place}`, required && "required"].filter(Boolean).join(", ");
  const said = schema.description ?? schema.anyOf?.find((/** @type {Schema} */ each) => each.description)?.description;
  const kind = h("dd", { class: "type" }, ...kindOf(schema), also && ` · ${also}`);
  return [h("dt", {}, h("code", {}, name)), kind, ...(said ? [h("dd", {}, ...prose(said))] : [])];
}

/** @param {[string, any]} entry */
function answer([status, { description, content = {} }]) {
  const kinds = Object.entries(content).map(([mediaType, { schema }]) =>
    h("dd", {}, `${mediaType}: `, ...kindOf(schema)),
  );
  return [h("dt", {}, h("code", {}, status)), ...(kinds.length > 0 ? kinds : [h("dd", {}, description)])];
}

/** @param {[string, any]} entry */
function failure([status, { content }]) {
  const [{ schema }] = Object.values(content);
  return [h("dt", {}, h("code", {}, status)), h("dd", {}, ...between(", ", schema.properties.code.enum.map(code)))];
}

/** @param {string} name @param {Schema} schema */
function type(name, schema) {
  const { properties = {}, required = [], description } = schema;
  const rows = Object.entries(properties).map(([each, kind]) => field(each, kind, required.includes(each)));
  return h(
    "article",
    { id: `type-${name}`, "aria-label": name },
    h("h3", {}, h("code", {}, name)),
    ...(description ? [h("p", {}, ...prose(description))] : []),
    ...(rows.length > 0 ? [h("dl", {}, ...rows.flat())] : [h("p", {}, ...kindOf(schema))]),
  );
}

/** What a value may be, in words. @param {Schema} schema @returns {(Node | string)[]} */
function kindOf(schema) {
  if (schema.$ref) return [h("a", { href: `#type-${nameOf(schema)}` }, nameOf(schema))];
  if (schema.anyOf) return schema.anyOf.flatMap((/** @type {Schema} */ each, /** @type {number} */ n) => [...(n ? [" or "] : []), ...kindOf(each)]);
  if (schema.enum) return between(" or ", schema.enum.map(code));
  if (schema.type === "array") return ["list of ", ...kindOf(schema.items)];
  return [[schema.type ?? "anything", ...limits(schema)].join(", ")];
}

/** @param {Schema} schema @returns {string[]} */
function limits({ minLength, maxLength, minimum, maximum, pattern, contentEncoding, contentMediaType }) {
  const most = Number.isSafeInteger(maximum) ? maximum : undefined; // beyond, it is only what integers can be
  return [
    minLength === 1 && maxLength === undefined ? "not empty" : span(minLength, maxLength, " characters"),
    span(minimum, most, ""),
    pattern && `matching ${pattern}`,
    contentEncoding,
    contentMediaType,
  ].filter(Boolean);
}

/** @param {number | undefined} least @param {number | undefined} most @param {string} unit */
function span(least, most, unit) {
  if (least !== undefined && most !== undefined) return `${least} to ${most}${unit}`;
  if (most !== undefined) return `up to ${most}${unit}`;
  return least === undefined ? "" : `from ${least}${unit}`;
}

/** @param {Schema} schema */
const nameOf = (schema) => schema.$ref.split("/").at(-1);

/** @param {string} text */
const code = (text) => h("code", {}, String(text));

/** With what stands in backticks as code. @param {string} text */
const prose = (text) => text.split("`").map((part, number) => (number % 2 ? code(part) : part));

/** @param {string} separator @param {Node[]} nodes */
const between = (separator, nodes) => nodes.flatMap((node, number) => (number ? [separator, node] : [node]));

/** @param {Node[]} items */
const list = (items) => h("ul", {}, ...items.map((item) => h("li", {}, item)));

/** @param {any} operation @param {any} api */
const asksForToken = (operation, api) => (operation.security ?? api.security).length > 0;

/** @param {Call} call @param {boolean} withToken */
function curl({ method, path, operation }, withToken) {
  const { example } = operation.requestBody?.content["application/json"] ?? {};
  const streams = "text/event-stream" in (operation.responses[200]?.content ?? {});
  const address = base + path.replace(/{(\w+)}/g, (_, name) => `$${VARIABLES[name] ?? name.toUpperCase()}`);
  return [
    streams ? "curl -N" : "curl",
    method !== "GET" && `-X ${method}`,
    withToken && '-H "Authorization: Bearer $TOKEN"',
    example && `-H "Content-Type: application/json" -d ${quoted(JSON.stringify(example))}`,
    `"${address}"`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** For a shell. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @param {string} line @param {string} name */
function copyButton(line, name) {
  return iconButton("copy", `Copy the line for ${name}`, async (/** @type {any} */ { currentTarget: button }) => {
    try {
      await copyText(line);
      button.replaceChildren(icon("check"));
      $("said").textContent = "Copied.";
    } catch (/** @type {any} */ error) {
      $("said").textContent = error.message;
    }
  });
}

async function start() {
  document.documentElement.dataset.theme = localStorage.getItem("chatproxy theme") ?? "auto";
  try {
    const response = await fetch(`${base}/openapi.json`);
    if (!response.ok) throw new Error(`The server answered with status ${response.status}.`);
    show(await response.json());
  } catch (/** @type {any} */ error) {
    $("about").textContent = `The list of calls cannot be read: ${error.message}`;
    return;
  }
  $(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView(); // it was not there when the browser looked
}

start();
