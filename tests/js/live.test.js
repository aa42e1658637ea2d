// The client against a real server, over connections that are cut where the test says.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { createChatClient } from "../../chatproxy/static/chat-client.js";
import { all, recorder } from "./fake-server.js";
import { random } from "./random.js";

const { CHATPROXY, CHATPROXY_WHOLE, CHATPROXY_CUT, CONTROL, LONG } = /** @type {Record<string, string>} */ (process.env);
const direct = createChatClient({ baseUrl: CHATPROXY });
const cutting = createChatClient({ baseUrl: CHATPROXY_CUT });
const whole = createChatClient({ baseUrl: CHATPROXY_WHOLE });
const long = Array.from({ length: Number(LONG) }, (_, number) => `wörd${number}👋`).join(" ");

const cuts = (bytes) => fetch(`${CONTROL}cuts`, { method: "POST", body: JSON.stringify(bytes) });
const cutsSoFar = async () => (await fetch(`${CONTROL}cuts`)).json();

/** @type {string} */
let session;
beforeEach(async () => {
  await cuts([]);
  session = (await direct.sessions.create()).id;
});

const until = async (answer, type) => {
  for await (const event of answer) if (event.type === type) return event;
};

test("a message and its answer", async () => {
  const { calls, text, callbacks } = recorder();
  const answer = direct.sendMessageStream(session, { message: "Hello 👋 world" }, ...callbacks);
  await answer;
  assert.equal(text(), "Hello 👋 world");
  const { messages } = await direct.messages.list(session);
  assert.deepEqual(calls.at(-1), ["complete", "Hello 👋 world", messages[1].id, []]);
  assert.equal((await direct.sessions.get(session)).messageCount, 2);
});

test("a cut before `start`, after the server has the message, stores it once", async () => {
  await cuts([0, 40, 300]);
  const { text, callbacks } = recorder();
  await cutting.sendMessageStream(session, { message: "Once and no more" }, ...callbacks);
  assert.equal(text(), "Once and no more");
  assert.deepEqual((await direct.messages.list(session)).messages.map(({ content }) => content), ["Once and no more", "Once and no more"]);
  assert.equal((await cutsSoFar()).left, 0);
});

test("a cut of sendMessage, after the server has the message, stores it once", async () => {
  await cuts([0, 20]);
  assert.equal((await cutting.sendMessage(session, { message: "Once" })).fullResponse, "Once");
  assert.equal((await direct.messages.list(session)).messages.length, 2);
});

test("50 random cuts leave the exact text", async (t) => {
  t.mock.method(Math, "random", () => 0); // the shortest waits
  const next = random(50);
  await cuts(Array.from({ length: 50 }, () => Math.floor(next() * 3_500)));
  const { made } = await cutsSoFar();
  const { calls, text, callbacks: [onChunk, ...ends] } = recorder();
  // The answer stays a little ahead of what has come through, so that it lasts for all the cuts, and never so far
  // ahead that the piece sent at once on a resume is longer than what a cut lets through.
  let words = 0;
  let allowed = 0;
  const allow = () => words > allowed - 30 && fetch(`${CONTROL}words`, { method: "POST", body: String((allowed = words + 60)) });
  const count = (piece) => {
    words += piece.split("👋").length - 1;
    allow();
    onChunk(piece);
  };
  allow();
  const answer = cutting.sendMessageStream(session, { message: "long" }, count, ...ends);
  await answer;
  assert.ok(text() === long, `${text().length} instead of ${long.length} characters: …${text().slice(-40)}`);
  assert.ok(calls.at(-1)[0] === "complete" && calls.at(-1)[1] === long);
  const after = await cutsSoFar();
  assert.deepEqual([after.left, after.made - made], [0, 50]);
  const events = await all(answer);
  assert.equal(events.filter(({ type }) => type === "thinking").map(({ content }) => content).join(""), "hm, so");
  assert.equal(events.filter(({ type }) => type === "start").length, 1);
  assert.equal((await direct.messages.list(session)).messages.length, 2);
});

test("cancel() stops the answer for all readers and keeps the text so far", async () => {
  const { calls, callbacks } = recorder();
  const answer = direct.sendMessageStream(session, { message: "hold" }, ...callbacks);
  const { assistantMessageId } = await until(answer, "start");
  const other = direct.resume(session, assistantMessageId);
  while (calls.map(([, text]) => text).join("") !== "so far") await until(answer, "chunk").then(() => new Promise(setImmediate));
  await answer.cancel();
  for (const end of await Promise.all([answer, other])) assert.deepEqual([end.finishReason, end.fullResponse], ["cancelled", "so far"]);
  assert.deepEqual(calls.at(-1).slice(0, 3), ["complete", "so far", assistantMessageId]);
  assert.equal((await direct.messages.list(session)).messages[1].status, "cancelled");
});

