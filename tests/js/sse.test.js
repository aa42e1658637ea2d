// The parser against `eventsource-parser`, an independent one, on the same bytes cut in every way.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createParser as createOracle } from "eventsource-parser";
import { createParser, ParseError } from "../../chatproxy/static/sse.js";
import { random } from "./random.js";

const FIXTURES = {
  "one event": "data: hello\n\n",
  "several lines": "data: one\ndata: two\ndata:three\n\ndata: next\n\n",
  "all fields": "event: add\nid: 17\ndata: x\nretry: 3000\n\nevent:\nid\ndata: y\n\n",
  "an id with NUL is ignored": "id: a\0b\ndata: x\n\n",
  "comments and unknown fields": ": hello\ndata: x\nfoo: bar\n:\nDATA: no\n\n",
  "empty data": "data\n\ndata:\n\ndata\ndata\n\n",
  "no data, no event": "event: nothing\n\nid: 1\n\n\n\n\ndata: x\n\n",
  "one space only": "data:  two\ndata:\ttab\ndata: : colon\n\n",
  "an unfinished event": "data: whole\n\ndata: half\n",
  CRLF: "data: one\r\ndata: two\r\n\r\nevent: e\r\ndata: x\r\n\r\ndata: last\r\n\r\n",
  CR: "data: one\rdata: two\r\revent: e\rdata: x\r\rdata: last\r\r: the end\n",
  "mixed line ends": "data: one\r\ndata: two\rdata: three\n\r\ndata: four\n\ndata: five\r\r\ndata: six\r\n\n",
  "Unicode's line ends do not count": "data: a\u0085b\u2028c\u2029d\u000be\u000cf\n\n",
  "many scripts": "data: Grüße 你好 👩‍👩‍👧‍👦 שלום\r\ndata: 𝒳🇦🇶\n\n",
  "chatproxy's own": 'data: {"type":"chunk","content":"Hi 👋","cursor":"0.4"}\nid: 0.4\n\ndata: {"type":"done"}\nid: 0.4.end\n\n',
};

/** @param {(string | Uint8Array)[]} pieces */
const parse = (pieces) => {
  const events = [];
  const parser = createParser((event) => events.push(event));
  for (const piece of pieces) parser.feed(piece);
  return events;
};

/** @param {string} text */
const parseByOracle = (text) => {
  const events = [];
  createOracle({ onEvent: ({ data, event, id }) => events.push({ data, event, id }) }).feed(text);
  return events;
};

/** Feed the pieces until one is too much; return the events and errors on the way. */
const feedUntilError = (parser, pieces, log) => {
  for (const piece of pieces) {
    parser.feed(piece);
    if (log.at(-1)?.type === "max-buffer-size-exceeded") break;
  }
  return log;
};

const details = ({ type, field, value, line }) => ({ type, field, value, line });

/** @param {Uint8Array} bytes @param {number[]} places */
const cut = (bytes, places) => [0, ...places].map((from, index) => bytes.subarray(from, places[index]));

for (const [name, text] of Object.entries(FIXTURES)) {
  const bytes = new TextEncoder().encode(text);
  test(`${name}: whole, by line, by character, by byte, in random pieces`, () => {
    const events = parseByOracle(text);
    assert.deepEqual(parse([text]), events);
    assert.deepEqual(parse([bytes]), events);
    assert.deepEqual(parse(text.split(/(?<=[\r\n])/)), events, "also between CR and LF");
    assert.deepEqual(parse([...text]), events);
    assert.deepEqual(parse(cut(bytes, [...bytes.keys()].slice(1))), events);
    assert.deepEqual(parse(["", text, ""]), events);
  });
  test(`${name}: cut in two at every byte`, () => {
    for (const place of bytes.keys()) assert.deepEqual(parse(cut(bytes, [place])), parseByOracle(text), `at ${place}`);
  });
}

test("random streams in random pieces", () => {
  const next = random(20_26);
  const parts = ["data: ", "data", ":", " ", "\n", "\n\n", "\r\n", "\r", "id: 1", "event: e", "é", "👋", "x", "\uFEFF"];
  for (let round = 0; round < 2_000; round++) {
    const text = Array.from({ length: 30 }, () => parts[Math.floor(next() * parts.length)]).join("") + "x";
    const bytes = new TextEncoder().encode(text.replace(/^\uFEFF/, "")); // the oracle does not strip a BOM from text
    const places = Array.from({ length: 5 }, () => Math.floor(next() * bytes.length)).sort((a, b) => a - b);
    assert.deepEqual(parse(cut(bytes, places)), parseByOracle(text.replace(/^\uFEFF/, "")), JSON.stringify(text));
  }
});

test("only a BOM at the very beginning is stripped, whole or cut", () => {
  const bytes = new TextEncoder().encode("\uFEFFdata: \uFEFFx\n\n");
  for (const pieces of [[bytes], cut(bytes, [1]), cut(bytes, [2]), cut(bytes, [1, 2]), ["\uFEFF", "data: \uFEFFx\n\n"]]) {
    assert.deepEqual(parse(pieces).map(({ data }) => data), ["\uFEFFx"]);
  }
});

