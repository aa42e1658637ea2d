// A visitor's token, and the tokens of a page's own users: asked for, kept, sent, renewed and replaced.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createChatClient } from "../../chatproxy/static/chat-client.js";
import { done, errorResponse, fakeServer, json, POST, start, stream } from "./fake-server.js";

const VISITORS = "/api/chat/visitors";
const SESSIONS = "/api/chat/sessions";
const DAY = 86_400; // s
const welcome = () => errorResponse(401, { error: "No token.", code: "unauthorized", visitors: true });
const refused = () => errorResponse(401, { error: "Wrong token.", code: "unauthorized" });
const visitor = (token, expiresIn = 30 * DAY) => () => json({ token, expiresIn }, 201);
const found = () => json({ sessions: [], next: null });

/** Give the test a browser's storage, empty or with what another page has left there. */
const browser = (t, stored = {}) => {
  const storage = {
    values: new Map(Object.entries(stored)),
    getItem: (key) => storage.values.get(key) ?? null,
    setItem: (key, value) => void storage.values.set(key, value),
  };
  Object.assign(globalThis, { document: {} });
  const before = Object.getOwnPropertyDescriptor(globalThis, "localStorage");
  Object.defineProperty(globalThis, "localStorage", { value: storage, configurable: true });
  t.after(() => {
    delete globalThis.document;
    delete globalThis.localStorage;
    if (before) Object.defineProperty(globalThis, "localStorage", before);
  });
  return storage;
};

const sent = ({ requests }) => requests.map(({ path, headers }) => `${path} ${headers.get("x-api-key") ?? "-"}`);
const client = (server, more = {}) => createChatClient({ ...server.options, ...more });

/** Let time pass. */
const later = (t, seconds) => t.mock.timers.enable({ apis: ["Date"], now: Date.now() + seconds * 1000 });

test("a server that asks for a token and has visitors gets one, which is kept for later", async (t) => {
  browser(t);
  const server = fakeServer(welcome, visitor("v1"), found, found);
  await client(server).sessions.list();
  await client(server).sessions.list(); // another page, the same browser
  assert.deepEqual(sent(server), [
    `${SESSIONS} -`, `${VISITORS} -`, `${SESSIONS} v1`, `${SESSIONS} v1`,
  ]);
});

test("a server without visitors is not asked for a token, nor one that asks for none", async (t) => {
  const storage = browser(t);
  const server = fakeServer(refused, found);
  await assert.rejects(client(server).sessions.list(), { code: "unauthorized", status: 401 });
  await client(server).sessions.list();
  assert.deepEqual(sent(server), [`${SESSIONS} -`, `${SESSIONS} -`]);
  assert.equal(storage.values.size, 0);
});

test("requests at the same time become one visitor", async (t) => {
  browser(t);
  const server = fakeServer(welcome, welcome, welcome, visitor("v1"), found, found, found);
  const chat = client(server);
  await Promise.all([chat.sessions.list(), chat.sessions.list(), chat.sessions.list()]);
  assert.equal(sent(server).filter((each) => each.startsWith(VISITORS)).length, 1);
  assert.deepEqual(sent(server).slice(-3), Array(3).fill(`${SESSIONS} v1`));
});

test("tabs that ask at the same time become one visitor, the one that is kept first", async (t) => {
  const storage = browser(t);
  const other = async () => {
    await client(fakeServer(welcome, visitor("theirs"), found)).sessions.list();
    return json({ token: "mine", expiresIn: DAY }, 201);
  };
  const server = fakeServer(welcome, other, found);
  await client(server).sessions.list();
  assert.equal(sent(server).at(-1), `${SESSIONS} theirs`);
  assert.equal([...storage.values.values()].some((value) => value.includes("mine")), false);
});