test("cancel() right after sending", async () => {
  const answer = direct.sendMessageStream(session, { message: "silent" });
  await answer.cancel();
  assert.equal((await answer).finishReason, "cancelled");
  assert.equal((await direct.sessions.get(session)).activeMessageId, null);
});

test("signal leaves the answer running for resume", async () => {
  const controller = new AbortController();
  const answer = direct.sendMessageStream(session, { message: "hold", signal: controller.signal });
  await until(answer, "chunk");
  controller.abort();
  await assert.rejects(answer, { code: "aborted" });
  const [, message] = (await direct.messages.list(session)).messages;
  assert.equal(message.status, "streaming");
  const again = direct.resume(session, message.id, message.cursor);
  await until(again, "start");
  await again.cancel();
  assert.equal((await again).fullResponse, "so far");
});

test("resume of a finished answer from a cursor, from its end, and from beyond it", async () => {
  const { assistantMessageId } = await direct.sendMessageStream(session, { message: "Hello world" });
  const given = async (cursor) => {
    const recorded = recorder();
    const answer = direct.resume(session, assistantMessageId, cursor, { onChunk: recorded.callbacks[0] });
    await answer;
    return [recorded.text(), (await all(answer))[0].reset ?? false];
  };
  assert.deepEqual(await given(undefined), ["Hello world", false]);
  assert.deepEqual(await given("0.6"), ["world", false]);
  assert.deepEqual(await given("0.11.end"), ["", false]);
  assert.deepEqual(await given("0.99"), ["Hello world", true]);
});

test("an uploaded file keeps its name", async () => {
  const file = new File(["Honey is sweet."], "bees; ünd; more.txt");
  const document = await direct.documents.create(file);
  assert.equal(document.title, file.name);
  await direct.documents.delete(document.id);
});

test("a refusal has the server's sentence and code", async () => {
  const { calls, callbacks } = recorder();
  await direct.sendMessageStream("no-such-session", { message: "Hi" }, ...callbacks);
  assert.deepEqual([calls.length, calls[0][1].code, calls[0][1].status], [1, "not_found", 404]);
  await assert.rejects(direct.sendMessage(session, { message: "" }), { code: "invalid", field: "message" });
  const busy = direct.sendMessageStream(session, { message: "hold" });
  const { assistantMessageId } = await until(busy, "start");
  await assert.rejects(direct.sendMessage(session, { message: "x" }), { code: "session_busy", activeMessageId: assistantMessageId });
  await busy.cancel();
  await busy;
});

test("with ENABLE_STREAMING=false, the same callbacks and events", async () => {
  const { id } = await whole.sessions.create();
  const { calls, callbacks } = recorder();
  const answer = whole.sendMessageStream(id, { message: "Hello 👋 world" }, ...callbacks);
  const { assistantMessageId } = await answer;
  assert.deepEqual(calls, [["chunk", "Hello 👋 world"], ["complete", "Hello 👋 world", assistantMessageId, []]]);
  assert.deepEqual((await all(answer)).map(({ type }) => type), ["start", "chunk", "done"]);
});

test("with ENABLE_STREAMING=false, cancel() finds the answer", async () => {
  const { id } = await whole.sessions.create();
  const answer = whole.sendMessageStream(id, { message: "hold" });
  while ((await whole.sessions.get(id)).activeMessageId === null) await new Promise(setImmediate);
  await answer.cancel();
  assert.equal((await answer).finishReason, "cancelled");
});

test("sessions are created, searched, renamed, exported, deleted", async () => {
  const made = await direct.sessions.create({ title: "Zebra crossing" });
  assert.deepEqual((await direct.sessions.list({ q: "zebra" })).sessions.map(({ id }) => id), [made.id]);
  assert.equal((await direct.sessions.update(made.id, { title: "Okapi" })).title, "Okapi");
  await direct.sendMessage(made.id, { message: "Hello" });
  assert.match(await (await direct.sessions.export(made.id, "markdown")).text(), /^# Okapi\n/);
  assert.equal(await direct.sessions.delete(made.id), undefined);
  await assert.rejects(direct.sessions.get(made.id), { code: "not_found" });
});
