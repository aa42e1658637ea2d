// One request to chatproxy: its address, headers and JSON; whatever goes wrong as a ChatError.

import { aborted, ChatError, connectionLost } from "./chat-error.js";

/**
 * @typedef {import("../types.js").ChatClientOptions} ChatClientOptions
 * @typedef {Record<string, string | number | null | undefined>} Query
 * @typedef {{query?: Query, json?: unknown, body?: BodyInit, signal?: AbortSignal | null}} Content
 */

export class Http {
  #headers;
  #fetch;

  /** @param {ChatClientOptions} options */
  constructor({ baseUrl, headers, fetch } = {}) {
    this.baseUrl = String(baseUrl ?? ownBase()).replace(/\/+$/, "");
    this.#headers = headers;
    this.#fetch = fetch;
  }

  /** The headers of the next request, asked for anew each time: tokens expire. */
  async headers() {
    const headers = this.#headers;
    return new Headers(typeof headers === "function" ? await headers() : headers);
  }

  /** @param {string} path @param {Query} [query] */
  url(path, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return `${this.baseUrl}/api/${path}${given.length > 0 ? `?${search}` : ""}`;
  }

  /**
   * The response, when it is a good one.
   * @param {string} method @param {string} path @param {Content} [content]
   */
  async request(method, path, { query, json, body, signal } = {}) {
    const headers = await this.headers();
    if (json !== undefined) headers.set("Content-Type", "application/json");
    const init = { method, headers, signal, body: json === undefined ? body : JSON.stringify(json) };
    return checked(await this.#ask(this.url(path, query), init));
  }

  /** @param {string} url @param {RequestInit} init @returns {Promise<Response>} */
  async #ask(url, init) {
    try {
      return await (this.#fetch ?? globalThis.fetch)(url, init);
    } catch (error) {
      throw init.signal?.aborted ? aborted(init.signal.reason) : connectionLost(error);
    }
  }

  /** @param {string} method @param {string} path @param {Content} [content] @returns {Promise<any>} */
  async json(method, path, content) {
    return bodyOf(await this.request(method, path, content), content?.signal);
  }

  /**
   * Sends a form, and tells how much of it is out. Only XMLHttpRequest can tell, and browsers alone
   * have it; elsewhere, and where the `fetch` is not the usual one, all is told at the end.
   * @param {string} path @param {FormData} form @param {number} size of the form, about
   * @param {(progress: import("../types.js").UploadProgress) => void} onProgress
   * @param {AbortSignal | null} [signal]
   */
  async upload(path, form, size, onProgress, signal) {
    if (this.#fetch !== undefined || typeof XMLHttpRequest === "undefined") {
      const answer = await this.json("POST", path, { body: form, signal });
      onProgress({ loaded: size, total: size });
      return answer;
    }
    const response = await uploadByXHR(this.url(path), await this.headers(), form, onProgress, signal);
    return bodyOf(await checked(response));
  }
}

/** The folder above the one that this module came from: chatproxy serves it as `static/`. */
const ownBase = () => {
  const here = import.meta.url;
  return /^https?:/.test(here) ? new URL("..", here).href : ""; // bundled: the page's own origin
};

/** @param {Response} response */
const checked = async (response) => {
  if (response.ok) return response;
  throw await failure(response);
};

/** @param {Response} response */
const failure = async (response) => {
  /** @type {import("../types.js").ErrorBody} */
  const body = await response.json().catch(() => ({}));
  const { status } = response;
  const more = { ...body, status, retryAfter: retryAfter(response.headers.get("Retry-After")) };
  if (typeof body?.code === "string") return new ChatError(String(body.error), body.code, more);
  // Not chatproxy's own words, so a proxy's in between: while chatproxy starts anew, for example.
  return new ChatError(`The server answered with status ${status}.`, "http_error", { ...more, retryable: status >= 500 });
};

/** Milliseconds from now, of seconds or a date. @param {string | null} text */
const retryAfter = (text) => {
  if (text === null || text.trim() === "") return undefined;
  const wait = Number.isFinite(Number(text)) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
};

/** @param {Response} response @param {AbortSignal | null} [signal] */
const bodyOf = async (response, signal) => {
  if (response.status === 204) return undefined;
  try {
    return await response.json();
  } catch (error) {
    throw signal?.aborted ? aborted(signal.reason) : connectionLost(error);
  }
};

/**
 * @param {string} url @param {Headers} headers @param {FormData} form
 * @param {(progress: import("../types.js").UploadProgress) => void} onProgress
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
      const after = xhr.getResponseHeader("Retry-After");
      resolve(new Response(xhr.responseText, { status: xhr.status, headers: after ? { "Retry-After": after } : {} }));
    };
    xhr.onerror = () => reject(connectionLost());
    xhr.onabort = () => reject(aborted(signal?.reason));
    xhr.onloadend = () => signal?.removeEventListener("abort", abort);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) return reject(aborted(signal.reason));
    xhr.send(form);
  });