test("a CR at the end of a piece ends the line at once; an LF after it is not a second end", () => {
  const events = [];
  const parser = createParser(({ data }) => events.push(data));
  parser.feed("data: one\r\r");
  assert.deepEqual(events, ["one"]);
  parser.feed("\ndata: two\r");
  parser.feed("\n");
  assert.deepEqual(events, ["one"]);
  parser.feed("\r");
  assert.deepEqual(events, ["one", "two"]);
});

test("reset drops the unfinished event, line and character", () => {
  const events = [];
  const parser = createParser(({ data }) => events.push(data));
  const cutOff = new TextEncoder().encode("data: gone\ndata: half 👋").subarray(0, -2);
  for (const lost of [cutOff, "data: gone\r"]) {
    parser.feed(lost);
    parser.reset();
    parser.feed("\uFEFFdata: kept\n\n");
  }
  assert.deepEqual(events, ["kept", "kept"]);
});

test("the time for a line of 10 MB in many pieces is linear", () => {
  const text = "x👋".repeat(10 * 1024 * 1024 / 5);
  const bytes = new TextEncoder().encode(`data: ${text}\n\n`);
  const time = (/** @type {number} */ share) => {
    const body = bytes.subarray(6, 6 + 5 * Math.floor((bytes.length - 8) * share / 5));
    const events = [];
    const parser = createParser(({ data }) => events.push(data.length));
    const began = process.cpuUsage();
    parser.feed(bytes.subarray(0, 6));
    for (let at = 0; at < body.length; at += 1_000) parser.feed(body.subarray(at, at + 1_000));
    parser.feed("\n\n");
    const { user, system } = process.cpuUsage(began);
    assert.deepEqual(events, [body.length / 5 * 3]);
    return user + system;
  };
  time(0.1); // warm
  const tenth = time(0.1);
  const whole = time(1);
  assert.ok(whole < 40 * Math.max(tenth, 5_000), `${whole} µs for ten times what took ${tenth} µs`);
  assert.ok(whole < 5_000_000);
});

test("10 MB in short lines are one event", () => {
  const lines = 200_000;
  const text = `data: ${"y".repeat(50)}\n`.repeat(lines);
  assert.equal(parse([text, "\n"])[0].data.length, lines * 51 - 1);
});

// -- errors and the limit

test("onError reports the same lines as the oracle's", () => {
  const text = "data: x\nfoo: bar\nbaz\n: comment\nretry: 3000\nretry: soon\nDATA: no\n\n";
  const [own, oracle] = [[], []];
  createParser(() => {}, { onError: (error) => own.push(error) }).feed(text);
  createOracle({ onError: (error) => oracle.push(error) }).feed(text);
  assert.deepEqual(own.map(details), oracle.map(details));
  assert.deepEqual(own.map(({ type }) => type), ["unknown-field", "unknown-field", "invalid-retry", "unknown-field"]);
  assert.ok(own.every((error) => error instanceof ParseError && error instanceof Error && error.message));
});

test("maxBufferSize stops at the same character as the oracle's", () => {
  const next = random(7);
  const parts = ["data: ", "data:", "x", "xxxx", "\n", "\n\n", "event: e\n", "id: 1\n"];
  for (let round = 0; round < 500; round++) {
    const characters = [...Array.from({ length: 20 }, () => parts[Math.floor(next() * parts.length)]).join("")];
    const [own, oracle] = [[], []];
    const maxBufferSize = 12;
    const parser = createParser(({ data }) => own.push(data), { maxBufferSize, onError: (error) => own.push(details(error)) });
    const other = createOracle({ maxBufferSize, onEvent: ({ data }) => oracle.push(data), onError: (error) => oracle.push(details(error)) });
    assert.deepEqual(feedUntilError(parser, characters, own), feedUntilError(other, characters, oracle), JSON.stringify(characters.join("")));
  }
});

test("maxBufferSize counts one unfinished event, however it is cut", () => {
  for (const text of ["data: 0123456789", ": a comment of 20", "data: 0123\ndata: 4567\ndata: 89", "data: 0123456789\n\n"]) {
    for (const pieces of [[text], [...text], [new TextEncoder().encode(text)]]) {
      const log = [];
      const parser = createParser(({ data }) => log.push(data), { maxBufferSize: 15, onError: (error) => log.push(error) });
      feedUntilError(parser, ["data: fits\n\n", ...pieces], log);
      assert.deepEqual(log.map((entry) => entry.type ?? entry), ["fits", "max-buffer-size-exceeded"], text);
    }
  }
});

test("after the limit, feed throws until reset", () => {
  const events = [];
  const parser = createParser(({ data }) => events.push(data), { maxBufferSize: 10 });
  parser.feed("data: 0123456789");
  assert.throws(() => parser.feed("\n\ndata: x\n\n"), /reset/);
  parser.reset();
  parser.feed("data: x\n\n");
  assert.deepEqual(events, ["x"]);
});

test("without options there is no limit, and odd lines are ignored silently", () => {
  assert.equal(parse([`foo: bar\ndata: ${"x".repeat(1_000_000)}`, "\n\n"])[0].data.length, 1_000_000);
});
