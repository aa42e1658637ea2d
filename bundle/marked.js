// The lexer of marked, from the sources in its source map, without what markdown/syntax/ has in its place (emphasis and
// code between fences), without its other flavours of Markdown, and with its patterns as they are in the end.

import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

const ALL = [
  [/this\.options\.(?:pedantic|breaks)/g, "false"],
  [/this\.options\.gfm/g, "true"],
];
const LEXER = [
  [/ {2}\/\*\*\s+\* Expose Rules[^]*?(?= {2}\/\*\*\s+\* Preprocessing)/, ""],
  [/ {2}\/\*\*\s+\* Does this link text[^]*?(?= {2}\/\*\*\s+\* Lexing\/Compiling)/, ""],
  [/ {2}\/\*\*\s+\* Mask links, code spans[^]*?(?= {2}private infiniteLoopError)/, ""],
  [/(?<=#inlineTokensInner\(.*\{\n)[^]*?\n {2}\}\n/, "return this.#tokenizeInlines(src, tokens); }\n"],
  [/(?<=#tokenizeInlines\(src: string, )maskedSrc: string, /, ""],
  [/ {6}\/\/ fences\n[^]*?(?= {6}\/\/ heading\n)/, ""],
  [/ {6}\/\/ #4099 follow-up[^]*?(?= {6}\/\/ code\n)/, ""],
  [/ {6}\/\/ del \(gfm\)\n[^]*?(?= {6}\/\/ autolink\n)/, ""],
  [/ +if \(!keepPrevChar\) \{[^]*?\}\n/, ""],
  [/ +if \(token\.raw\.slice\(-1\) !== '_'\) \{[^]*?\}\n/, ""],
  [/^ +(?:let )?(?:keepPrevChar|prevChar) = .*\n/gm, ""],
];
const TOKENIZER = ["fences", "emStrong", "del"].map((name) => [
  new RegExp(`^ {2}${name}\\(src: string[^]*?^ {2}\\}\\n`, "m"),
  "",
]);
const EDITS = { "Lexer.ts": [...ALL, ...LEXER], "Tokenizer.ts": [...ALL, ...TOKENIZER] };

/** The plugin of the bundler. */
export const markedLexer = {
  name: "marked",
  setup({ onLoad, onResolve }) {
    onLoad({ filter: /marked\.esm\.js$/ }, () => ({
      contents: 'export { _Lexer as Lexer } from "./Lexer.ts"; export { _Tokenizer as Tokenizer } from "./Tokenizer.ts";',
    }));
    onResolve({ filter: /^\.\/\w+\.ts$/ }, ({ path, resolveDir, importer }) => ({
      path: join(resolveDir || dirname(importer), path),
      namespace: "marked",
    }));
    onLoad({ filter: /./, namespace: "marked" }, async ({ path }) => ({
      contents: await sourceOf(path.split("/").at(-1), dirname(path)),
      loader: "ts",
    }));
  },
};

/** Return a source of marked without what is left out. */
async function sourceOf(name, folder) {
  const { sources, sourcesContent } = JSON.parse(await readFile(join(folder, "marked.esm.js.map"), "utf8"));
  const read = (file) => edited(sourcesContent[sources.indexOf(`../src/${file}`)], EDITS[file] ?? []);
  if (name !== "rules.ts") return read(name);
  const { Lexer } = await import(pathToFileURL(join(folder, "marked.esm.js")));
  return rules(read(name), read("Lexer.ts") + read("Tokenizer.ts") + read("helpers.ts"), Lexer.rules);
}

function edited(source, edits) {
  return edits.reduce((text, [pattern, replacement]) => {
    const next = text.replace(pattern, replacement);
    if (next === text) throw new Error(`marked is written in another way: it has no ${pattern}`);
    return next;
  }, source);
}

/** Return the module of patterns, with those only that the other modules use. */
function rules(source, users, { block, inline }) {
  const [functions] = /function cachedIndentRegex[^]*?\n\}\n/.exec(source);
  const [tags] = /const _tag =[^]*?;\n/.exec(source);
  const [other] = /export const other = [^]*?\n\};\n/.exec(source);
  const isUsed = (name) => new RegExp(`(?:other|block|inline)\\.${name}\\b`).test(users);
  const used = (all) => Object.entries(all).filter(([name]) => isUsed(name)).map(([name, regex]) => `${name}: ${regex},`);
  return [
    functions,
    tags,
    other.replace(/^ {2}(\w+): .*\n/gm, (line, name) => (isUsed(name) ? line : "")),
    `export const block = { gfm: { ${used(block.gfm).join(" ")} } };`,
    `export const inline = { gfm: { ${used(inline.gfm).join(" ")} } };`,
  ].join("\n");
}
