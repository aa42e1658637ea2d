// The page's line about Ollama: when it asks, and what it shows. Time is the test's.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

globalThis.document = /** @type {any} */ ({ documentElement: {} });
globalThis.navigator ??= /** @type {any} */ ({ languages: [] });
const { OllamaBanner } = await import("../../chatproxy/static/page/ollama-banner.js");

const HERE = { reachable: true, version: "0.32.5" };
const AWAY = { reachable: false, code: "upstream_unavailable" };
const SECOND = 1000;

/** A page with a line in it, and a chatproxy that answers as the test says. */
class Page {
  /** @type {object | undefined} Ollama's state; undefined: chatproxy answers with a 502 */
  ollama = HERE;
  hangs = false; // whether chatproxy answers at all
  asked = 0;
  aborted = 0;
  changes = []; // texts that a screen reader would announce
  reads = []; // what `onread` was called with
  hidden = false;
  #listeners = [];
  #text = "";

  constructor() {
    const page = this;
    const element = {
      get textContent() {
        return page.#text;
      },
      set textContent(text) {
        page.#text = text;
        page.changes.push(text);
      },
      classList: { toggle() {} },
    };
    globalThis.document = /** @type {any} */ ({
      get hidden() {
        return page.hidden;
      },
      addEventListener: (_type, listener) => page.#listeners.push(listener),
    });
    globalThis.fetch = /** @type {any} */ ((_url, { signal }) => page.#fetch(signal));
    this.banner = new OllamaBanner(/** @type {any} */ (element), "http://localhost/", (reachable) => {
      this.reads.push(reachable);
    });
  }

  get shown() {
    return this.#text.startsWith("Ollama cannot be reached");
  }

  #fetch(signal) {
    this.asked += 1;
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => {
        this.aborted += 1;
        reject(signal.reason);
      });
      const body = { status: "ready", ollama: this.ollama };
      if (!this.hangs) resolve({ ok: this.ollama !== undefined, json: async () => body });
    });
  }

  setHidden(hidden) {
    this.hidden = hidden;
    for (const listener of this.#listeners) listener();
  }

  /** Let time pass, and what is due happen. */
  async pass(seconds) {
    for (let passed = 0; passed < seconds * SECOND; passed += 100) {
      await new Promise(setImmediate);
      mock.timers.tick(100);
    }
    await new Promise(setImmediate);
  }
}

const original = { fetch: globalThis.fetch, document: globalThis.document };
beforeEach(() => mock.timers.enable({ apis: ["setTimeout", "Date"] }));
afterEach(() => {
  mock.timers.reset();
  Object.assign(globalThis, original);
});

test("it comes and goes on a page that nobody touches", async () => {
  const page = new Page();
  page.banner.refresh();
  await page.pass(60);
  assert.equal(page.shown, false);
  page.ollama = AWAY;
  await page.pass(2.7);
  assert.equal(page.shown, true);
  await page.pass(60);
  page.ollama = HERE;
  await page.pass(1.2);
  assert.equal(page.shown, false);
  assert.deepEqual([...new Set(page.reads)], [true, false]);
});

test("a minute without an event costs 24 requests, 60 while Ollama is away", async () => {
  const page = new Page();
  page.banner.refresh();
  await page.pass(60);
  assert.ok(page.asked <= 25, `${page.asked}`);
  page.ollama = AWAY;
  await page.pass(2.7);
  page.asked = 0;
  await page.pass(60);
  assert.ok(page.asked <= 60, `${page.asked}`);
});

test("it is announced once, however often it is found to be true", async () => {
  const page = new Page();
  page.ollama = AWAY;
  page.banner.refresh();
  await page.pass(60);
  assert.equal(page.changes.length, 1);
  page.ollama = HERE;
  await page.pass(60);
  assert.deepEqual(page.changes.slice(1), [""]);
});

test("a hidden page asks for nothing, and asks at once when it is seen", async () => {
  const page = new Page();
  page.hidden = true; // it was opened in the background
  page.banner.refresh();
  await page.pass(60);
  assert.equal(page.asked, 0);
  page.setHidden(false);
  await page.pass(10);
  page.hangs = true;
  await page.pass(2.7); // a question is under way
  page.setHidden(true);
  page.asked = 0;
  page.hangs = false;
  page.ollama = AWAY;
  await page.pass(3600);
  assert.equal(page.asked, 0);
  page.setHidden(false);
  await page.pass(0.1);
  assert.equal(page.shown, true);
});

test("events do not multiply the questions", async () => {
  const page = new Page();
  for (let number = 0; number < 20; number += 1) page.banner.refresh();
  page.asked = 0;
  await page.pass(60);
  assert.ok(page.asked <= 24, `${page.asked}`);
});

test("a question that is never answered is given up, and asked again", async () => {
  const page = new Page();
  page.ollama = AWAY;
  page.banner.refresh();
  await page.pass(1);
  page.hangs = true;
  await page.pass(5);
  page.hangs = false;
  page.ollama = HERE;
  await page.pass(3.7);
  assert.equal(page.shown, false);
  assert.ok(page.aborted > 0);
});

for (const [name, fail] of [
  ["does not answer", (page) => (page.hangs = true)],
  ["cannot tell", (page) => (page.ollama = undefined)],
]) {
  test(`a chatproxy that ${name} says nothing of Ollama: the line stays a while, then goes`, async () => {
    const page = new Page();
    page.ollama = AWAY;
    page.banner.refresh();
    await page.pass(1);
    fail(page);
    await page.pass(8);
    assert.equal(page.shown, true);
    await page.pass(8);
    assert.equal(page.shown, false);
    page.hangs = false;
    page.ollama = AWAY;
    await page.pass(4);
    assert.equal(page.shown, true);
  });
}
