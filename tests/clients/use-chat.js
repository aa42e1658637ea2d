// What a page with `useChat` does, without the page: node use-chat.js VERSION ORIGIN.
//
// VERSION is one of the package `ai`, or `assistant-ui` for the transport of that, which stores what to resume.
// A question says how the fake answers: `long` slowly, `stuck` without an end, `broken` with a failure.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { uiMessageChunkSchema } from "ai-5.0.110";

const [version, origin] = process.argv.slice(2);
const isAssistantUI = version === "assistant-ui";
const { AbstractChat, DefaultChatTransport } = await import(isAssistantUI ? "ai" : `ai-${version}`);
const { AssistantChatTransport } = isAssistantUI ? await import("@assistant-ui/react-ai-sdk") : {};
const api = `${origin}/api/chat/ui`;

// b2: whatever is sent is known to the oldest version, which knows least.
const { validate } = uiMessageChunkSchema();
const seen = new Set();
const checks = [];

async function check(stream) {
  let text = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) text += part;
  for (const line of text.split("\n\n").filter((each) => each.startsWith("data: {"))) {
    const { success, value, error } = await validate(JSON.parse(line.slice(6)));
    assert.ok(success, `${line}: ${error}`);
    seen.add(value.type);
  }
}

async function checking(...request) {
  const response = await fetch(...request);
  if (!response.ok || response.body === null) return response;
  const [body, copy] = response.body.tee();
  checks.push(check(copy).catch((error) => error.name === "AbortError" || Promise.reject(error)));
  return new Response(body, response);
}

/** What one chat stores in a page of assistant-ui: the stream that has not been read to its end. */
class Storage {
  #id = null;
  getStreamId = () => this.#id;
  setStreamId = (id) => (this.#id = id);
  clear = () => (this.#id = null);
}

const storages = new Map();

function transport(id, options) {
  if (!isAssistantUI) return new DefaultChatTransport(options);
  if (!storages.has(id)) storages.set(id, new Storage());
  const resumable = { storage: storages.get(id), resumeApi: (stream) => `${api}/${stream}/stream` };
  return new AssistantChatTransport({ ...options, resumable });
}

class State {
  status = "ready";
  error = undefined;
  constructor(messages) {
    this.messages = messages;
  }
  pushMessage = (message) => {
    this.messages = [...this.messages, message];
  };
  popMessage = () => {
    this.messages = this.messages.slice(0, -1);
  };
  replaceMessage = (index, message) => {
    this.messages = this.messages.with(index, this.snapshot(message));
  };
  snapshot = (value) => structuredClone(value);
}

class Chat extends AbstractChat {
  constructor(id, messages = [], body = {}) {
    super({ id, state: new State(messages), transport: transport(id, { api, body, fetch: checking }) });
  }
  get text() {
    return textOf(this.lastMessage);
  }
}

const textOf = (message) => message.parts.filter((part) => part.type === "text").map((part) => part.text).join("");
const shape = (messages) => messages.map((message) => [message.id, message.role, textOf(message)]);
const list = async (id) => (await fetch(`${api}/${id}`)).json();
const stop = async (id) => assert.equal((await fetch(`${api}/${id}/stop`, { method: "POST" })).status, 204);

/** Open the chat as a page does that is loaded. */
async function open(id) {
  const chat = new Chat(id, await list(id));
  return [chat, isAssistantUI && !storages.get(id).getStreamId() ? undefined : chat.resumeStream()];
}

async function until(condition) {
  for (const deadline = Date.now() + 20_000; !condition(); await sleep(5)) assert.ok(Date.now() < deadline, `${condition}`);
}

/** Send a message, and wait for the beginning of the answer. */
async function begin(chat, text) {
  const length = chat.messages.length + 2;
  const sent = chat.sendMessage({ text });
  await until(() => chat.messages.length === length && chat.text.length > 20);
  return [sent]; // in a list, because whoever awaits a promise awaits what it resolves to
}

/** b3: the list is what the client has, and it is complete. */
async function agrees(chat) {
  assert.deepEqual([chat.status, chat.error], ["ready", undefined]);
  assert.deepEqual(shape(await list(chat.id)), shape(chat.messages));
}

const steps = {
  async "send, think, send again"(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: "one" });
    assert.equal(chat.text, "to one");
    const [reasoning] = chat.lastMessage.parts.filter((part) => part.type === "reasoning");
    assert.deepEqual([reasoning.text, reasoning.state], ["Hm 🌈", "done"]);
    assert.equal(chat.lastMessage.metadata.finishReason, "stop");
    await chat.sendMessage({ text: "two" });
    assert.deepEqual(chat.messages.map(textOf), ["one", "to one", "two", "to two"]);
    await agrees(chat);
  },

