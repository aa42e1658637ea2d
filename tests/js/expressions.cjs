// Prints the regular expressions in the modules that are named as arguments: [{place, source, flags}] as JSON.
//
// Node's own parser finds them: `node --expose-internals expressions.cjs a.js b.js`.

const { readFileSync } = require("node:fs");
const { parse } = require("internal/deps/acorn/acorn/dist/acorn");

/** @param {unknown} node @param {(node: any) => void} visit */
const walk = (node, visit) => {
  if (typeof node !== "object" || node === null) return;
  if ("type" in node) visit(node);
  for (const child of Object.values(node)) walk(child, visit);
};

/** @param {string} name */
const expressionsIn = (name) => {
  const found = [];
  const tree = parse(readFileSync(name, "utf8"), { ecmaVersion: "latest", sourceType: "module", locations: true });
  walk(tree, (node) => {
    const place = `${name}:${node.loc.start.line}`;
    const constructed = /^(New|Call)Expression$/.test(node.type) && node.callee.name === "RegExp";
    if (node.type === "Literal" && node.regex) {
      found.push({ place, source: node.regex.pattern, flags: node.regex.flags });
    } else if (constructed) {
      const [source, flags] = node.arguments.map(({ value }) => value);
      if (typeof source !== "string") throw new Error(`${place}: an expression made at run time cannot be measured`);
      found.push({ place, source, flags: flags ?? "" });
    }
  });
  return found;
};

console.log(JSON.stringify(process.argv.slice(2).flatMap(expressionsIn)));
