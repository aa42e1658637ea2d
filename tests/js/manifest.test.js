// custom-elements.json against the classes and sources of the elements: nothing is missing in it, and nothing is invented.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import * as exported from "../../chatproxy/static/index.js";

const STATIC = new URL("../../chatproxy/static/", import.meta.url);
const read = (path) => readFileSync(new URL(path, STATIC), "utf8");
const { modules } = JSON.parse(read("custom-elements.json"));
const LIFECYCLE = ["constructor", "connectedCallback", "disconnectedCallback", "attributeChangedCallback"];

const names = (entries = []) => entries.map(({ name }) => name).sort();
const matches = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, name]) => name))].sort();

// The module of each class and that of its style sheet. What is made for one element only begins with its name.
const SOURCES = {
  ChatInterface: ["chat-element.js", "styles.js"],
  ChatLauncher: ["launcher-element.js", "launcher-styles.js"],
  ChatHistory: ["history-element.js", "history-styles.js"],
};
const files = readdirSync(new URL("element/", STATIC));
const partsOf = (module) => {
  const prefix = /^(launcher|history)-/;
  const [own] = module.match(prefix) ?? [];
  return files.filter((name) => (own ? name.startsWith(own) : !prefix.test(name)));
};

test("every element that the package exports is described", () => {
  const classes = Object.values(exported).filter((each) => typeof each === "function" && "observedAttributes" in each);
  assert.deepEqual(modules.flatMap(({ declarations }) => names(declarations)).sort(), names(classes));
  assert.deepEqual(Object.keys(SOURCES).sort(), names(classes));
});

for (const module of modules) {
  const { declarations: [declaration], exports } = module;
  const Class = exported[declaration.name];
  const [elementFile, stylesFile] = SOURCES[declaration.name];
  const sources = partsOf(elementFile).map((name) => read(`element/${name}`)).join("\n");
  const element = read(`element/${elementFile}`);
  const styles = read("element/base-styles.js") + read(`element/${stylesFile}`);

  describe(declaration.tagName, () => {
    test("attributes are those that the class reads or sets, or the style sheet selects", () => {
      const used = matches(element, /(?:this\.\w+Attribute\(|reflect\(this, )"([a-z-]+)"/g);
      const selected = matches(styles, /:host\(\[([a-z-]+)/g).filter((name) => name !== "hidden");
      const { observedAttributes } = Class;
      assert.deepEqual(names(declaration.attributes), [...new Set([...used, ...selected, ...observedAttributes])].sort());
    });

    test("members are the public ones of the class, static ones included", () => {
      const own = Object.entries(Object.getOwnPropertyDescriptors(Class.prototype)).filter(([name]) => !LIFECYCLE.includes(name));
      const kinds = own.map(([name, { value, set }]) => [name, value ? "method" : set ? "field" : "readonly field"]);
      const members = declaration.members.filter((member) => !member.static);
      const described = members.map(({ name, kind, readonly }) => [name, readonly ? `readonly ${kind}` : kind]);
      assert.deepEqual(Object.fromEntries(described), Object.fromEntries(kinds));
      const statics = Object.getOwnPropertyNames(Class).filter((name) => typeof Class[name] === "function");
      assert.deepEqual(names(declaration.members.filter((member) => member.static)), statics.filter((name) => name !== "prototype"));
    });

    test("attributes and the fields that reflect them name each other", () => {
      const byField = declaration.members.filter(({ attribute }) => attribute).map(({ name, attribute, reflects }) => [attribute, name, reflects]);
      const reflected = declaration.attributes.filter(({ fieldName }) => fieldName);
      assert.deepEqual(byField.sort(), reflected.map(({ name, fieldName }) => [name, fieldName, true]).sort());
    });

    test("events are those that the class emits", () => {
      assert.deepEqual(names(declaration.events), matches(element, /#emit\("(chat-[a-z]+)"/g));
    });

    test("CSS custom properties are those of the style sheet, with its defaults", () => {
      assert.deepEqual(names(declaration.cssProperties), matches(styles, /var\((--chat-[a-z-]+)/g));
      for (const { name, default: value } of declaration.cssProperties) assert.ok(styles.includes(`var(${name}, ${value})`), name);
    });

    test("parts and slots are those of the element", () => {
      const parts = matches(sources, /part: ["`]([^"`]+)["`]/g).flatMap((part) => part.replace("${role}", "user assistant").split(" "));
      assert.deepEqual(names(declaration.cssParts), [...new Set(parts)].sort());
      const slots = matches(sources, /h\("slot"(?:\)|, { name: "([a-z]+)")/g).map((name) => name ?? "");
      assert.deepEqual(names(declaration.slots), slots.sort());
    });

    test("the module exports the class and defines the element", () => {
      assert.deepEqual(exports.map(({ kind, name }) => [kind, name]), [["js", Class.name], ["custom-element-definition", declaration.tagName]]);
      assert.match(read(module.path), new RegExp(`export const ${Class.name} = Element.define\\(\\);`));
    });

    test("define() returns the class where there is no registry", () => {
      assert.equal(globalThis.customElements, undefined);
      assert.equal(Class.define(), Class);
      assert.equal(Class.define("other-tag"), Class);
    });
  });
}

test("what the launcher passes on are attributes of the chat, described alike", () => {
  const [chat, launcher] = ["ChatInterface", "ChatLauncher"].map((name) => modules.find(({ declarations: [each] }) => each.name === name).declarations[0]);
  const all = new Map(chat.attributes.map(({ fieldName, ...described }) => [described.name, described]));
  all.delete("busy"); // what the element sets itself
  assert.deepEqual(launcher.attributes.filter(({ fieldName }) => !fieldName), launcher.attributes.filter(({ name }) => all.has(name)).map(({ name }) => all.get(name)));
  assert.deepEqual(launcher.attributes.filter(({ fieldName }) => !fieldName).map(({ name }) => name).sort(), [...all.keys()].sort());
});
