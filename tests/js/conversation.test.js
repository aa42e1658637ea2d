// The element's model of a session, without a DOM.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Conversation } from "../../chatproxy/static/element/conversation.js";

const stored = { id: 2, role: "assistant", content: "Hello", thinking: "", status: "streaming", cursor: "0.5", sources: [], warnings: [] };
const start = { type: "start", userMessageId: 1, assistantMessageId: 2, sources: [], model: "m", modelReason: null };
const lost = { type: "error", error: "Lost.", code: "connection_lost", retryable: true, assistantMessageId: 2, fullResponse: "", cursor: "0.5" };

/** Return a conversation whose stored answer is resumed with these events. */
const resumed = async (...events) => {
  const client = {
    messages: { list: async () => ({ messages: [{ ...stored }], next: null }) },
    resume: async function* () {
      yield* events;
    },
  };
  const conversation = new Conversation(/** @type {any} */ (client), "s");
  await conversation.load();
  return conversation.messages[0];
};

test("a resumed answer keeps its text when the connection is lost", async () => {
  const chunk = { type: "chunk", content: " wor", cursor: "0.9" };
  const answer = await resumed(start, chunk, { ...lost, fullResponse: " wor", cursor: "0.9" });
  assert.deepEqual([answer.content, answer.status], ["Hello wor", "failed"]);
  assert.equal((await resumed(lost)).content, "Hello");
});

test("a resumed answer takes the text of the server's own error", async () => {
  const answer = await resumed(start, { ...lost, code: "interrupted", fullResponse: "Hel", cursor: "0.3.end" });
  assert.equal(answer.content, "Hel");
});

test("a newest page that does not adjoin what was read before takes its place", async () => {
  const message = (id) => ({ ...stored, id, status: "complete", cursor: "0.5.end" });
  const pages = [
    { messages: [message(1), message(2)], next: null },
    { messages: [message(2), message(3)], next: 2 },
    { messages: [message(5)], next: 5 },
  ];
  const client = { messages: { list: async () => pages.shift() } };
  const conversation = new Conversation(/** @type {any} */ (client), "s");
  const ids = async () => {
    await conversation.load();
    return conversation.messages.map(({ id }) => id);
  };
  assert.deepEqual([await ids(), conversation.earlierPage], [[1, 2], null]);
  assert.deepEqual([await ids(), conversation.earlierPage], [[1, 2, 3], null]);
  assert.deepEqual([await ids(), conversation.earlierPage], [[5], 5]);
});

test("pages of any size are read up to the last one, which `next` tells", async () => {
  const ids = Array.from({ length: 100 }, (_, index) => index + 1);
  const sizes = [1, 7, 0, 50, 3]; // a page may end before its limit, by its size in bytes
  const asked = [];
  const list = async (_id, { before = Infinity } = {}) => {
    asked.push(before);
    const size = sizes[asked.length - 1] ?? 39;
    const all = ids.filter((id) => id < before);
    const messages = all.slice(all.length - size).map((id) => ({ ...stored, id, status: "complete" }));
    const next = size === 0 ? before : (messages[0]?.id ?? null);
    return { messages: size === 0 ? [] : messages, next: next === 1 ? null : next };
  };
  const conversation = new Conversation(/** @type {any} */ ({ messages: { list } }), "s");
  await conversation.load();
  while (conversation.earlierPage !== null) await conversation.loadEarlier();
  assert.deepEqual(conversation.messages.map(({ id }) => id), ids);
  assert.equal(asked.length, 6);
  await conversation.load(); // the newest page again keeps the earlier ones
  assert.deepEqual(conversation.messages.map(({ id }) => id), ids);
});
