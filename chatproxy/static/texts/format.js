// Numbers, times and plurals in a language, or in the reader's own variant of it: one of de-AT gets those of Austria.

/** @param {string} tag such as de-AT @returns {string} such as de */
export const baseOf = (tag) => tag.toLowerCase().split("-")[0] ?? "";

/** @param {string} language */
const localeOf = (language) =>
  globalThis.navigator?.languages?.find((tag) => baseOf(tag) === language) ?? language;

/** @param {string} language @param {number} value @param {number} [digits] after the point */
export const number = (language, value, digits = 0) =>
  value.toLocaleString(localeOf(language), { minimumFractionDigits: digits, maximumFractionDigits: digits });

/**
 * Return the form that the number needs.
 *
 * @param {string} language
 * @param {number} value
 * @param {Partial<Record<Intl.LDMLPluralRule, string>> & {other: string}} forms
 * @param {Intl.PluralRuleType} [type]
 */
export const plural = (language, value, forms, type = "cardinal") =>
  forms[new Intl.PluralRules(language, { type }).select(value)] ?? forms.other;

const SYMBOLS = { s: " s", min: " min" };

/** @param {string} language @param {number} seconds */
export function duration(language, seconds, { s, min } = SYMBOLS) {
  if (seconds < 10) return number(language, Math.max(0.1, seconds), 1) + s;
  return seconds < 90 ? number(language, seconds) + s : number(language, seconds / 60) + min;
}

/**
 * Return a duration that is only estimated.
 *
 * @param {string} language
 * @param {number} seconds
 */
export const estimate = (language, seconds, { s, min } = SYMBOLS) =>
  seconds < 60 ? number(language, Math.ceil(seconds / 5) * 5) + s : number(language, seconds / 60) + min;

/** @param {string} language @param {number} tokensPerSecond */
export const rate = (language, tokensPerSecond) =>
  number(language, tokensPerSecond, tokensPerSecond < 10 ? 1 : 0);

/**
 * Say when, as short as it is clear: a time of today is only a time.
 *
 * @param {string} language
 * @param {Date} time
 */
export const clock = (language, time) => {
  const today = time.toDateString() === new Date().toDateString();
  const minutes = /** @type {const} */ ({ hour: "numeric", minute: "2-digit" });
  const format = today ? minutes : /** @type {const} */ ({ month: "short", day: "numeric", ...minutes });
  return time.toLocaleString(localeOf(language), format);
};

/** @param {string} language @param {Date} time */
export const day = (language, time) => time.toLocaleDateString(localeOf(language));

/** @param {string} language @param {Date} time */
export const moment = (language, time) =>
  `${day(language, time)} ${time.toLocaleTimeString(localeOf(language))}`;

/**
 * @param {string} language
 * @param {number} count
 * @param {string} bytes the word
 */
export function size(language, count, bytes) {
  if (count < 1000) return `${number(language, count)} ${bytes}`;
  return count < 1e6 ? `${number(language, count / 1e3)} kB` : `${number(language, count / 1e6, 1)} MB`;
}

/**
 * Keep a text of the reader's apart, which may be of another direction.
 *
 * @param {string} text
 */
export const isolated = (text) => `\u2068${text}\u2069`;
