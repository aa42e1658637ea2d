// The client against a server whose every response is decided here: its requests, retries, callbacks and events.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ChatError, chatService, createChatClient } from "../../chatproxy/static/chat-client.js";
import { all, BASE, chunk, cut, done, fakeServer, fastClock, json, POST, recorder, errorResponse, start, stream, unreachable } from "./fake-server.js";

const client = (server, more = {}) => createChatClient({ ...server.options, ...more });
const types = (events) => events.map(({ type, state }) => state ?? type);
const sources = [{ documentId: 7 }];
const warning = (code, message = "Look.") => ({ type: "warning", code, message });

const watch = async (server, request = { message: "Hi" }, more = {}) => {
  const recorded = recorder();
  const answer = client(server, more).sendMessageStream("s", request, ...recorded.callbacks);
  const value = await answer;
  return { ...recorded, answer, value, events: await all(answer), requests: server.requests };
};

// -- the call

test("chatService is a client of the page's server", () => {
  assert.equal(chatService.baseUrl, ""); // no server has sent this module
  assert.deepEqual(Object.keys(chatService), Object.keys(createChatClient({ baseUrl: "" })));
});

test("sendMessageStream posts the message and calls the callbacks", async () => {
  const { calls, requests, value } = await watch(
    fakeServer(stream([start, chunk("Hel", "0.3"), chunk("lo", "0.5"), done("Hello")])),
    { message: "Hi", documentIds: [7, 8], model: "auto", signal: new AbortController().signal },
  );
  assert.deepEqual(calls, [["chunk", "Hel"], ["chunk", "lo"], ["complete", "Hello", 2, sources]]);
  const [{ path, method, headers, body: { clientMessageId, ...body } }] = requests;
  assert.deepEqual([method, path, body], ["POST", POST, { message: "Hi", documentIds: [7, 8], model: "auto" }]);
  assert.equal(headers.get("Content-Type"), "application/json");
  assert.match(clientMessageId, /^[A-Za-z0-9._:-]{16,64}$/);
  assert.equal(value.fullResponse, "Hello");
});

test("the caller's own clientMessageId is used", async () => {
  const { requests } = await watch(fakeServer(stream([start, done("")])), { message: "Hi", clientMessageId: "mine" });
  assert.equal(requests[0].body.clientMessageId, "mine");
});

test("there is an id on insecure origins and without `crypto` too", async (t) => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "crypto");
  t.after(() => Object.defineProperty(globalThis, "crypto", /** @type {PropertyDescriptor} */ (own)));
  const ids = new Set();
  for (const value of [{ getRandomValues: (bytes) => bytes.fill(7) }, undefined, undefined]) {
    Object.defineProperty(globalThis, "crypto", { value, configurable: true });
    const { requests } = await watch(fakeServer(stream([start, done("")])));
    assert.match(requests[0].body.clientMessageId, /^[A-Za-z0-9._:-]{16,64}$/);
    ids.add(requests[0].body.clientMessageId);
  }
  assert.equal(ids.size, 3);
});

test("headers may be an object, or a function that is called before each request", async (t) => {
  fastClock(t);
  const fixed = await watch(fakeServer(stream([start, done("")])), undefined, { headers: { Authorization: "Bearer a" } });
  assert.equal(fixed.requests[0].headers.get("Authorization"), "Bearer a");
  let number = 0;
  const headers = async () => ({ Authorization: `Bearer ${(number += 1)}` });
  const { requests } = await watch(fakeServer(unreachable, stream([start, done("")])), undefined, { headers });
  assert.deepEqual(requests.map((request) => request.headers.get("Authorization")), ["Bearer 1", "Bearer 2"]);
});

// -- the returned object

test("the answer is a promise that settles after onComplete", async () => {
  const order = [];
  const answer = client(fakeServer(stream([start, done("x")]))).sendMessageStream("s", { message: "Hi" }, null, async () => {
    await new Promise(setImmediate);
    order.push("complete");
  });
  assert.ok(answer instanceof Promise);
  await answer.then(() => order.push("settled"));
  assert.deepEqual(order, ["complete", "settled"]);
});

test("it settles after onError, and does not reject then", async () => {
  const order = [];
  const server = fakeServer(errorResponse(404, { error: "No.", code: "not_found" }));
  const answer = client(server).sendMessageStream("s", { message: "Hi" }, null, null, async () => {
    await new Promise(setImmediate);
    order.push("error");
  });
  assert.equal(await answer, undefined);
  assert.deepEqual(order, ["error"]);
});

test("it rejects without onError, and leaves no unhandled rejection", async (t) => {
  const unhandled = t.mock.fn();
  process.on("unhandledRejection", unhandled);
  t.after(() => process.off("unhandledRejection", unhandled));
  const server = () => fakeServer(errorResponse(404, { error: "No.", code: "not_found" }));
  await assert.rejects(client(server()).sendMessageStream("s", { message: "Hi" }), { code: "not_found", message: "No.", status: 404 });
  const ignored = client(server()).sendMessageStream("s", { message: "Hi" });
  assert.deepEqual(types(await all(ignored)), ["error"]);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(unhandled.mock.callCount(), 0);
});

