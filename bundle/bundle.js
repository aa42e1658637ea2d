// Bundles the pages, the elements and the client: `npm run bundle -- STATIC` reads the folder and writes STATIC/dist.
//
// In dist/, what has a hash in its name never changes: the scripts and styles, and what they load later. A file with the
// path of a source, such as page/index.html, takes its place, and names those. Each file is there in its own words,
// with gzip and with Brotli. dist/sources.sha512 has the hashes of all that dist/ is made of.

import { build, transform } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";

const STATIC = resolve(process.argv[2]);
const DIST = join(STATIC, "dist");
const PAGES = ["page/index.html", "docs/index.html", "docs/element.html"];
const MODULE = /^chat-.*\.js$/; // pages elsewhere load these by their addresses
const AT_ONCE = /\/vendor\/marked\.js$/; // every answer needs it; whatever else is imported with `import()` comes later

const sources = new Set();
const later = new Map(); // the name of the bundle by the path of its module, as a promise

await rm(DIST, { recursive: true, force: true });
for (const page of PAGES) await write(page, await bundledPage(page));
for (const module of (await readdir(STATIC)).filter((name) => MODULE.test(name))) {
  const { js } = await bundle(nameOf(module), `export * from "./${module}";`);
  await write(module, `export * from "./dist/${js}";\n`);
}
await write("sources.sha512", (await Promise.all([...sources].sort().map(hashed))).join(""));
for (const file of await readdir(DIST, { recursive: true })) await compress(join(DIST, file));

/** Return the page, with one script and one style sheet in place of those that it names. */
async function bundledPage(page) {
  const source = await readFile(join(STATIC, page), "utf8");
  sources.add(page);
  const paths = [...source.matchAll(/<(?:link rel="stylesheet"|script).* (?:href|src)="((?:\.\.\/)?)static\/(.*?)"/g)];
  const imports = paths.map(([, , path]) => `import "./${path}";`);
  const { js, css } = await bundle(`chat-${dirname(page)}`, imports.join("\n"));
  const folder = `${paths[0][1]}static/dist/`;
  return source
    .replace(/ *<link rel="modulepreload".*\n/g, "")
    .replace(/( *)<link rel="stylesheet".*\n/, `$1<link href="${folder}${css}" rel="stylesheet">\n`)
    .replace(/ *<link rel="stylesheet".*\n/g, "")
    .replace(/(<script .*src=")(?:\.\.\/)?static\/.*?"/, `$1${folder}${js}"`);
}

/** Bundle the words of a module in STATIC into files called NAME-HASH, and return their names, by extension. */
async function bundle(name, contents) {
  const { metafile } = await build({
    stdin: { contents, resolveDir: STATIC },
    absWorkingDir: STATIC,
    outdir: DIST,
    entryNames: `${name}-[hash]`,
    bundle: true,
    ignoreAnnotations: true, // what package.json says about side effects is of the package's own modules
    minify: true,
    format: "esm",
    target: "es2022",
    metafile: true,
    plugins: [{ name: "chatproxy", setup }],
  });
  for (const source of Object.keys(metafile.inputs)) if (source !== "<stdin>") sources.add(source);
  const names = Object.keys(metafile.outputs).map((output) => relative("dist", output));
  return Object.fromEntries(names.map((each) => [each.split(".").at(-1), each]));
}

function setup({ onResolve, onLoad }) {
  onResolve({ filter: /./ }, resolveLater);
  onLoad({ filter: /styles\.js$/ }, minifyCSS);
}

/** Minify the style sheets in a module, which are template literals without expressions. */
async function minifyCSS({ path }) {
  const parts = (await readFile(path, "utf8")).split(/(?<=CSS = )`([^`]*)`/); // every second one is CSS
  const minified = parts.map(async (part, index) =>
    index % 2 ? JSON.stringify((await transform(part, { loader: "css", minify: true })).code) : part,
  );
  return { contents: (await Promise.all(minified)).join("") };
}

/** Bundle what is imported with `import()` into a file of its own. */
async function resolveLater({ kind, path, resolveDir }) {
  if (kind !== "dynamic-import" || AT_ONCE.test(path)) return undefined;
  const module = relative(STATIC, join(resolveDir, path)).replaceAll(sep, "/");
  if (!later.has(module)) later.set(module, bundle(nameOf(module), `export * from "./${module}";`));
  const { js } = await later.get(module);
  return { path: `./${js}`, external: true };
}

/** @param {string} module */
function nameOf(module) {
  return module.split("/").at(-1).replace(/\.js$/, "");
}

async function write(path, text) {
  await mkdir(dirname(join(DIST, path)), { recursive: true });
  await writeFile(join(DIST, path), text);
}

/** Return the line of a source in sources.sha512. */
async function hashed(path) {
  const digest = createHash("sha512").update(await readFile(join(STATIC, path))).digest("hex");
  return `${digest}  ${path}\n`;
}

async function compress(file) {
  if (!/\.(js|css|html)$/.test(file)) return;
  const content = await readFile(file);
  await writeFile(`${file}.gz`, gzipSync(content, { level: 9 }));
  await writeFile(`${file}.br`, brotliCompressSync(content));
}