  async "regenerate, edit, regenerate what was edited"(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: "one" });
    await chat.sendMessage({ text: "two" });
    const [question, first, , second] = chat.messages;
    await chat.regenerate();
    await agrees(chat);
    assert.notEqual(chat.lastMessage.id, second.id);
    await chat.sendMessage({ text: "uno", messageId: question.id });
    assert.deepEqual(chat.messages.map(textOf), ["uno", "to uno"]);
    assert.equal(chat.messages[0].id, question.id);
    await agrees(chat);
    await chat.regenerate({ messageId: chat.lastMessage.id });
    await agrees(chat);
    assert.notEqual(chat.lastMessage.id, first.id);
    await chat.sendMessage({ text: "three" });
    await chat.regenerate({ messageId: chat.messages[1].id });
    assert.deepEqual(chat.messages.map(textOf), ["uno", "to uno"]);
    await agrees(chat);
    const [again] = await open(id);
    await again.regenerate();
    await again.sendMessage({ text: "eins", messageId: question.id });
    assert.deepEqual(again.messages.map(textOf), ["eins", "to eins"]);
    await agrees(again);
  },

  async "reload, and a second tab"(id) {
    const chat = new Chat(id);
    const [sent] = await begin(chat, "long");
    const tabs = await Promise.all([open(id), open(id)]);
    await Promise.all([sent, ...tabs.map(([, resumed]) => resumed)]);
    for (const each of [chat, ...tabs.map(([tab]) => tab)]) await agrees(each);
    const [late, resumed] = await open(id);
    await resumed;
    await agrees(late);
  },

  async "stop from another tab"(id) {
    const chat = new Chat(id);
    const [sent] = await begin(chat, "stuck");
    const [tab, resumed] = await open(id);
    await until(() => tab.messages.length === 2 && tab.text.length > 20);
    await stop(id);
    await Promise.all([sent, resumed]);
    await agrees(chat);
    await agrees(tab);
    await stop(id);
    await tab.sendMessage({ text: "two" });
    await agrees(tab);
  },

  async "stop() and then send"(id) {
    const chat = new Chat(id);
    for (let count = 0; count < 10; count += 1) {
      const [sent] = await begin(chat, "stuck");
      await Promise.all([chat.stop(), sent]);
      assert.equal(chat.status, "ready");
    }
    await chat.sendMessage({ text: "two" });
    assert.equal(chat.text, "to two");
    assert.equal(chat.error, undefined);
    const ids = (messages) => messages.map((message) => message.id);
    assert.deepEqual(ids(await list(id)), ids(chat.messages));
  },

  async "a failure and then regenerate"(id) {
    const chat = new Chat(id);
    await chat.sendMessage({ text: "broken" });
    assert.equal(chat.status, "error");
    assert.match(chat.error.message, /model runner has unexpectedly stopped/);
    assert.deepEqual(shape(await list(id)), shape(chat.messages));
    await chat.regenerate();
    assert.equal(chat.text, "to broken");
    await agrees(chat);
  },

  async "no model"(id) {
    const chat = new Chat(id, [], { model: "none:1b" });
    await chat.sendMessage({ text: "one" });
    assert.equal(chat.status, "error");
    assert.match(chat.error.message, /^[^{]*none:1b[^{]* is not installed[^{]*\.$/);
    const again = new Chat(id, chat.messages);
    await again.regenerate();
    await agrees(again);
  },

  async "images, sources and warnings"(id) {
    const call = async (method, path, body) => {
      const headers = { "Content-Type": "application/json" };
      return fetch(`${origin}/api/documents${path}`, { method, headers, body: JSON.stringify(body) });
    };
    const document = await (await call("POST", "", { title: "Light", text: "A rainbow is bent light." })).json();
    const chat = new Chat(id, [], { documentId: document.id });
    const url = "data:image/png;base64,iVBORw0KGgo=";
    const files = [{ type: "file", mediaType: "image/png", url }];
    await chat.sendMessage({ text: "What is a rainbow?", files });
    const [source] = chat.lastMessage.parts.filter((part) => part.type === "source-document");
    assert.deepEqual([source.sourceId, source.title], [`${document.id}-0`, "Light"]);
    await agrees(chat);
    assert.deepEqual((await list(id))[0].parts, chat.messages[0].parts);
    await call("DELETE", `/${document.id}`);
    const later = new Chat(id, await list(id));
    await later.sendMessage({ text: "And light?" });
    const [warning] = later.lastMessage.parts.filter((part) => part.type === "data-warning");
    assert.equal(warning.data.code, "document_gone");
    await agrees(later);
  },
};

for (const [name, step] of Object.entries(steps)) {
  const id = `${version}-${name}`.replaceAll(/[^a-z0-9.]+/g, "-").slice(0, 44);
  await step(id).catch((error) => {
    throw new Error(`${name}: ${error.message}`, { cause: error });
  });
}
await Promise.all(checks);
for (const kind of ["start", "text-delta", "reasoning-delta", "data-status", "data-warning", "source-document"]) {
  assert.ok(seen.has(kind), kind);
}
for (const kind of ["finish", "abort", "error"]) assert.ok(seen.has(kind), kind);
console.log("as expected");