test("it iterates over all events, during and after the answer, any number of times", async () => {
  const events = [
    start,
    { type: "status", state: "generating", elapsedMs: 1 },
    { type: "warning", code: "history_truncated", message: "Short." },
    { type: "thinking", content: "hm", cursor: "2.0" },
    chunk("x", "2.1"),
    done("x"),
  ];
  const answer = client(fakeServer(stream(events))).sendMessageStream("s", { message: "Hi" });
  const [one, other] = await Promise.all([all(answer), all(answer)]);
  assert.deepEqual(one, events);
  assert.deepEqual(other, events);
  await answer;
  assert.deepEqual(await all(answer), events);
});

test("breaking out of an iteration disturbs nothing", async () => {
  const answer = client(fakeServer(stream([start, chunk("x", "0.1"), done("x")]))).sendMessageStream("s", { message: "Hi" });
  for await (const event of answer) if (event.type === "start") break;
  assert.deepEqual(types(await all(answer)), ["start", "chunk", "done"]);
});

test("events of unknown types are ignored", async () => {
  const { calls, events } = await watch(fakeServer(stream([start, { type: "confetti" }, "event: odd\ndata: {\"a\":1}\n\n", done("")])));
  assert.deepEqual(types(events), ["start", "done"]);
  assert.deepEqual(calls, [["complete", "", 2, sources]]);
});

test("events after the terminal event are ignored", async () => {
  const { events } = await watch(fakeServer(stream([start, done(""), chunk("late", "0.4"), done("late")])));
  assert.deepEqual(types(events), ["start", "done"]);
});

test("an exception in a callback is reported and stops nothing", async (t) => {
  const report = t.mock.method(console, "error", () => {});
  const answer = client(fakeServer(stream([start, chunk("a", "0.1"), chunk("b", "0.2"), done("ab")]))).sendMessageStream(
    "s", { message: "Hi" }, () => { throw new Error("mine"); },
  );
  assert.equal((await answer).fullResponse, "ab");
  assert.equal(report.mock.callCount(), 2);
});

// -- reconnecting

test("a cut before `start` posts the message again with the same clientMessageId", async (t) => {
  fastClock(t);
  const { requests, calls } = await watch(fakeServer(unreachable, cut(), cut("data: {\"type\":\"st"), stream([start, chunk("x", "0.1"), done("x")])));
  assert.deepEqual(requests.map(({ method, path }) => `${method} ${path}`), Array(4).fill(`POST ${POST}`));
  for (const { body } of requests) assert.deepEqual(body, requests[0].body);
  assert.deepEqual(calls, [["chunk", "x"], ["complete", "x", 2, sources]]);
});

test("a cut after `start` resumes at the last cursor", async (t) => {
  fastClock(t);
  const { requests, text, calls, events } = await watch(
    fakeServer(
      cut(start),
      cut(start, { type: "thinking", content: "hm", cursor: "2.0" }, chunk("a", "2.1")),
      cut(start, chunk("b", "2.2"), "data: {\"type\":\"chunk\",\"content\":\"lo"),
      stream([start, chunk("c👋", "2.4"), done("abc👋")]),
    ),
  );
  const resumed = "GET /api/chat/sessions/s/messages/2/stream";
  assert.deepEqual(requests.map(({ method, path }) => `${method} ${path}`), [`POST ${POST}`, resumed, `${resumed}?after=2.1`, `${resumed}?after=2.2`]);
  assert.equal(text(), "abc👋");
  assert.deepEqual(calls.at(-1), ["complete", "abc👋", 2, sources]);
  assert.deepEqual(types(events), ["start", "reconnecting", "thinking", "chunk", "reconnecting", "chunk", "reconnecting", "chunk", "done"]);
});

test("a clean end without a terminal event counts as a cut", async (t) => {
  fastClock(t);
  const { text, requests } = await watch(fakeServer(stream([start, chunk("a", "0.1")]), stream([start, chunk("b", "0.2"), done("ab")])));
  assert.equal(text(), "ab");
  assert.equal(requests.length, 2);
});

test("a frame that is not JSON counts as a cut", async (t) => {
  fastClock(t);
  const { text } = await watch(fakeServer(stream([start, chunk("a", "0.1"), "data: {oops\n\n"], { hang: true }), stream([start, done("a")])));
  assert.equal(text(), "a");
});

test("a silent connection counts as a cut", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const server = fakeServer(stream([start, chunk("a", "0.1")], { hang: true }), stream([start, chunk("b", "0.2"), done("ab")]));
  const recorded = recorder();
  const answer = client(server).sendMessageStream("s", { message: "Hi" }, ...recorded.callbacks);
  while (recorded.text() !== "a") await new Promise(setImmediate);
  await new Promise(setImmediate);
  t.mock.timers.tick(59_000);
  await new Promise(setImmediate);
  assert.equal(server.requests.length, 1);
  t.mock.timers.tick(1_000);
  await new Promise(setImmediate);
  t.mock.timers.tick(1_000);
  await answer;
  assert.equal(recorded.text(), "ab");
});

