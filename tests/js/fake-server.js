// A `fetch` whose every response the test decides, and a clock without waiting.

/** @typedef {{url: string, method: string, path: string, body: any, headers: Headers, signal: AbortSignal}} SentRequest */

/** Return a server that answers request after request. A step is a Response, or a function that returns one or throws. */
export const fakeServer = (...steps) => {
  /** @type {SentRequest[]} */
  const requests = [];
  const fetch = async (url, { method, body, headers, signal }) => {
    const request = { url, method, path: url.replace(BASE, ""), headers, signal };
    requests.push({ ...request, body: typeof body === "string" ? JSON.parse(body) : body });
    signal?.throwIfAborted();
    const step = steps[requests.length - 1] ?? (() => Promise.reject(new Error("no more requests were expected")));
    return typeof step === "function" ? step(requests.at(-1)) : step;
  };
  return { requests, options: { baseUrl: BASE, fetch } };
};

export const BASE = "http://chat.test/base";
export const POST = "/api/chat/sessions/s/messages/stream";

const frame = (event) => new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`);

/** Return a stream of these events. It then ends; with `cut` as a broken connection, with `hang` not at all. */
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
export const errorResponse = (status, body = undefined, headers = {}) =>
  new Response(body === undefined ? "<html>" : JSON.stringify(body), { status, headers });
export const json = (body, status = 200) =>
  new Response(JSON.stringify(body), { status, headers: { "Content-Type": "application/json" } });
export const unreachable = () => Promise.reject(new TypeError("fetch failed"));

export const start = { type: "start", userMessageId: 1, assistantMessageId: 2, documentIds: [7], sources: [], model: "m", modelReason: null, sessionId: "s" };
export const chunk = (content, cursor) => ({ type: "chunk", content, cursor });
export const done = (fullResponse, more = {}) => ({
  type: "done", assistantMessageId: 2, fullResponse, sources: [{ documentId: 7 }],
  finishReason: "stop", model: "m", usage: null, cursor: `0.${fullResponse.length}.end`, ...more,
});

const SILENCE = 60_000;

/** Let delays take no time, and return the list of them; except for the limit on silence, which is never reached. */
export const fastClock = (t) => {
  const delays = [];
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (act, ms) => {
    if (ms === SILENCE) return setTimeout(act, ms);
    delays.push(ms);
    return setTimeout(act, 0);
  };
  t.after(() => void (globalThis.setTimeout = setTimeout));
  return delays;
};

/** Return callbacks, and the list of their calls in order. */
export const recorder = () => {
  const calls = [];
  return {
    calls,
    text: () => calls.filter(([name]) => name === "chunk").map(([, text]) => text).join(""),
    callbacks: /** @type {const} */ ([
      (text) => calls.push(["chunk", text]),
      (...values) => calls.push(["complete", ...values]),
      (error) => calls.push(["error", error]),
    ]),
  };
};

export const all = async (stream) => {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
};
