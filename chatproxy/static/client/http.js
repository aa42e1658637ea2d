// One HTTP request to chatproxy: its address, headers and JSON. Every failure becomes a ChatError.

import { aborted, ChatError, connectionLost, loginExpired, unexpectedAnswer } from "./chat-error.js";
import { mount } from "./mount.js";
import { Visitor } from "./visitor.js";

/**
 * @typedef {import("../types.js").ChatClientOptions} ChatClientOptions
 * @typedef {Record<string, string | number | boolean | null | undefined>} Query
 * @typedef {{query?: Query, json?: unknown, body?: BodyInit, signal?: AbortSignal | null}} Content
 * @typedef {(progress: import("../types.js").UploadProgress) => void} OnProgress
 */

const READ_HEADERS = ["Content-Type", "Retry-After", "X-Request-Id"];
const CREDENTIALS = ["Authorization", "x-api-key"];

export class Http {
  #headers;
  #fetch;
  #visitor;
  #known = false; // a chat server has answered at this address

  /** @param {ChatClientOptions} options */
  constructor({ baseUrl, headers, fetch } = {}) {
    this.baseUrl = String(baseUrl ?? mount ?? "").replace(/(?<!\/)\/+$/, "");
    this.#headers = headers;
    this.#fetch = fetch;
    this.#visitor = new Visitor(this.baseUrl, (token) => this.#askForVisitor(token));
  }

  /**
   * Send a request. If it is refused for its token, send it once more with another one, if there is one.
   *
   * @param {(headers: Headers) => Promise<Response>} send
   */
  async #authorized(send) {
    const headers = await this.#given({ unauthorized: false });
    const isVisitor = !hasCredentials(headers);
    const token = isVisitor ? await this.#visitor.token() : "";
    const response = await send(withToken(headers, token));
    if (response.status !== 401) return response;
    const again = await this.#given({ unauthorized: true });
    if (hasCredentials(again)) return isSame(again, headers) ? response : send(again);
    const { visitors } = await response.clone().json().catch(() => ({}));
    if (!visitors || !isVisitor) return response;
    return send(withToken(again, await this.#visitor.replace(token)));
  }

  /**
   * Return the headers that the caller wants to be sent. A function is called each time, because tokens expire.
   *
   * @param {import("../types.js").HeadersReason} reason
   */
  async #given(reason) {
    const headers = this.#headers;
    return new Headers(typeof headers === "function" ? await headers(reason) : headers);
  }

  /** @param {string} token @returns {Promise<import("../types.js").VisitorToken>} */
  async #askForVisitor(token) {
    const init = { method: "POST", headers: withToken(new Headers(), token) };
    return readJSON(await this.#check(await this.#send(this.url("chat/visitors"), init)));
  }

  /** @param {string} path @param {Query} [query] parameters that are undefined or null are left out */
  url(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return `${this.baseUrl}/api/${path}${given.length > 0 ? `?${search}` : ""}`;
  }

  /**
   * Send a request and return the response, if its status is a success.
   *
   * @param {string} method
   * @param {string} path
   * @param {Content} [content]
   */
  async request(method, path, { query, json, body, signal } = {}) {
    const content = json === undefined ? body : JSON.stringify(json);
    const send = (/** @type {Headers} */ headers) => {
      if (json !== undefined) headers.set("Content-Type", "application/json");
      return this.#send(this.url(path, query), { method, headers, signal, body: content });
    };
    return this.#check(await this.#authorized(send));
  }

