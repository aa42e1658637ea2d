// Commands for a shell.

import { BASE_URL, FORM_TYPE, isFile, JSON_TYPE, needsToken, resolved, streams } from "./openapi.js";

/**
 * @typedef {import("./openapi.js").Api} Api
 * @typedef {import("./openapi.js").Endpoint} Endpoint
 * @typedef {{url: string, headers?: string[], json?: string | undefined, form?: string[]}} Sent each a word of the
 *   shell
 */

// The shell variables that stand for parameters.
const VARIABLES = /** @type {Record<string, string>} */ ({
  sid: "SESSION",
  mid: "MESSAGE",
  id: "DOCUMENT",
  rid: "RESPONSE",
});

/** @param {string} name */
const variable = (name) => `$${VARIABLES[name] ?? name.toUpperCase().replaceAll("-", "_")}`;

/** Return a text as one word. @param {string} text */
export const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * Return the command that sends a request.
 *
 * @param {Endpoint} endpoint
 * @param {Api} api
 * @param {Sent} sent
 */
export function command({ method, operation }, api, { url, headers = [], json, form = [] }) {
  return [
    streams(operation) ? "curl -N" : "curl",
    method !== "GET" && form.length === 0 && `-X ${method}`,
    needsToken(operation, api) && '-H "Authorization: Bearer $TOKEN"',
    ...headers.map((header) => `-H ${header}`),
    json !== undefined && `-H "Content-Type: application/json" -d ${json}`,
    ...form.map((field) => `-F ${field}`),
    url,
  ]
    .filter(Boolean)
    .join(" ");
}

/**
 * Return the commands of an operation, one for each type of its body, with variables for what the reader has.
 *
 * @param {Endpoint} endpoint
 * @param {Api} api
 * @returns {[type: string, command: string][]}
 */
export function commands(endpoint, api) {
  const { path, operation } = endpoint;
  const query = operation.parameters
    .filter((parameter) => parameter.in === "query" && parameter.schema.examples)
    .map(({ name, schema }) => `${name}=${encodeURIComponent(String(schema.examples?.[0]))}`);
  const address = BASE_URL + path.replace(/{(\w+)}/g, (_, name) => variable(name));
  const url = `"${[address, ...query].join("?")}"`;
  const headers = operation.parameters
    .filter((parameter) => parameter.in === "header" && parameter.required)
    .map(({ name }) => `"${name}: ${variable(name)}"`);
  const bodies = Object.entries(operation.requestBody?.content ?? { "": { schema: {}, example: undefined } });
  return bodies.map(([type, { schema, example }]) => {
    const json = type === JSON_TYPE && example ? quoted(JSON.stringify(example)) : undefined;
    const fields = type === FORM_TYPE ? Object.entries(resolved(schema, api).properties ?? {}) : [];
    const form = fields.map(([name, field]) => `"${name}=${isFile(field) ? "@" : ""}${variable(name)}"`);
    return [type, command(endpoint, api, { url, headers, json, form })];
  });
}
