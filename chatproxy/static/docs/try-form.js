// A form that sends a request of an operation with the page's own token, and shows the answer as it arrives.

import { Http } from "../client/http.js";
import { confirm } from "../dom/dialogs.js";
import { byId, h } from "../dom/dom.js";
import { authorization, TokenDialog } from "../page/token.js";
import { command, quoted } from "./curl.js";
import { BASE_URL, FORM_TYPE, isFile, JSON_TYPE, resolved } from "./openapi.js";
import { code, copyButton } from "./reference.js";

/**
 * @typedef {import("./openapi.js").Api} Api
 * @typedef {import("./openapi.js").Endpoint} Endpoint
 * @typedef {import("./openapi.js").Parameter} Parameter
 * @typedef {import("./openapi.js").Schema} Schema
 * @typedef {{name: string, in: string, input: HTMLInputElement}} Field
 * @typedef {{type: string, content: HTMLElement, body: () => string | FormData}} Body of one media type
 */

const HEADERS = ["Content-Type", "Content-Disposition", "Retry-After", "X-Error-Code", "X-Request-Id"];
const MOST_TEXT = 200_000; // characters that are shown
const TEXT_TYPES = /^text\/|json|javascript|svg/;

const http = new Http({ baseUrl: BASE_URL, headers: authorization });
const signIn = new TokenDialog(
  {
    dialog: byId("sign-in", HTMLDialogElement),
    field: byId("token", HTMLInputElement),
    problem: byId("sign-in-problem"),
  },
  "",
  "That token is not accepted.",
  () => (byId("announcer").textContent = "The token is kept for this tab; send again."),
);

/** What stands for parameters in paths: the latest of each that an answer named. @type {Map<string, string>} */
const known = new Map();

/** @param {Endpoint} endpoint @param {Api} api @param {string} label */
export function tryForm(endpoint, api, label) {
  return new TryForm(endpoint, api, label).form;
}

class TryForm {
  #endpoint;
  #api;
  /** @type {Field[]} */
  #fields;
  /** @type {Body[]} */
  #bodies;
  #kind = h("select", { "aria-label": "Type of the body" });
  #send = h("button", {}, "Send");
  #stop = h("button", { type: "button", hidden: true, onclick: () => this.#sending?.abort() }, "Stop");
  #line = code("");
  #status = h("p", { role: "status" });
  #headers = h("dl", {});
  #output = h("pre", { tabindex: 0, role: "region", "aria-label": "The answer", hidden: true });
  /** @type {AbortController | undefined} */
  #sending;

  /** @param {Endpoint} endpoint @param {Api} api @param {string} label */
  constructor(endpoint, api, label) {
    this.#endpoint = endpoint;
    this.#api = api;
    const { parameters, requestBody } = endpoint.operation;
    this.#fields = parameters.map(fieldOf);
    this.#bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema, example }]) =>
      type === FORM_TYPE ? formBody(resolved(schema, api)) : textBody(type, example),
    );
    this.#kind.append(...this.#bodies.map(({ type }) => h("option", { value: type }, type)));
    this.#kind.hidden = this.#bodies.length < 2;
    this.form = h(
      "form",
      { class: "try", "aria-label": label, onsubmit: (event) => this.#submit(event), oninput: () => this.#update() },
      ...this.#fields.map(({ name, input }) => h("label", {}, name, input)),
      this.#kind,
      ...this.#bodies.map(({ content }) => content),
      h("div", { class: "buttons" }, this.#send, this.#stop),
      h("div", { class: "curl" }, this.#line, copyButton("Copy this curl command", () => this.#line.textContent ?? "")),
      this.#status,
      this.#headers,
      this.#output,
    );
    this.#update();
  }

  get #body() {
    return this.#bodies.find(({ type }) => type === this.#kind.value);
  }

  /** Show what is filled in as a command, and only the fields of the type of body that is chosen. */
  #update() {
    for (const each of this.#bodies) {
      each.content.hidden = each !== this.#body;
      for (const input of each.content.querySelectorAll("input")) input.disabled = each.content.hidden;
    }
    const body = this.#body?.body();
    const form = body instanceof FormData ? [...body].map(([name, value]) => quoted(`${name}=${inForm(value)}`)) : [];
    const headers = this.#headerFields().map(([name, value]) => quoted(`${name}: ${value}`));
    const json = typeof body === "string" ? quoted(body) : undefined;
    this.#line.textContent = command(this.#endpoint, this.#api, { url: quoted(this.#url()), headers, json, form });
  }