test("after `reset`, text that was passed on is not passed on again", async (t) => {
  fastClock(t);
  const { text, events } = await watch(
    fakeServer(
      cut(start, { type: "thinking", content: "hm, ", cursor: "4.0" }, chunk("Hello 👋 wor", "4.11")),
      cut({ ...start, reset: true }, { type: "thinking", content: "h", cursor: "1.0" }),
      cut(start, { type: "thinking", content: "m, so", cursor: "6.0" }, chunk("Hello 👋 w", "6.9")),
      stream([start, chunk("orld", "6.13"), done("Hello 👋 world")]),
    ),
  );
  assert.equal(text(), "Hello 👋 world");
  assert.equal(events.filter(({ type }) => type === "thinking").map(({ content }) => content).join(""), "hm, so");
  assert.deepEqual(events.filter(({ type }) => type === "start"), [start], "the repeated start is not passed on");
});

test("a `reset` in mid-stream, by which the answer becomes thinking, is passed on with all of the text", async () => {
  const reset = { ...start, reset: true };
  const thinking = { type: "thinking", content: "Let me see.", cursor: "11.0" };
  for (const repeated of [{ ...thinking }, { ...thinking, content: "Let me see. And so on.", cursor: "22.0" }]) {
    const { events } = await watch(
      fakeServer(stream([start, chunk("Let me", "0.6"), chunk(" see.", "0.11"), reset, repeated, chunk("Hello!", "11.6"), done("Hello!")])),
    );
    assert.deepEqual(events.slice(-4), [reset, repeated, chunk("Hello!", "11.6"), done("Hello!")]);
  }
});

test("after `reset` to a shorter text, nothing is repeated and the terminal event has the right text", async (t) => {
  fastClock(t);
  const interrupted = { type: "error", error: "The server ended.", code: "interrupted", retryable: true, assistantMessageId: 2, fullResponse: "Hello", cursor: "0.5.end" };
  const { text, calls } = await watch(fakeServer(cut(start, chunk("Hello wor", "0.9")), stream([{ ...start, reset: true }, chunk("Hello", "0.5"), interrupted])));
  assert.equal(text(), "Hello wor");
  const [, error] = calls.at(-1);
  assert.deepEqual([error.code, error.fullResponse], ["interrupted", "Hello"]);
});

test("warnings repeated by a resumed stream are passed on once", async (t) => {
  fastClock(t);
  const { events } = await watch(
    fakeServer(cut(start, warning("a"), warning("b")), stream([start, warning("a"), warning("b"), warning("a", "Again."), done("")])),
  );
  assert.deepEqual(events.filter(({ type }) => type === "warning"), [warning("a"), warning("b"), warning("a", "Again.")]);
});

test("a warning that replaced another between two connections is passed on", async (t) => {
  fastClock(t);
  const { events } = await watch(fakeServer(cut(start, warning("a")), stream([start, warning("b"), done("")])));
  assert.deepEqual(events.filter(({ type }) => type === "warning"), [warning("a"), warning("b")]);
});

test("the delays grow with jitter until it gives up", async (t) => {
  const delays = fastClock(t);
  const { calls, requests, answer } = await watch(fakeServer(...Array(11).fill(unreachable)));
  assert.equal(requests.length, 11);
  const longest = [100, 200, 400, 800, 1600, 3200, 6400, 8000, 8000, 8000];
  assert.equal(delays.length, longest.length);
  delays.forEach((wait, index) => assert.ok(wait >= longest[index] / 2 && wait <= longest[index], `${wait}`));
  assert.ok(new Set(delays.slice(-3)).size > 1, "jitter");
  const [[name, error]] = calls;
  assert.deepEqual([name, error.code, error.retryable, calls.length], ["error", "connection_lost", true, 1]);
  assert.equal(error.message, "The connection to the server was lost; try again.");
  assert.equal(error.cause.message, "fetch failed");
  assert.deepEqual(types(await all(answer)), [...Array(10).fill("reconnecting"), "error"]);
});

test("new text resets the count of failures; `start` alone does not", async (t) => {
  fastClock(t);
  const steps = Array.from({ length: 30 }, (_, index) => cut(start, chunk("x", `0.${index + 1}`)));
  const { text, calls } = await watch(fakeServer(...steps, stream([start, done("x".repeat(30))])));
  assert.equal(text(), "x".repeat(30));
  assert.equal(calls.at(-1)[0], "complete");
  const stuck = await watch(fakeServer(...Array.from({ length: 11 }, () => cut(start))));
  assert.equal(stuck.calls[0][1].code, "connection_lost");
});

