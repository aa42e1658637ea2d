// The texts: each language says all that English does, in words of its own.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import * as english from "../../chatproxy/static/texts/en.js";
import { languageOf, loadTexts } from "../../chatproxy/static/texts/languages.js";

const LANGUAGES = ["de", "es", "fr", "ja", "zh"];
const NAMES = ["API", "chatproxy", "Markdown", "JSON"]; // in index.html: the same everywhere
const TIME = new Date(2026, 10, 29, 14, 5);
// What functions are given; those that are missing here get numbers.
const SAMPLES = {
  "labels.cannotSee": [["Llama"], [null]],
  "labels.moment": [[TIME]],
  "labels.queued": [[2, 60], [11], [1, 20]],
  "labels.tokens": [[1200, 34], [null, 34]],
  "labels.took": [[0.5, 12], [null, 200]],
  "labels.written": [[TIME]],
  "page.documents.facts": [[12, TIME], [1234567, TIME]],
  "page.models.auto": [["Llama"], [""]],
};
const DEFAULT = [[1, 7, 8], [2, 7, 8]];
// What is the same word in both languages.
const SAME = {
  de: ["Code", "Chat", "Version 1 of 7"],
  es: ["Chat", "Ctrl", "Error"],
  fr: ["Code", "Chat", "Ctrl", "Conversation", "Conversations", "Image", "Suggestions", "Sources", "Documents"],
  ja: ["Ctrl", "Shift"],
  zh: ["Ctrl", "Shift"],
};

/** Return the texts by their paths, as in page.theme.dark; functions with what they return. */
function flat(texts, path) {
  return Object.entries(texts).flatMap(([key, text]) => {
    const name = `${path}.${key}`;
    if (typeof text === "object") return flat(text, name);
    if (typeof text === "string") return [[name, text]];
    return (SAMPLES[name] ?? DEFAULT).map((values, index) => [`${name} ${index}`, text(...values)]);
  });
}

const allOf = ({ labels, historyLabels, launcherLabels, page }) =>
  Object.fromEntries(Object.entries({ labels, historyLabels, launcherLabels, page }).flatMap(([path, texts]) => flat(texts, path)));

/** Return what the page says before there are scripts. */
function markupTexts() {
  const html = readFileSync(new URL("../../chatproxy/static/page/index.html", import.meta.url), "utf8");
  const [, body] = html.replaceAll(/<!--.*?-->|<noscript>.*?<\/noscript>/gs, "").split("<body>");
  const attributes = [...body.matchAll(/ (?:aria-label|title|placeholder)="(.*?)"/g)];
  const texts = [...body.matchAll(/>([^<>]+)</g)];
  return new Set([...attributes, ...texts].map(([, text]) => text.trim()).filter((text) => text && !NAMES.includes(text)));
}

for (const language of LANGUAGES) {
  describe(language, async () => {
    const texts = await loadTexts(language);
    const ours = allOf(texts);

    test("has all texts, and no others", () => {
      const theirs = allOf(english);
      assert.deepEqual(Object.keys(ours).sort(), Object.keys(theirs).sort());
      for (const [name, text] of Object.entries(ours)) assert.match(text, /^(?!.*(undefined|NaN|null|\[object)).*\S/s, name);
    });

    test("says them in its own words", () => {
      const left = Object.entries(allOf(english)).filter(([name, text]) => /\p{L}{3}/u.test(text.replaceAll(/Llama|auto/g, "")) && ours[name] === text);
      const strange = left.filter(([name, text]) => !SAME[language].includes(text));
      assert.deepEqual(strange, []);
    });

    test("has all texts of the page's markup, and no others", () => {
      assert.deepEqual(Object.keys(texts.markup).sort(), [...markupTexts()].sort());
    });
  });
}

test("English is there without loading", async () => {
  assert.equal(await loadTexts("en"), null);
});

test("the first language that there are texts in is chosen, whatever its country", () => {
  assert.equal(languageOf(["de-AT", "en"]), "de");
  assert.equal(languageOf(["nl", "pt-BR", "ZH-Hant-TW", "fr"]), "zh");
  assert.equal(languageOf(["en-GB", "fr"]), "en");
  assert.equal(languageOf(["", "constructor", "nl"]), "en");
  assert.equal(languageOf([]), "en");
});

test("plurals and numbers are those of the language", async () => {
  const [de, fr] = await Promise.all(["de", "fr"].map(loadTexts));
  assert.equal(english.labels.queued(22), "Queued, 22nd in line");
  assert.equal(fr?.labels.queued(1), "En file d’attente, 1er");
  assert.equal(fr?.page.selection.question(0), "Supprimer 0 conversation\u202f?");
  assert.equal(de?.labels.tokens(12345, 6), "12.345 Tokens gelesen, 6 Tokens geschrieben");
  assert.equal(de?.labels.thought(6), "6,0 s nachgedacht");
});
