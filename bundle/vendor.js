// Bundles each module of vendor/ with the npm packages that it names: `npm run vendor -- FOLDER` writes NAME.js for each
// into the folder, THIRD-PARTY.txt with the licences of all packages that are in them, and sbom.cdx.json (CycloneDX).

import { build } from "esbuild";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { markedLexer } from "./marked.js";

const LICENCES = "THIRD-PARTY.txt";
const [folder] = process.argv.slice(2);
const lock = JSON.parse(await readFile("package-lock.json", "utf8"));
const bundled = new Map(); // the packages, by name

for (const name of (await readdir("vendor")).sort()) {
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
  const banner = packages.map(({ name, version, license }) => `/*! ${name} ${version}, ${license}: ${LICENCES} */\n`);
  await writeFile(join(folder, name), banner.join("") + outputFiles[0].text);
  for (const each of packages) bundled.set(each.name, each);
}
const packages = [...bundled.keys()].sort().map((name) => bundled.get(name));
await writeFile(join(folder, LICENCES), packages.map(licencesOf).join("\n"));
await writeFile(join(folder, "sbom.cdx.json"), `${JSON.stringify(billOf(packages), null, 2)}\n`);

/** Return the names of the packages that the files are from. */
function packagesIn(files) {
  const names = files.map((file) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  return [...new Set(names.filter(Boolean))].sort();
}

/**
 * Return a package's version, and the texts of its licence, of those that its files have by themselves, and of those
 * that these only name; one without a licence cannot be bundled.
 */
async function describe(name, files) {
  const path = `node_modules/${name}`;
  const { version, license } = JSON.parse(await readFile(join(path, "package.json"), "utf8"));
  const file = (await readdir(path)).find((each) => /^licen[cs]e/i.test(each));
  if (!file) throw new Error(`${name} has no licence`);
  const own = files.filter((each) => each.startsWith(`${path}/`)).map((each) => readFile(each, "utf8"));
  const headers = (await Promise.all(own)).flatMap((text) => text.match(/\/\*[^]*?\*\//g) ?? []).filter(isLicence);
  const texts = [await readFile(join(path, file), "utf8"), ...new Set(headers)];
  const isApache = texts.some((text) => /Apache License, Version 2\.0/.test(text));
  if (isApache) texts.push(await readFile("licences/Apache-2.0.txt", "utf8"));
  const licences = isApache ? [license, "Apache-2.0"] : [license];
  return { name, version, license: licences.join(" and "), licences, texts };
}

/** Return whether a comment names a licence and who gives it. */
function isLicence(comment) {
  return /copyright/i.test(comment) && /licen[cs]e/i.test(comment);
}

/** Return what THIRD-PARTY.txt says of a package. */
function licencesOf({ name, version, license, texts }) {
  const title = `${name} ${version} (${license})`;
  return [title, "=".repeat(title.length), ...texts.map((text) => `\n${text.trim()}\n`)].join("\n");
}

/** Return the bill of materials, with the hashes of the packages' archives. */
function billOf(packages) {
  const components = packages.map(({ name, version, licences }) => ({
    type: "library",
    "bom-ref": `pkg:npm/${name.replace("@", "%40")}@${version}`,
    name,
    version,
    hashes: [{ alg: "SHA-512", content: hashOf(name) }],
    licenses: licences.map((id) => ({ license: { id } })),
    purl: `pkg:npm/${name.replace("@", "%40")}@${version}`,
  }));
  return { bomFormat: "CycloneDX", specVersion: "1.6", version: 1, components };
}

/** Return the SHA-512 of a package's archive, in hexadecimal. */
function hashOf(name) {
  const [algorithm, digest] = lock.packages[`node_modules/${name}`].integrity.split(/-(.*)/);
  if (algorithm !== "sha512") throw new Error(`the lock has no SHA-512 of ${name}`);
  return Buffer.from(digest, "base64").toString("hex");
}