test("onError carries the code and the text so far", async (t) => {
  fastClock(t);
  const lost = await watch(fakeServer(cut(start, chunk("so far", "0.6")), ...Array(11).fill(unreachable)));
  const [, error] = lost.calls.at(-1);
  assert.ok(error instanceof ChatError && error instanceof Error);
  assert.deepEqual([error.code, error.fullResponse, error.assistantMessageId], ["connection_lost", "so far", 2]);
  const event = { type: "error", error: "Ollama ended.", code: "upstream_incomplete", retryable: true, assistantMessageId: 2, fullResponse: "all of it", cursor: "0.9.end" };
  const failed = await watch(fakeServer(stream([start, chunk("all of it", "0.9"), event])));
  assert.equal(failed.requests.length, 1);
  const [, serverError] = failed.calls.at(-1);
  assert.deepEqual([serverError.message, serverError.code, serverError.fullResponse, serverError.retryable], ["Ollama ended.", "upstream_incomplete", "all of it", true]);
  assert.deepEqual(failed.events.at(-1), event);
});

for (const [status, code] of [[429, "too_many_subscribers"], [503, "overloaded"]]) {
  test(`${status} waits for Retry-After`, async (t) => {
    const delays = fastClock(t);
    const { requests, calls, events } = await watch(
      fakeServer(errorResponse(status, { error: "Later.", code }, { "Retry-After": "3" }), stream([start, done("")])),
    );
    assert.deepEqual(types(events), ["start", "done"], "no connection was lost");
    assert.ok(delays[0] >= 3_000 && delays[0] < 3_200, `${delays}`);
    assert.equal(requests[0].body.clientMessageId, requests[1].body.clientMessageId);
    assert.equal(calls[0][0], "complete");
  });
  test(`${status} on a resume waits too; Retry-After may be a date`, async (t) => {
    const delays = fastClock(t);
    const later = new Date(Date.now() + 5_000).toUTCString();
    const { text } = await watch(
      fakeServer(cut(start, chunk("a", "0.1")), errorResponse(status, { error: "Later.", code }, { "Retry-After": later }), stream([start, chunk("b", "0.2"), done("ab")])),
    );
    assert.ok(delays[1] > 3_000 && delays[1] < 5_400, `${delays}`);
    assert.equal(text(), "ab");
  });
}

test("503 is retried without Retry-After, but not for `no_models` or an hour's wait", async (t) => {
  fastClock(t);
  const starting = await watch(fakeServer(errorResponse(503, { error: "Restarting.", code: "shutting_down" }), stream([start, done("")])));
  assert.equal(starting.calls[0][0], "complete");
  const empty = await watch(fakeServer(errorResponse(503, { error: "ollama pull llama3.2", code: "no_models" })));
  assert.equal(empty.calls[0][1].code, "no_models");
  const full = await watch(fakeServer(errorResponse(503, { error: "Later.", code: "overloaded" }, { "Retry-After": "3600" })));
  assert.deepEqual([full.calls[0][1].code, full.calls[0][1].retryAfter], ["overloaded", 3_600_000]);
});

for (const status of [400, 401, 403, 404, 409, 413, 422]) {
  test(`${status} is not retried`, async () => {
    const { requests, calls, events } = await watch(
      fakeServer(errorResponse(status, { error: "No.", code: "some_code", field: "model", activeMessageId: 9 })),
    );
    assert.equal(requests.length, 1);
    const [[name, error]] = calls;
    assert.deepEqual([name, error.code, error.message, error.status, error.field, error.activeMessageId], ["error", "some_code", "No.", status, "model", 9]);
    assert.equal(error.retryable, status === 409);
    assert.deepEqual(events, [{ type: "error", error: "No.", code: "some_code", retryable: status === 409, assistantMessageId: null, fullResponse: "", cursor: "", field: "model" }]);
  });
}

test("a 4xx on a resume is not retried, and keeps the text so far", async (t) => {
  fastClock(t);
  const { calls } = await watch(fakeServer(cut(start, chunk("a", "0.1")), errorResponse(404, { error: "Gone.", code: "not_found" })));
  assert.deepEqual([calls.at(-1)[1].code, calls.at(-1)[1].fullResponse], ["not_found", "a"]);
});

test("a proxy's own 502 is retried, chatproxy's is not", async (t) => {
  fastClock(t);
  const proxied = await watch(fakeServer(errorResponse(502), stream([start, done("")])));
  assert.equal(proxied.calls[0][0], "complete");
  const own = await watch(fakeServer(errorResponse(502, { error: "Ollama is not running.", code: "upstream_unavailable" })));
  assert.deepEqual([own.requests.length, own.calls[0][1].code], [1, "upstream_unavailable"]);
});

test("a response that is neither a stream nor JSON is an unexpected_answer", async () => {
  const { calls } = await watch(fakeServer(new Response("<html>", { headers: { "Content-Type": "text/html" } })));
  assert.equal(calls[0][1].code, "unexpected_answer");
});