test("it is renewed when half of its time is over, as the same visitor", async (t) => {
  browser(t);
  const server = fakeServer(welcome, visitor("v1", 2 * DAY), found, found, visitor("v2", 2 * DAY), found, found);
  const chat = client(server);
  await chat.sessions.list();
  later(t, DAY - 60);
  await chat.sessions.list();
  t.mock.timers.reset();
  later(t, DAY + 60);
  await chat.sessions.list();
  await chat.sessions.list();
  assert.deepEqual(sent(server).slice(3), [
    `${SESSIONS} v1`, `${VISITORS} v1`, `${SESSIONS} v2`, `${SESSIONS} v2`,
  ]);
});

test("if it cannot be renewed, the old one is sent for as long as it is good, and then there is a new visitor", async (t) => {
  browser(t);
  const away = () => Promise.reject(new TypeError("fetch failed"));
  const server = fakeServer(
    welcome, visitor("v1", 2 * DAY), found, away, found, refused, welcome, visitor("v2"), found,
  );
  const chat = client(server);
  await chat.sessions.list();
  later(t, DAY + 60);
  await chat.sessions.list();
  await chat.sessions.list();
  assert.deepEqual(sent(server).slice(3), [
    `${VISITORS} v1`, `${SESSIONS} v1`,
    `${VISITORS} v1`, `${SESSIONS} v1`, `${VISITORS} -`, `${SESSIONS} v2`,
  ]);
});

test("a refusal of new visitors is the error of the call", async (t) => {
  browser(t);
  const full = errorResponse(429, { error: "Wait.", code: "visitor_limit" }, { "Retry-After": "120" });
  await assert.rejects(client(fakeServer(welcome, full)).sessions.list(), {
    code: "visitor_limit", retryAfter: 120_000, message: "Wait.",
  });
});

test("where nothing can be stored, it is kept for as long as the page is open", async (t) => {
  const storage = browser(t);
  storage.getItem = storage.setItem = () => {
    throw new DOMException("denied", "SecurityError");
  };
  const server = fakeServer(welcome, visitor("v1"), found, found);
  const chat = client({ options: { ...server.options, baseUrl: "http://chat.test/unstored" } });
  await chat.sessions.list();
  await chat.sessions.list();
  assert.equal(server.requests.at(-1).headers.get("x-api-key"), "v1");
});

test("what is stored and is no token counts as none", async (t) => {
  browser(t, { "chatproxy visitor http://chat.test/base": "{not json" });
  const server = fakeServer(found);
  await client(server).sessions.list();
  assert.deepEqual(sent(server), [`${SESSIONS} -`]);
});

test("a message is sent again, with its own clientMessageId, as a visitor", async (t) => {
  browser(t);
  const server = fakeServer(welcome, visitor("v1"), stream([start, done("")]));
  await client(server).sendMessageStream("s", { message: "Hello" });
  const [first, , again] = server.requests;
  assert.deepEqual([first.path, again.path], [POST, POST]);
  assert.deepEqual(again.body, first.body);
});

test("a page's own token is never replaced by a visitor's", async (t) => {
  browser(t, { "chatproxy visitor http://chat.test/base": '{"token":"v1","renewAt":9e15}' });
  for (const headers of [{ Authorization: "Bearer own" }, { "x-api-key": "own" }, () => ({ "X-Api-Key": "own" })]) {
    const server = fakeServer(welcome);
    await assert.rejects(client(server, { headers }).sessions.list(), { code: "unauthorized" });
    assert.equal(server.requests.length, 1);
  }
});

test("a function is asked for headers once more after a refusal, and is told why", async (t) => {
  browser(t);
  const reasons = [];
  const headers = async (reason) => {
    reasons.push(reason);
    return { "x-api-key": reason.unauthorized ? "fresh" : "stale" };
  };
  const server = fakeServer(refused, stream([start, done("")]));
  await client(server, { headers }).sendMessageStream("s", { message: "Hello" });
  assert.deepEqual(sent(server), [`${POST} stale`, `${POST} fresh`]);
  assert.deepEqual(reasons, [{ unauthorized: false }, { unauthorized: true }]);

  const never = fakeServer(refused, refused);
  await assert.rejects(client(never, { headers }).sessions.list(), { code: "unauthorized" });
  assert.equal(never.requests.length, 2);
});
