// The languages that there are texts in. Those of all but English are loaded when they are needed.

import { baseOf } from "./format.js";

/** @typedef {typeof import("./en.js") & {markup: Readonly<Record<string, string>>}} Texts */

/** @type {Record<string, () => Promise<Texts>>} */
const OTHERS = {
  de: () => import("./de.js"),
  es: () => import("./es.js"),
  fr: () => import("./fr.js"),
  ja: () => import("./ja.js"),
  zh: () => import("./zh.js"),
};

/**
 * Return the first language that there are texts in; "en" if there is none.
 *
 * @param {readonly string[]} wanted tags such as de-AT
 */
export const languageOf = (wanted) =>
  wanted.map(baseOf).find((language) => language === "en" || Object.hasOwn(OTHERS, language)) ?? "en";

/**
 * Load the texts; null for those in English, and if they cannot be loaded.
 *
 * @param {string} language as `languageOf` returns it
 */
export const loadTexts = async (language) => (await OTHERS[language]?.().catch(() => null)) ?? null;
