// Every regular expression takes time in proportion to the text, whatever the text is.
//
// Each is run on hostile texts made of its own characters: many times the same, many times a pair, with and without a
// beginning that matches, and with an end that does not. `vendor` is left out: it is given short texts only.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import vm from "node:vm";

const STATIC = fileURLToPath(new URL("../../chatproxy/static/", import.meta.url));
const FINDER = fileURLToPath(new URL("expressions.cjs", import.meta.url));
const LENGTH = 16_384; // characters
const FLOOR = 20; // ms of processor time: what is faster is not worth measuring
const LIMIT = 3; // for twice the text; 2 is linear, 4 quadratic
const TIMEOUT = 2_000; // ms; exponential ones would never end

/** @param {string[]} files @returns {{place: string, source: string, flags: string}[]} */
const expressionsIn = (files) =>
  JSON.parse(execFileSync(process.execPath, ["--expose-internals", FINDER, ...files], { encoding: "utf8" }));

/** Return characters that the expression is about, and some that it is not. @param {string} source */
const charactersOf = (source) => {
  const classes = { s: " \t\n", d: "17", w: "a_", S: "a", D: "a", W: " ", n: "\n", t: "\t", r: "\r", b: "a" };
  const found = new Set("a ");
  for (const [, escaped, plain] of source.matchAll(/\\(.)|([^\\()|?{}])/gu)) {
    for (const character of (escaped && classes[escaped]) || escaped || plain) found.add(character);
  }
  return [...found].slice(0, 12);
};

/** @param {string} source @param {number} length */
function* textsFor(source, length) {
  const characters = charactersOf(source);
  const beginning = characters.slice(2).join("").slice(0, 8);
  for (const first of characters) {
    for (const second of characters) {
      const middle = (first === second ? first : first + second).repeat(length).slice(0, length);
      for (const end of ["", "\0"]) yield middle + end;
      yield `${beginning}${middle}\0`;
      yield `${second}${first.repeat(length)}\0`;
      yield `\0${first.repeat(length)}${second}\0`;
    }
  }
}

const context = vm.createContext({});
const matching = new vm.Script("text.replace(expression, '')");

/**
 * Return the processor time of matching everything once, in milliseconds; Infinity if it does not end.
 *
 * @param {RegExp} expression
 * @param {string} text
 */
const timeOf = (expression, text) => {
  const before = process.cpuUsage();
  try {
    matching.runInContext(Object.assign(context, { expression, text }), { timeout: TIMEOUT });
  } catch {
    return Infinity;
  }
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

/** @param {RegExp} expression @param {string} text */
const bestOf = (expression, text) => Math.min(...[1, 2, 3].map(() => timeOf(expression, text)));

/** Return a text for which the expression takes more than linear time. @param {{source: string, flags: string}} found */
const worstText = ({ source, flags }) => {
  const expression = new RegExp(source, flags.includes("g") ? flags : `${flags}g`);
  for (const text of textsFor(source, LENGTH)) {
    const time = timeOf(expression, text);
    if (time === Infinity) return text;
    if (time < FLOOR) continue;
    const whole = bestOf(expression, text);
    const half = bestOf(expression, text.slice(0, 4) + text.slice(4 + LENGTH / 2));
    if (whole >= FLOOR && whole >= LIMIT * half) return text;
  }
  return undefined;
};

/** @param {{place: string, source: string, flags: string}[]} found */
const superlinear = (found) => found.filter((expression) => worstText(expression) !== undefined);

test("the measurement finds what is not linear", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "expressions-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const planted = join(folder, "planted.js");
  writeFileSync(
    planted,
    "const a = [/(a+)+b/, /x\\/+$/, /\\s+$/u, new RegExp('(?:\\\\d+\\\\.?)+$', 'm')]; // /not one/\n" +
      "const linear = 4 / 2 / 1 + `${/a[/]b/.source}` + '/no/';\n",
  );
  const found = expressionsIn([planted]);
  assert.deepEqual(
    found.map(({ source }) => source),
    ["(a+)+b", "x\\/+$", "\\s+$", "(?:\\d+\\.?)+$", "a[/]b"],
  );
  assert.deepEqual(
    superlinear(found).map(({ source }) => source),
    ["(a+)+b", "\\s+$", "(?:\\d+\\.?)+$"],
  );
});

test("every expression of the browser side is linear", () => {
  const files = readdirSync(STATIC, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".js") && !name.startsWith("vendor") && !name.includes("node_modules"))
    .map((name) => join(STATIC, name));
  const found = expressionsIn(files);
  assert.ok(found.length > 10);
  assert.deepEqual(superlinear(found), []);
});
