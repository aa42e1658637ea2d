// A `fetch` whose every answer the test decides, and a clock that does not make it wait.

/** @typedef {{url: string, method: string, path: string, body: any, headers: Headers, signal: AbortSignal}} Asked */

/** Answers one request after the other; a step is a Response, or makes one, or throws. */
export const fakeServer = (...steps) => {
  /** @type {Asked[]} */
  const asked = [];
  const fetch = async (url, { method, body, headers, signal }) => {
    const request = { url, method, path: url.replace(BASE, ""), headers, signal };
    asked.push({ ...request, body: typeof body === "string" ? JSON.parse(body) : body });
    signal?.throwIfAborted();
    const step = steps[asked.length - 1] ?? (() => Promise.reject(new Error("nothing more was expected")));
    return typeof step === "function" ? step(asked.at(-1)) : step;
  };
  return { asked, options: { baseUrl: BASE, fetch } };
};

export const BASE = "http://chat.test/base";
export const POST = "/api/chat/sessions/s/messages/stream";

const frame = (event) => new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`);

/** A stream of these events that then ends: `cut` as a broken connection, `hang` never. */
export const stream = (events, { cut = false, hang = false, signal = undefined } = {}) => {
  const pieces = events.map((event) => (typeof event === "string" ? new TextEncoder().encode(event) : frame(event)));
  const body = new ReadableStream({
    start: (controller) => signal?.addEventListener("abort", () => controller.error(signal.reason)),
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else if (cut) controller.error(new TypeError("terminated"));
      else if (!hang) controller.close();
    },
  }, { highWaterMark: 0 });
  return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
};

export const cut = (...events) => stream(events, { cut: true });
export const refused = (status, body = undefined, headers = {}) =>
  new Response(body === undefined ? "<html>" : JSON.stringify(body), { status, headers });
export const json = (body, status = 200) =>
  new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
export const unreachable = () => Promise.reject(new TypeError("fetch failed"));

export const start = { type: "start", userMessageId: 1, assistantMessageId: 2, sources: [], model: "m", modelReason: null, sessionId: "s" };
export const chunk = (content, cursor) => ({ type: "chunk", content, cursor });
export const done = (fullResponse, more = {}) => ({
  type: "done", assistantMessageId: 2, fullResponse, sources: [{ documentId: 7 }],
  finishReason: "stop", model: "m", usage: null, cursor: `0.${fullResponse.length}.end`, ...more,
});

const SILENCE = 60_000;

/** Waits take no time, and are noted; but for that for a silent server, which never comes. */
export const fastClock = (t) => {
  const waits = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (act, ms) => {
    if (ms === SILENCE) return setTimeout(act, ms);
    waits.push(ms);
    return setTimeout(act, 0);
  };
  t.after(() => void (globalThis.setTimeout = setTimeout));
  return waits;
};

/** What the callbacks were told, in order. */
export const recorder = () => {
  const told = [];
  return {
    told,
    text: () => told.filter(([name]) => name === "chunk").map(([, text]) => text).join(""),
    callbacks: /** @type {const} */ ([
      (text) => told.push(["chunk", text]),
      (...values) => told.push(["complete", ...values]),
      (error) => told.push(["error", error]),
    ]),
  };
};

export const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