test("an endless line is an unexpected_answer, and is not read on", async () => {
  const mebibyte = new Uint8Array(1024 * 1024).fill("x".charCodeAt(0));
  let pieces = 0;
  let closed;
  const cancelled = new Promise((resolve) => (closed = resolve));
  const body = new ReadableStream({
    pull: (controller) => ((pieces += 1), controller.enqueue(mebibyte)),
    cancel: closed,
  }, { highWaterMark: 0 });
  const response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  const { calls, requests } = await watch(fakeServer(response));
  await cancelled;
  assert.deepEqual([calls[0][1].code, pieces, requests.length], ["unexpected_answer", 17, 1]);
});

// -- ENABLE_STREAMING=false

const whole = {
  userMessageId: 1, assistantMessageId: 2, documentIds: [7], fullResponse: "Hello", thinking: "hm", sources, model: "m", modelReason: "only one",
  warnings: [{ code: "model_fallback", message: "Another." }], finishReason: "length", usage: null,
};

test("a JSON answer gives the same events as a stream", async (t) => {
  fastClock(t);
  const { calls, events } = await watch(fakeServer(unreachable, json(whole)));
  assert.deepEqual(calls, [["chunk", "Hello"], ["complete", "Hello", 2, sources]]);
  assert.deepEqual(types(events), ["reconnecting", "start", "warning", "thinking", "chunk", "done"]);
  assert.deepEqual(events[1], { ...start, sources, modelReason: "only one" });
  assert.equal(events.at(-1).finishReason, "length");
});

test("a failed JSON answer is not retried: the same id would fail again", async () => {
  const failure = { error: "The server is shutting down.", code: "shutting_down", assistantMessageId: 2, fullResponse: "He" };
  const { calls, requests } = await watch(fakeServer(json(failure, 503)));
  assert.equal(requests.length, 1);
  assert.deepEqual([calls[0][1].code, calls[0][1].fullResponse, calls[0][1].assistantMessageId], ["shutting_down", "He", 2]);
});

test("sendMessage resolves to the whole answer, and reconnects like a stream", async (t) => {
  fastClock(t);
  const server = fakeServer(unreachable, json(whole));
  assert.deepEqual(await client(server).sendMessage("s", { message: "Hi" }), whole);
  assert.equal(server.requests[0].path, "/api/chat/sessions/s/messages");
  assert.deepEqual(server.requests[1].body, server.requests[0].body);
  await assert.rejects(client(fakeServer(errorResponse(422, { error: "No.", code: "invalid" }))).sendMessage("s", { message: "" }), ChatError);
});

// -- cancel and signal

const cancelled = done("a", { finishReason: "cancelled" });

/** Return a stream that hangs after these events until `push` adds another. */
const openStream = (...events) => {
  let push;
  const body = new ReadableStream({
    start(controller) {
      push = (event) => controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`));
      events.forEach(push);
    },
  });
  const response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  return { response, push: (event) => push(event) };
};

const nextOf = async (answer, type) => {
  for await (const event of answer) if (event.type === type) return;
};

test("cancel() cancels on the server, and onComplete is called with the text so far", async () => {
  const server = fakeServer(stream([start, chunk("a", "0.1")], { hang: true }), json({}), stream([start, cancelled]));
  const recorded = recorder();
  const answer = client(server).sendMessageStream("s", { message: "Hi" }, ...recorded.callbacks);
  await nextOf(answer, "chunk");
  await Promise.all([answer.cancel(), answer.cancel()]);
  assert.equal((await answer).finishReason, "cancelled");
  assert.equal(server.requests[1].path, "/api/chat/sessions/s/messages/2/cancel");
  assert.deepEqual(recorded.calls, [["chunk", "a"], ["complete", "a", 2, sources]]);
  await answer.cancel();
  assert.equal(server.requests.length, 3);
});

test("cancelling lets go of the answer's connections first, and goes on even if it fails", async () => {
  const order = [];
  const hanging = () => new Response(new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(start)}\n\n`)),
    cancel: () => void order.push("closed"),
  }), { headers: { "Content-Type": "text/event-stream" } });
  const refuse = () => (order.push("cancel"), errorResponse(500, { error: "No.", code: "internal" }));
  const server = fakeServer(hanging, hanging, refuse, () => stream([start, done("a")]), () => stream([start, done("a")]));
  const chat = client(server);
  const answers = [chat.sendMessageStream("s", { message: "Hi" }), chat.resume("s", 2)];
  await Promise.all(answers.map((answer) => nextOf(answer, "start")));
  await assert.rejects(chat.messages.cancel("s", 2), { code: "internal" });
  assert.deepEqual(order, ["closed", "closed", "cancel"]);
  for (const answer of answers) assert.equal((await answer).fullResponse, "a");
});

test("cancel() before `start` takes effect with `start`", async () => {
  const { response, push } = openStream();
  const server = fakeServer(response, json({ messages: [], next: null }), () => (push(cancelled), json({})));
  const answer = client(server).sendMessageStream("s", { message: "Hi" });
  while (server.requests.length === 0) await new Promise(setImmediate);
  await answer.cancel();
  push(start);
  assert.equal((await answer).finishReason, "cancelled");
  assert.equal(server.requests[2].path, "/api/chat/sessions/s/messages/2/cancel");
});

