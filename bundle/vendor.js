// Bundles each module of vendor/ with the npm packages that it names: `npm run vendor -- FOLDER` writes NAME.js for each
// into the folder, and PACKAGE.LICENSE for each package that is in one of them.

import { build } from "esbuild";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { markedLexer } from "./marked.js";

const [folder] = process.argv.slice(2);

for (const name of await readdir("vendor")) {
  const { metafile, outputFiles } = await build({
    entryPoints: [join("vendor", name)],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    metafile: true,
    write: false,
    plugins: [markedLexer],
  });
  const files = Object.keys(metafile.inputs);
  const packages = await Promise.all(packagesIn(files).map((each) => describe(each, files)));
  const banner = packages.map(({ title, licence }) => `/*! ${title}: ${licence} */\n`).join("");
  await writeFile(join(folder, name), banner + outputFiles[0].text);
  for (const { licence, text } of packages) await writeFile(join(folder, licence), text);
}

/** Return the names of the packages that the files are from. */
function packagesIn(files) {
  const names = files.map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  return [...new Set(names.filter(Boolean))].sort();
}

/**
 * Return a package's version, and its licence with those that its files have by themselves; one without a licence cannot
 * be bundled.
 */
async function describe(name, files) {
  const path = join("node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(path, "package.json"), "utf8"));
  const file = (await readdir(path)).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} has no licence`);
  const licence = `${name.replace("/", "-")}.LICENSE`;
  const own = files.filter((each) => each.startsWith(`${path}/`)).map((each) => readFile(each, "utf8"));
  const headers = (await Promise.all(own)).flatMap((text) => text.match(/\/\*[^]*?\*\//g) ?? []).filter(isLicence);
  const text = [await readFile(join(path, file), "utf8"), ...new Set(headers)].join("\n");
  return { title: `${name} ${version}, ${license}`, licence, text };
}

/** Return whether a comment names a licence and who gives it. */
function isLicence(comment) {
  return /copyright/i.test(comment) && /licen[cs]e/i.test(comment);
}
