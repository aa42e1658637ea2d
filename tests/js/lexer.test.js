// Reading Markdown takes time in proportion to the text, whatever the text is.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ListCode } from "../../chatproxy/static/markdown/list-code.js";
import { loadLexer } from "../../chatproxy/static/markdown/lexer.js";
import { more } from "../../chatproxy/static/markdown/needs.js";
import { typedLexer } from "../../chatproxy/static/markdown/typed-lexer.js";

const LENGTH = 16_384; // characters; no text that is lexed at once is longer, code aside
const FLOOR = 40; // ms of processor time: what is faster is not worth measuring
const LIMIT = 3; // for twice the text; 2 is linear, 4 quadratic
const FENCE = "```";
const PIECES = [
  "<b>", "<b>x</b>", "<b a='", "[^", "[^a]", "[^a]: b\n", "~", "~~a ", "**。", "*a ", "a* *b ", "a_", "__a__", "<!--", "<!--\n\n",
  "<details>", "<details>\n", "<details><summary>", "`a", "&a", "&Aacute", "https://a.b/", "www.", "C:\\", "a\n", `${FENCE}js\n`,
  `${FENCE}\n`, "- ```\n", "[a](b", "<br>", "。", "ا-", "    ", "\n    ",
];

/** Return the processor time in milliseconds, the best of three. @param {() => void} work */
const timeOf = (work) => {
  const once = () => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  return Math.min(once(), once(), once());
};

/** Return the pieces that take more than linear time. @param {(text: string) => void} read */
const superlinear = (read) =>
  PIECES.filter((piece) => {
    const time = (length) => timeOf(() => read(piece.repeat(length / piece.length)));
    const isLong = () => {
      const whole = time(LENGTH);
      return whole >= FLOOR && whole >= LIMIT * time(LENGTH / 2);
    };
    return isLong() && isLong(); // once may be chance
  });

await more.load();
const newLexer = await loadLexer();

test("what models write", { skip: newLexer === null && "marked is missing" }, () => {
  assert.deepEqual(superlinear((text) => newLexer().lex(text)), []);
});

test("what readers write", () => {
  assert.deepEqual(superlinear((text) => typedLexer.lex(text)), []);
});

test("code in lists", () => {
  assert.deepEqual(superlinear((text) => new ListCode().read(text)), []);
  assert.deepEqual(superlinear((text) => { const code = new ListCode(); for (const letter of text) code.read(letter); }), []);
});
