// custom-elements.json against the element's class and sources: nothing is missing in it, and nothing is invented.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { ChatInterface } from "../../chatproxy/static/chat-interface.js";

const STATIC = new URL("../../chatproxy/static/", import.meta.url);
const read = (path) => readFileSync(new URL(path, STATIC), "utf8");
const sources = readdirSync(new URL("element/", STATIC)).map((name) => read(`element/${name}`)).join("\n");
const element = read("element/chat-element.js");
const styles = read("element/base-styles.js") + read("element/styles.js");
const { modules: [module] } = JSON.parse(read("custom-elements.json"));
const { declarations: [declaration], exports } = module;

const LIFECYCLE = ["constructor", "connectedCallback", "disconnectedCallback", "attributeChangedCallback"];

const names = (entries) => entries.map(({ name }) => name).sort();
const matches = (text, pattern) => [...new Set([...text.matchAll(pattern)].map(([, name]) => name))].sort();

test("attributes are those that the class reads or sets, or the style sheet selects", () => {
  const used = matches(element, /(?:Attribute|#reflect)\("([a-z-]+)"/g);
  const selected = matches(styles, /:host\(\[([a-z-]+)/g).filter((name) => name !== "hidden");
  const { observedAttributes } = ChatInterface;
  assert.deepEqual(names(declaration.attributes), [...new Set([...used, ...selected, ...observedAttributes])].sort());
});

test("members are the public ones of the class, static ones included", () => {
  const own = Object.entries(Object.getOwnPropertyDescriptors(ChatInterface.prototype)).filter(([name]) => !LIFECYCLE.includes(name));
  const kinds = own.map(([name, { value, set }]) => [name, value ? "method" : set ? "field" : "readonly field"]);
  const members = declaration.members.filter((member) => !member.static);
  const described = members.map(({ name, kind, readonly }) => [name, readonly ? `readonly ${kind}` : kind]);
  assert.deepEqual(Object.fromEntries(described), Object.fromEntries(kinds));
  const statics = Object.getOwnPropertyNames(ChatInterface).filter((name) => typeof ChatInterface[name] === "function");
  assert.deepEqual(names(declaration.members.filter((member) => member.static)), statics.filter((name) => name !== "prototype"));
});

test("attributes and the fields that reflect them name each other", () => {
  const byField = declaration.members.filter(({ attribute }) => attribute).map(({ name, attribute, reflects }) => [attribute, name, reflects]);
  assert.deepEqual(byField.sort(), declaration.attributes.map(({ name, fieldName }) => [name, fieldName, true]).sort());
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
  assert.deepEqual(names(declaration.slots), matches(sources, /h\("slot", { name: "([a-z]+)"/g));
});

test("the module exports the class and defines the element", () => {
  assert.equal(module.path, "chat-interface.js");
  assert.deepEqual(exports.map(({ kind, name }) => [kind, name]), [["js", ChatInterface.name], ["custom-element-definition", declaration.tagName]]);
});

test("define() returns the class where there is no registry", () => {
  assert.equal(globalThis.customElements, undefined);
  assert.equal(ChatInterface.define(), ChatInterface);
  assert.equal(ChatInterface.define("other-chat"), ChatInterface);
});