test("cancel() finds an answer that will come as JSON", async () => {
  let answerNow;
  const server = fakeServer(
    () => new Promise((resolve) => (answerNow = resolve)),
    () => json({ messages: [{ id: 8, role: "user", clientMessageId: "mine" }, { id: 9, role: "assistant" }], next: null }),
    () => (answerNow(json({ ...whole, finishReason: "cancelled" })), json({})),
  );
  const answer = client(server).sendMessageStream("s", { message: "Hi", clientMessageId: "mine" });
  while (server.requests.length === 0) await new Promise(setImmediate);
  await answer.cancel();
  assert.equal(server.requests[2].path, "/api/chat/sessions/s/messages/9/cancel");
  assert.equal((await answer).finishReason, "cancelled");
});

test("cancel() without a reachable server ends locally with the text so far", async () => {
  const { response } = openStream(start, chunk("a", "0.1"));
  const server = fakeServer((request) => stream([start, chunk("a", "0.1")], { hang: true, signal: request.signal }), unreachable);
  const recorded = recorder();
  const answer = client(server).sendMessageStream("s", { message: "Hi" }, ...recorded.callbacks);
  await nextOf(answer, "chunk");
  await answer.cancel();
  assert.equal((await answer).finishReason, "cancelled");
  assert.deepEqual(recorded.calls.at(-1), ["complete", "a", 2, []]);
  void response;
});

test("cancel() during the wait for an overloaded server posts nothing more", async () => {
  const server = fakeServer(errorResponse(503, { error: "Full.", code: "overloaded" }, { "Retry-After": "50" }), json({ messages: [], next: null }));
  const answer = client(server).sendMessageStream("s", { message: "Hi" });
  while (server.requests.length === 0) await new Promise(setImmediate);
  await new Promise(setImmediate);
  await answer.cancel();
  assert.deepEqual([(await answer).finishReason, (await answer).assistantMessageId, server.requests.length], ["cancelled", null, 2]);
});

test("signal stops watching and does not cancel the answer", async () => {
  const controller = new AbortController();
  const server = fakeServer((request) => stream([start, chunk("a", "0.1")], { hang: true, signal: request.signal }));
  const recorded = recorder();
  const answer = client(server).sendMessageStream("s", { message: "Hi", signal: controller.signal }, ...recorded.callbacks);
  await nextOf(answer, "chunk");
  controller.abort();
  await answer;
  const [, error] = recorded.calls.at(-1);
  assert.deepEqual([error.code, error.name, error.fullResponse, error.retryable], ["aborted", "AbortError", "a", false]);
  assert.equal(server.requests.length, 1);
});

test("signal ends a delay, and an aborted one sends nothing", async () => {
  const controller = new AbortController();
  const server = fakeServer(errorResponse(503, { error: "Full.", code: "overloaded" }, { "Retry-After": "50" }));
  const waiting = client(server).sendMessageStream("s", { message: "Hi", signal: controller.signal });
  while (server.requests.length === 0) await new Promise(setImmediate);
  await new Promise(setImmediate);
  controller.abort();
  await assert.rejects(waiting, { code: "aborted" });
  const signal = AbortSignal.abort();
  let sent = 0;
  const fetch = async (_url, init) => (init.signal.throwIfAborted(), (sent += 1));
  await assert.rejects(createChatClient({ baseUrl: BASE, fetch }).sendMessageStream("s", { message: "Hi", signal }), { code: "aborted" });
  assert.equal(sent, 0);
});

// -- resume

test("resume continues from the cursor", async () => {
  const server = fakeServer(stream([start, chunk("b", "0.2"), done("ab")]));
  const recorded = recorder();
  const [onChunk, onComplete, onError] = recorded.callbacks;
  const answer = client(server).resume("s", 2, "0.1", { onChunk, onComplete, onError });
  await answer;
  assert.equal(server.requests[0].path, "/api/chat/sessions/s/messages/2/stream?after=0.1");
  assert.deepEqual(recorded.calls, [["chunk", "b"], ["complete", "ab", 2, sources]]);
  assert.deepEqual(types(await all(answer)), ["start", "chunk", "done"]);
});

test("resume without a cursor gives the whole answer, and reconnects", async (t) => {
  fastClock(t);
  const server = fakeServer(cut(start, chunk("a", "0.1")), stream([start, chunk("b", "0.2"), done("ab")]));
  const answer = client(server).resume("s", 2);
  assert.equal((await answer).fullResponse, "ab");
  assert.deepEqual(server.requests.map(({ path }) => path.split("/stream")[1]), ["", "?after=0.1"]);
});

test("resume passes `reset` on: only the caller knows the text before the cursor", async () => {
  const answer = client(fakeServer(stream([{ ...start, reset: true }, chunk("ab", "0.2"), done("ab")]))).resume("s", 2, "0.9");
  assert.deepEqual(types(await all(answer)), ["start", "chunk", "done"]);
  assert.equal((await all(answer))[0].reset, true);
});

