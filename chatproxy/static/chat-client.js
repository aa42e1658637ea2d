// The client: chatproxy's HTTP API as functions. It runs wherever there is `fetch` and needs no DOM.

import { AnswerStream } from "./client/answer-stream.js";
import { Http } from "./client/http.js";
import { newMessageId } from "./client/message-id.js";

export { ChatError } from "./client/chat-error.js";

/**
 * Create a client for one server.
 *
 * @type {typeof import("./chat-client.js").createChatClient}
 */
export const createChatClient = (options) => {
  const http = new Http(options ?? {});
  /** @type {Set<AnswerStream>} */
  const watched = new Set();

  /**
   * Start watching, and return the promise that is also the iterable of events.
   *
   * @param {AnswerStream} stream
   */
  const watch = (stream) => {
    watched.add(stream);
    const ended = stream.watch().finally(() => watched.delete(stream));
    ended.catch(() => {}); // callers that only iterate get the `error` event instead
    return Object.assign(ended, {
      cancel: () => stream.cancel(),
      [Symbol.asyncIterator]: () => stream.events[Symbol.asyncIterator](),
    });
  };

  return {
    baseUrl: http.baseUrl,

    sendMessageStream: (sessionId, request, onChunk, onComplete, onError) => {
      const post = { endpoint: "messages/stream", body: requestBody(request) };
      return watch(new AnswerStream(http, sessionId, post, { onChunk, onComplete, onError }, request.signal));
    },

    resume: (sessionId, messageId, cursor, { signal, ...callbacks } = {}) =>
      watch(new AnswerStream(http, sessionId, { messageId, cursor }, callbacks, signal)),

    sendMessage: async (sessionId, request) => {
      const post = { endpoint: "messages", body: requestBody(request) };
      const stream = new AnswerStream(http, sessionId, post, {}, request.signal);
      await stream.watch();
      return stream.whole;
    },

    sessions: {
      create: (fields = {}) => http.json("POST", "chat/sessions", { json: fields }),
      list: ({ signal, ...query } = {}) => http.json("GET", "chat/sessions", { query, signal }),
      get: (id) => http.json("GET", sessionPath(id)),
      update: (id, fields) => http.json("PATCH", sessionPath(id), { json: fields }),
      delete: (id) => http.json("DELETE", sessionPath(id)),
      exportAll: async () => (await http.request("GET", "chat/export")).blob(),
      import: (file, { signal } = {}) =>
        http.json("POST", "chat/sessions/import", { body: new Blob([file], { type: "application/json" }), signal }),
      export: async (id, format = "json") =>
        (await http.request("GET", `${sessionPath(id)}/export`, { query: { format } })).blob(),
    },

    messages: {
      list: (id, { signal, ...query } = {}) =>
        http.json("GET", `${sessionPath(id)}/messages`, { query, signal }),
      versions: (id, messageId, { signal, ...query } = {}) =>
        http.json("GET", `${sessionPath(id)}/messages/${messageId}/versions`, { query, signal }),
      delete: (id, messageId) => http.json("DELETE", `${sessionPath(id)}/messages/${messageId}`),
      cancel: (id, messageId) => {
        const own = [...watched].filter((stream) => stream.isOf(id, messageId));
        const goOn = own.map((stream) => stream.pause());
        return /** @type {Promise<import("./types.js").Message>} */ (
          http.json("POST", `${sessionPath(id)}/messages/${messageId}/cancel`)
        ).finally(() => goOn.forEach((act) => act()));
      },
      image: async (id, messageId, number, { signal } = {}) => {
        const path = `${sessionPath(id)}/messages/${messageId}/images/${number}`;
        return (await http.request("GET", path, { signal })).blob();
      },
    },

    documents: {
      create: (document, { onProgress, encoding, signal } = {}) => {
        if (!(document instanceof Blob)) return http.json("POST", "documents", { json: document, signal });
        const form = new FormData();
        if (!("name" in document)) form.append("file", document);
        else form.append("file", document, escapeFileName(String(document.name))); // Node 18 has no File
        const path = encoding ? `documents?encoding=${encodeURIComponent(encoding)}` : "documents";
        if (onProgress) return http.upload(path, form, document.size, onProgress, signal);
        return http.json("POST", path, { body: form, signal });
      },
      list: ({ signal, ...query } = {}) => http.json("GET", "documents", { query, signal }),
      get: (id) => http.json("GET", `documents/${id}`),
      delete: (id) => http.json("DELETE", `documents/${id}`),
      search: (id, q, { signal } = {}) =>
        http.json("GET", `documents/${id}/search`, { query: { q }, signal }),
    },

    models: () => http.json("GET", "models"),
  };
};

export const chatService = /* @__PURE__ */ createChatClient();

/** @param {string} id */
const sessionPath = (id) => `chat/sessions/${encodeURIComponent(id)}`;

/**
 * Escape a `;`, which parsers of multipart headers take for the end of the name even inside quotes. The
 * server decodes it.
 *
 * @param {string} name
 */
const escapeFileName = (name) => name.replaceAll(";", "%3B");

/**
 * Return the JSON body of a request. Its clientMessageId makes every attempt the same message to the server.
 *
 * @param {import("./types.js").SendRequest} request
 */
const requestBody = ({ signal: _, ...fields }) => ({
  ...fields,
  clientMessageId: fields.clientMessageId ?? newMessageId(),
});
