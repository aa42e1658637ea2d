// The client: chatproxy's HTTP API as functions. Runs wherever `fetch` does, and needs no DOM.

import { AnswerStream } from "./client/answer-stream.js";
import { Http } from "./client/http.js";

export { ChatError } from "./client/chat-error.js";

/** @type {typeof import("./chat-client.js").createChatClient} */
export const createChatClient = (options) => {
  const http = new Http(options ?? {});
  return {
    baseUrl: http.baseUrl,

    sendMessageStream: (sessionId, request, onChunk, onComplete, onError) => {
      const { body, signal } = question(request);
      const endpoint = "messages/stream";
      return watched(new AnswerStream(http, sessionId, { endpoint, body }, { onChunk, onComplete, onError }, signal));
    },

    resume: (sessionId, messageId, cursor, { signal, ...callbacks } = {}) =>
      watched(new AnswerStream(http, sessionId, { messageId, cursor }, callbacks, signal)),

    sendMessage: async (sessionId, request) => {
      const { body, signal } = question(request);
      const stream = new AnswerStream(http, sessionId, { endpoint: "messages", body }, {}, signal);
      await stream.watch();
      return /** @type {import("./types.js").AnswerJSON} */ (stream.json);
    },

    sessions: {
      create: (fields = {}) => http.json("POST", "chat/sessions", { json: fields }),
      list: ({ signal, ...query } = {}) => http.json("GET", "chat/sessions", { query, signal }),
      get: (id) => http.json("GET", session(id)),
      update: (id, fields) => http.json("PATCH", session(id), { json: fields }),
      delete: (id) => http.json("DELETE", session(id)),
      export: async (id, format = "json") =>
        (await http.request("GET", `${session(id)}/export`, { query: { format } })).blob(),
    },

    messages: {
      list: (id, { signal, ...query } = {}) => http.json("GET", `${session(id)}/messages`, { query, signal }),
      cancel: (id, messageId) => http.json("POST", `${session(id)}/messages/${messageId}/cancel`),
    },

    documents: {
      create: (document, { onProgress, signal } = {}) => {
        if (!(document instanceof Blob)) return http.json("POST", "documents", { json: document, signal });
        const form = new FormData();
        if ("name" in document) form.append("file", document, nameInForm(/** @type {File} */ (document).name));
        else form.append("file", document);
        if (onProgress) return http.upload("documents", form, document.size, onProgress, signal);
        return http.json("POST", "documents", { body: form, signal });
      },
      list: ({ signal, ...query } = {}) => http.json("GET", "documents", { query, signal }),
      get: (id) => http.json("GET", `documents/${id}`),
      delete: (id) => http.json("DELETE", `documents/${id}`),
      search: (id, q, { signal } = {}) => http.json("GET", `documents/${id}/search`, { query: { q }, signal }),
    },

    models: () => http.json("GET", "models"),
  };
};

/** @param {string} id */
const session = (id) => `chat/sessions/${encodeURIComponent(id)}`;

/** The server decodes it; but readers of form headers take a `;`, even in quotes, for the end of the name. @param {string} name */
const nameInForm = (name) => name.replaceAll(";", "%3B");

/** What is posted, the same at every attempt. @param {import("./types.js").SendRequest} request */
const question = ({ signal, ...fields }) => ({ body: { ...fields, clientMessageId: fields.clientMessageId ?? newId() }, signal });

/** `crypto.randomUUID` is for secure origins; an id only has to be new to its session. */
const newId = () => globalThis.crypto?.randomUUID?.() ?? [0, 0, 0].map(() => Math.random().toString(36).slice(2)).join("-");

/** A promise of the end that is also all the events. @param {AnswerStream} stream */
const watched = (stream) => {
  const ended = stream.watch();
  ended.catch(() => {}); // whoever only iterates has seen the `error` event
  return Object.assign(ended, {
    cancel: () => stream.cancel(),
    [Symbol.asyncIterator]: () => stream.events[Symbol.asyncIterator](),
  });
};