test("on a later `reset`, resume calls onReset and repeats the whole text", async (t) => {
  fastClock(t);
  const interrupted = { type: "error", error: "The server ended.", code: "interrupted", retryable: true, assistantMessageId: 2, fullResponse: "Hello wo", cursor: "0.8.end" };
  const server = fakeServer(
    cut(start, chunk("wor", "0.9"), chunk("ld", "0.11")),
    cut({ ...start, reset: true }, chunk("Hello", "0.5")),
    stream([{ ...start, reset: true }, chunk("Hello wo", "0.8"), interrupted]),
  );
  const recorded = recorder();
  const [onChunk, , onError] = recorded.callbacks;
  let visible = "Hello ";
  const given = [];
  const answer = client(server).resume("s", 2, "0.6", {
    onReset: () => (visible = ""),
    onChunk: (text) => ((visible += text), given.push(text), onChunk(text)),
    onError,
  });
  await answer;
  assert.equal(visible, "Hello wo");
  assert.deepEqual(given, ["wor", "ld", "Hello", " wo"]);
  const events = await all(answer);
  assert.deepEqual(types(events), ["start", "chunk", "reconnecting", "start", "chunk", "reconnecting", "chunk", "error"]);
  assert.deepEqual(events.filter(({ type }) => type === "chunk").map(({ content }) => content), ["world", "Hello", " wo"]);
  assert.deepEqual(events.filter(({ type }) => type === "start").map(({ reset }) => reset ?? false), [false, true]);
});

test("resume at the end gives only the terminal event", async () => {
  const server = fakeServer(new Response(null, { status: 204 }), stream([start, chunk("ab", "0.2"), done("ab")]));
  const answer = client(server).resume("s", 2, "0.2.end");
  assert.deepEqual(types(await all(answer)), ["start", "done"]);
});

// -- the other calls

test("sessions, messages, documents and models send the requests of the contract", async () => {
  const calls = [
    [(c) => c.sessions.create(), "POST", "/api/chat/sessions", {}],
    [(c) => c.sessions.create({ title: "T" }), "POST", "/api/chat/sessions", { title: "T" }],
    [(c) => c.sessions.list(), "GET", "/api/chat/sessions"],
    [(c) => c.sessions.list({ limit: 5, before: "a b", q: "x&y" }), "GET", "/api/chat/sessions?limit=5&before=a+b&q=x%26y"],
    [(c) => c.sessions.get("a/b"), "GET", "/api/chat/sessions/a%2Fb"],
    [(c) => c.sessions.update("s", { title: null }), "PATCH", "/api/chat/sessions/s", { title: null }],
    [(c) => c.messages.list("s", { before: 7 }), "GET", "/api/chat/sessions/s/messages?before=7"],
    [(c) => c.messages.cancel("s", 7), "POST", "/api/chat/sessions/s/messages/7/cancel"],
    [(c) => c.documents.create({ title: "T", text: "x" }), "POST", "/api/documents", { title: "T", text: "x" }],
    [(c) => c.documents.list({ before: null }), "GET", "/api/documents"],
    [(c) => c.documents.get(7), "GET", "/api/documents/7"],
    [(c) => c.documents.search(7, "what?"), "GET", "/api/documents/7/search?q=what%3F"],
    [(c) => c.models(), "GET", "/api/models"],
  ];
  for (const [call, method, path, body] of calls) {
    const server = fakeServer(json({ said: path }));
    assert.deepEqual(await call(client(server)), { said: path });
    assert.deepEqual([server.requests[0].method, server.requests[0].path, server.requests[0].body], [method, path, body]);
  }
  for (const call of [(c) => c.sessions.delete("s"), (c) => c.documents.delete(7)]) {
    const server = fakeServer(new Response(null, { status: 204 }));
    assert.equal(await call(client(server)), undefined);
    assert.equal(server.requests[0].method, "DELETE");
  }
});

test("an export is a Blob", async () => {
  const server = fakeServer(new Response("# T\n", { headers: { "Content-Type": "text/markdown" } }));
  assert.equal(await (await client(server).sessions.export("s", "markdown")).text(), "# T\n");
  assert.equal(server.requests[0].path, "/api/chat/sessions/s/export?format=markdown");
});

test("an image of a message is a Blob, fetched with the client's headers", async () => {
  const server = fakeServer(new Response("bytes", { headers: { "Content-Type": "image/png" } }));
  const image = await client(server, { headers: { Authorization: "Bearer t" } }).messages.image("s", 7, 0);
  assert.deepEqual([image.type, await image.text()], ["image/png", "bytes"]);
  assert.equal(server.requests[0].path, "/api/chat/sessions/s/messages/7/images/0");
  assert.equal(server.requests[0].headers.get("Authorization"), "Bearer t");
});

