// The parts of an OpenAPI document that chatproxy uses, and what follows from them.

/**
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {Schema[]} [anyOf]
 * @property {string} [type]
 * @property {Schema} [items]
 * @property {(string | number)[]} [enum]
 * @property {unknown[]} [examples]
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
 * @property {{mapping: Record<string, string>}} [discriminator]
 *
 * @typedef {{name: string, in: string, required: boolean, schema: Schema, description?: string}} Parameter
 * @typedef {{value?: unknown, $ref?: string}} Example
 * @typedef {Record<string, {schema: Schema, example?: unknown, examples?: Record<string, Example>}>} Content by media
 *   type
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
 * @property {{schemas: Record<string, Schema>, examples: Record<string, Example>}} components
 * @property {object[]} security
 *
 * @typedef {{method: string, path: string, operation: Operation}} Endpoint
 */

export const BASE_URL = new URL("../..", import.meta.url).href.replace(/\/$/, "");
export const JSON_TYPE = "application/json";
export const FORM_TYPE = "multipart/form-data";
const METHODS = ["get", "post", "put", "patch", "delete"];
const STREAMS = ["text/event-stream", "application/x-ndjson"];

/** @param {Api} api @returns {Endpoint[]} */
export function endpointsOf(api) {
  return Object.entries(api.paths).flatMap(([path, operations]) =>
    METHODS.flatMap((method) => {
      const operation = operations[method];
      return operation ? [{ method: method.toUpperCase(), path, operation }] : [];
    }),
  );
}

/** @param {string} ref */
export const nameOf = (ref) => ref.slice(ref.lastIndexOf("/") + 1);

/**
 * Return the type itself in place of a reference to it.
 *
 * @param {Schema} schema
 * @param {Api} api
 */
export const resolved = (schema, api) =>
  (schema.$ref && api.components.schemas[nameOf(schema.$ref)]) || schema;

/** @param {Operation} operation @param {Api} api */
export const needsToken = (operation, api) => (operation.security ?? api.security).length > 0;

/** @param {Operation} operation */
export const streams = ({ responses }) =>
  Object.keys(responses[200]?.content ?? {}).some((type) => STREAMS.includes(type));

/** @param {Schema} schema of a form's field */
export const isFile = ({ contentMediaType }) => contentMediaType !== undefined;

/** Show a value of an example as text. @param {unknown} value */
export const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