  /** @param {string} place */
  #filled(place) {
    return this.#fields.filter((field) => field.in === place && field.input.value !== "");
  }

  /** @returns {[name: string, value: string][]} */
  #headerFields() {
    return this.#filled("header").map(({ name, input }) => [name, input.value]);
  }

  #url() {
    const inPath = new Map(this.#filled("path").map(({ name, input }) => [name, input.value]));
    const path = this.#endpoint.path.replace(/{(\w+)}/g, (_, name) =>
      (inPath.get(name) ?? "").split("/").map(encodeURIComponent).join("/"),
    );
    const query = new URLSearchParams(this.#filled("query").map(({ name, input }) => [name, input.value]));
    return BASE_URL + path + (query.size > 0 ? `?${query}` : "");
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const { method, operation } = this.#endpoint;
    const question = `${operation.summary} Send this to the server?`;
    if (method === "DELETE" && !(await confirm(byId("confirm", HTMLDialogElement), question))) return;
    const body = this.#body?.body();
    const headers = this.#headerFields();
    if (typeof body === "string") headers.push(["Content-Type", this.#kind.value]);
    this.#sending = new AbortController();
    this.#setSending(true);
    this.#headers.replaceChildren();
    this.#output.replaceChildren();
    this.#output.hidden = true;
    this.#status.textContent = "Sending…";
    try {
      const { signal } = this.#sending;
      const response = await http.send(this.#url(), { method, headers, body: body ?? null, signal });
      await this.#show(response);
      if (response.status === 401) await signIn.refuse();
    } catch (error) {
      const { message } = /** @type {Error} */ (error);
      this.#status.textContent = this.#sending.signal.aborted ? "Stopped." : message;
    } finally {
      this.#setSending(false);
    }
  }

  /** @param {boolean} sending */
  #setSending(sending) {
    const focused = document.activeElement;
    this.#send.hidden = sending;
    this.#stop.hidden = !sending;
    if (focused === this.#send) this.#stop.focus();
    if (focused === this.#stop) this.#send.focus();
  }

  /** @param {Response} response */
  async #show(response) {
    const status = `${response.status} ${response.statusText}`.trim();
    this.#status.textContent = status;
    const present = HEADERS.filter((name) => response.headers.has(name));
    this.#headers.append(
      ...present.flatMap((name) => [h("dt", {}, code(name)), h("dd", {}, response.headers.get(name) ?? "")]),
    );
    const type = response.headers.get("Content-Type") ?? "";
    if (!TEXT_TYPES.test(type)) {
      const { size } = await response.blob();
      if (size > 0) this.#status.textContent = `${status}, ${size} bytes`;
      return;
    }
    this.#output.hidden = false;
    const text = await this.#read(response);
    this.#status.textContent = `${status}, to the end`;
    if (type.startsWith(JSON_TYPE) && text.length <= MOST_TEXT) this.#output.textContent = pretty(text);
    learn(text, this.#endpoint.operation.operationId);
  }

  /** Show the text while it arrives, up to a limit, and return all of it. @param {Response} response */
  async #read(response) {
    let all = "";
    const decoder = new TextDecoder();
    const reader = response.body?.getReader();
    for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
      const text = decoder.decode(read.value, { stream: true });
      if (all.length < MOST_TEXT) this.#output.append(text.slice(0, MOST_TEXT - all.length));
      all += text;
    }
    if (all.length > MOST_TEXT) this.#output.append(`\n… ${all.length - MOST_TEXT} more characters`);
    return all;
  }
}

/** @param {Parameter} parameter @returns {Field} */
function fieldOf(parameter) {
  const { name, required, schema, description } = parameter;
  const value = known.get(name) ?? schema.examples?.[0];
  const input = h("input", {
    name,
    required,
    value: value === undefined ? null : String(value),
    title: description,
    autocomplete: "off",
    spellcheck: "false",
  });
  return { name, in: parameter.in, input };
}

/** @param {string} type @param {unknown} example @returns {Body} */
function textBody(type, example) {
  const text = JSON.stringify(example ?? {}, null, 2);
  const area = h("textarea", { rows: Math.min(text.split("\n").length + 1, 14), spellcheck: "false" }, text);
  return { type, content: h("label", {}, "body", area), body: () => compact(area.value) };
}

/** @param {Schema} schema @returns {Body} */
function formBody({ properties = {}, required = [] }) {
  const inputs = Object.entries(properties).map(([name, field]) => {
    const kind = isFile(field) ? "file" : "text";
    return h("input", { name, type: kind, required: required.includes(name) });
  });
  const content = h("div", {}, ...inputs.map((input) => h("label", {}, input.name, input)));
  const body = () => {
    const form = new FormData();
    for (const { name, files, value } of inputs) form.append(name, files?.[0] ?? (files ? new Blob() : value));
    return form;
  };
  return { type: FORM_TYPE, content, body };
}

/** Return a value as it stands in a form of curl's. @param {FormDataEntryValue} value */
const inForm = (value) => (typeof value === "string" ? value : `@${value.name}`);

/** Return JSON on one line; what is not JSON stays, so that the server says what it is. @param {string} text */
function compact(text) {
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * Remember the ids in an answer, and fill them into fields that are empty.
 *
 * @param {string} text
 * @param {string} operationId
 */
function learn(text, operationId) {
  /** @type {Record<string, RegExp>} */
  const patterns = {
    sid: operationId.endsWith("Session") ? /"id":"([\w-]+)"/ : /"sessionId":"([\w-]+)"/,
    mid: /"assistantMessageId":(\d+)/,
    rid: /"id":"(resp_\w[\w-]*)"/,
    id: operationId.endsWith("Document") ? /"id":(\d+)/ : /"documentId":(\d+)/,
  };
  for (const [name, pattern] of Object.entries(patterns)) {
    const found = pattern.exec(text)?.[1];
    if (!found) continue;
    known.set(name, found);
    for (const field of document.querySelectorAll(`form.try input[name=${name}]`)) {
      const input = /** @type {HTMLInputElement} */ (field);
      if (input.value) continue;
      input.value = found;
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}