test("a file is uploaded as a form, with its progress at the end without XMLHttpRequest", async () => {
  const server = fakeServer(json({ id: 1 }, 201));
  const calls = [];
  const document = new File(["hello"], "a.txt", { type: "text/plain" });
  await client(server).documents.create(document, { onProgress: (progress) => calls.push(progress) });
  assert.deepEqual(calls, [{ loaded: 5, total: 5 }]);
  assert.equal(server.requests[0].body.get("file").name, "a.txt");
  assert.equal(server.requests[0].headers.get("Content-Type"), null, "fetch sets it, with the boundary");
});

test("the encoding of a file is sent beside it", async () => {
  const server = fakeServer(json({ id: 1 }, 201), json({ id: 1 }, 201));
  const { documents } = client(server);
  await documents.create(new File(["x"], "a.txt"), { encoding: "x-mac ce&" });
  await documents.create(new File(["x"], "a.txt"), { encoding: "cp1250", onProgress: () => {} });
  const paths = server.requests.map(({ path }) => path);
  assert.deepEqual(paths, ["/api/documents?encoding=x-mac%20ce%26", "/api/documents?encoding=cp1250"]);
});

test("semicolons in a file's name are escaped", async () => {
  const server = fakeServer(json({ id: 1 }, 201));
  await client(server).documents.create(new File(["x"], "a;b;c.txt"));
  assert.equal(server.requests[0].body.get("file").name, "a%3Bb%3Bc.txt");
});

test("an error has the id that is in the server's log", async () => {
  const header = { "X-Request-Id": "r-1" };
  const refusal = { error: "No.", code: "invalid" };
  await assert.rejects(client(fakeServer(errorResponse(422, refusal, header))).models(), { requestId: "r-1" });
  const refused = await watch(fakeServer(errorResponse(422, refusal, header)));
  assert.deepEqual([refused.calls[0][1].requestId, refused.events.at(-1).requestId], ["r-1", "r-1"]);
  const upload = client(fakeServer(errorResponse(415, { error: "No.", code: "unsupported_media_type" }, header)));
  await assert.rejects(upload.documents.create(new File(["x"], "a.bin")), { requestId: "r-1" });
  const event = { type: "error", error: "No.", code: "upstream_error", retryable: false, requestId: "r-2", assistantMessageId: 2, fullResponse: "", cursor: "0.0.end" };
  const failed = await watch(fakeServer(stream([start, event])));
  assert.equal(failed.calls.at(-1)[1].requestId, "r-2");
  const whole = { error: "No.", code: "upstream_error", requestId: "r-2", assistantMessageId: 2, fullResponse: "" };
  await assert.rejects(client(fakeServer(errorResponse(502, whole, header))).models(), { requestId: "r-2" }); // it asked
  const unreached = client(fakeServer(unreachable)).models();
  await assert.rejects(unreached, ({ requestId }) => requestId === undefined);
});

test("an error has the details of the server's body", async () => {
  const details = { installed: ["a", "b"], neededTokens: 9000, contextLength: 4096 };
  const server = fakeServer(errorResponse(404, { error: "No.", code: "model_not_found", ...details }));
  await assert.rejects(client(server).models(), details);
});

test("every failure is a ChatError", async () => {
  await assert.rejects(client(fakeServer(unreachable)).models(), { name: "ChatError", code: "connection_lost" });
  await assert.rejects(client(fakeServer(errorResponse(404))).models(), { name: "ChatError", code: "http_error", status: 404 });
  await assert.rejects(client(fakeServer(new Response("{oops"))).models(), { code: "connection_lost" });
});

// -- long answers

test("text is given token by token to who is in step, and in fewer events to who comes late", async () => {
  const tokens = Array.from({ length: 5000 }, (_, number) => `word${number} `);
  const whole = tokens.join("");
  const cursors = tokens.map((_, index) => `0.${tokens.slice(0, index + 1).join("").length}`);
  const answer = client(fakeServer(stream([start, ...tokens.map((token, at) => chunk(token, cursors[at])), done(whole)])))
    .sendMessageStream("s", { message: "Hi" });
  const inStep = (await all(answer)).filter(({ type }) => type === "chunk");
  const late = (await all(answer)).filter(({ type }) => type === "chunk");
  assert.deepEqual(inStep.map(({ content }) => content), tokens);
  assert.deepEqual(inStep.map(({ cursor }) => cursor), cursors);
  assert.equal(late.map(({ content }) => content).join(""), whole);
  assert.ok(late.length < 20, `${late.length} events`);
  assert.equal(late.at(-1).cursor, cursors.at(-1));
});

test("thinking and content are kept apart", async () => {
  const thinking = (content, cursor) => ({ type: "thinking", content, cursor });
  const answer = client(fakeServer(stream([start, thinking("a", "1.0"), thinking("b", "2.0"), chunk("c", "2.1"), done("c")])))
    .sendMessageStream("s", { message: "Hi" });
  await answer;
  const text = (await all(answer)).filter(({ content }) => content !== undefined);
  assert.deepEqual(text, [thinking("ab", "2.0"), chunk("c", "2.1")]);
});