  /**
   * Send a request as it is, with the token, and return the response, whatever its status is.
   *
   * @param {string} url
   * @param {Omit<RequestInit, "headers"> & {headers: [name: string, value: string][]}} init
   */
  send(url, { headers, ...init }) {
    return this.#authorized((authorized) => {
      for (const [name, value] of headers) authorized.set(name, value);
      return this.#send(url, { ...init, headers: authorized });
    });
  }

  /**
   * Send a request and return the JSON of the response; undefined for a 204.
   *
   * @template T
   * @param {string} method
   * @param {string} path
   * @param {Content} [content]
   * @returns {Promise<T>}
   */
  async json(method, path, content) {
    return readJSON(await this.request(method, path, content), content?.signal);
  }

  /**
   * Upload a form and report the progress. Only XMLHttpRequest reports it, which only browsers have.
   * Elsewhere, and with a custom `fetch`, `onProgress` is called once, at the end.
   *
   * @template T
   * @param {string} path
   * @param {FormData} form
   * @param {number} size of the form in bytes, approximately
   * @param {OnProgress} onProgress
   * @param {AbortSignal | null} [signal]
   * @returns {Promise<T>}
   */
  async upload(path, form, size, onProgress, signal) {
    if (this.#fetch !== undefined || typeof XMLHttpRequest === "undefined") {
      const body = await /** @type {Promise<T>} */ (this.json("POST", path, { body: form, signal }));
      onProgress({ loaded: size, total: size });
      return body;
    }
    const url = this.url(path);
    const send = (/** @type {Headers} */ headers) =>
      this.#reach(url, signal, () => uploadByXHR(url, headers, form, onProgress, signal));
    return readJSON(await this.#check(await this.#authorized(send)));
  }

  /**
   * Return the response, if it is a chat server's success. A page for people in its place is that of a proxy which
   * asks for a login, or there never was a chat server.
   *
   * @param {Response} response
   */
  async #check(response) {
    if (!response.ok) throw await errorFrom(response);
    if ((response.headers.get("Content-Type") ?? "").startsWith("text/html")) {
      throw this.#known ? loginExpired(response.status) : unexpectedAnswer();
    }
    this.#known = true;
    return response;
  }

  /** @param {string} url @param {RequestInit} init */
  #send(url, init) {
    return this.#reach(url, init.signal, () => (this.#fetch ?? globalThis.fetch)(url, init));
  }

  /**
   * Return the response, whatever it is. Throws only if there is none.
   *
   * @param {string} url
   * @param {AbortSignal | null | undefined} signal
   * @param {() => Promise<Response>} send
   */
  async #reach(url, signal, send) {
    try {
      return await send();
    } catch (error) {
      if (signal?.aborted) throw aborted(signal.reason);
      throw (await this.#isRedirected(url)) ? loginExpired(0, error) : connectionLost(error);
    }
  }

  /**
   * Return whether a request failed because it was sent to another origin, such as that of a login. Browsers say so
   * only of a request that does not follow.
   *
   * @param {string} url
   */
  async #isRedirected(url) {
    if (this.#fetch || !globalThis.document) return false;
    const init = /** @type {const} */ ({ redirect: "manual", cache: "no-store" });
    const response = await fetch(url, init).catch(() => null);
    return response?.type === "opaqueredirect";
  }
}

/** @param {Headers} headers */
const hasCredentials = (headers) => CREDENTIALS.some((name) => headers.has(name));

/** @param {Headers} one @param {Headers} other */
const isSame = (one, other) => CREDENTIALS.every((name) => one.get(name) === other.get(name));

/** @param {Headers} headers @param {string} token of a visitor; "" if there is none */
const withToken = (headers, token) => {
  if (token) headers.set("x-api-key", token); // `Authorization` may be for a proxy in front
  return headers;
};

/** @param {Response} response */
const errorFrom = async (response) => {
  /** @type {Partial<import("../types.js").ErrorBody>} */
  const body = await response.json().catch(() => ({}));
  const { status } = response;
  const requestId = body?.requestId ?? response.headers.get("X-Request-Id") ?? undefined;
  const details = { ...body, status, requestId, retryAfter: retryAfter(response.headers.get("Retry-After")) };
  if (typeof body?.code === "string") return new ChatError(String(body.error), body.code, details);
  // This is not chatproxy's error format, so a proxy answered; for example while chatproxy restarts. chatproxy does not
  // redirect, but a login does, and its page may not take what was sent.
  if (status === 401 || status === 403 || response.redirected) return loginExpired(status);
  const message = `The server answered with status ${status}.`;
  return new ChatError(message, "http_error", { ...details, retryable: status >= 500 });
};

/**
 * Return the milliseconds that a `Retry-After` header, in seconds or as a date, asks for.
 *
 * @param {string | null} text
 */
const retryAfter = (text) => {
  if (text === null || text.trim() === "") return undefined;
  const wait = Number.isFinite(Number(text)) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
};

/** @param {Response} response @param {AbortSignal | null} [signal] */
const readJSON = async (response, signal) => {
  if (response.status === 204) return undefined;
  try {
    return await response.json();
  } catch (error) {
    throw signal?.aborted ? aborted(signal.reason) : connectionLost(error);
  }
};

/**
 * @param {string} url
 * @param {Headers} headers
 * @param {FormData} form
 * @param {OnProgress} onProgress
 * @param {AbortSignal | null} [signal]
 * @returns {Promise<Response>}
 */
const uploadByXHR = (url, headers, form, onProgress, signal) =>
  new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const abort = () => xhr.abort();
    xhr.open("POST", url);
    headers.forEach((value, name) => xhr.setRequestHeader(name, value));
    xhr.upload.onprogress = ({ loaded, total }) => onProgress({ loaded, total });
    xhr.onload = () => {
      const headers = new Headers();
      for (const name of READ_HEADERS) {
        const value = xhr.getResponseHeader(name);
        if (value) headers.set(name, value);
      }
      const response = new Response(xhr.responseText, { status: xhr.status, headers });
      const redirected = xhr.responseURL !== new URL(url, location.href).href;
      resolve(Object.defineProperty(response, "redirected", { value: redirected }));
    };
    xhr.onerror = () => reject(new TypeError("The upload failed."));
    xhr.onabort = () => reject(aborted(signal?.reason));
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) return reject(aborted(signal.reason));
    xhr.send(form);
  });
