// What kinds of characters there are for Markdown. Each function is given one character, or "" beside a text's ends.

const SPACE = /^\s?$/u;
const PUNCTUATION = /[\p{P}\p{S}]/u;
const LETTER = /[\p{L}\p{M}\p{N}]/u;
const UNSPACED =
  /[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Bopo}\p{scx=Hang}\p{scx=Yiii}\p{scx=Thai}\p{scx=Laoo}\p{scx=Khmr}\p{scx=Mymr}\p{scx=Tibt}\u3000-\u303f\ufe10-\ufe6f\uff00-\uffef]/u;

/** @param {string} character */
export const isSpace = (character) => SPACE.test(character);

/** @param {string} character */
export const isPunctuation = (character) => PUNCTUATION.test(character);

/** @param {string} character @returns {boolean} whether it is a letter or figure */
export const isLetter = (character) => LETTER.test(character);

/** @param {string} character @returns {boolean} whether it is of a script without spaces between words, or Korean */
export const isUnspaced = (character) => UNSPACED.test(character);

/** @param {string} character @returns {boolean} whether it is part of a word that has spaces around it */
export const isWord = (character) => LETTER.test(character) && !UNSPACED.test(character);

/** @param {string} text */
export const firstCharacter = (text) => (text ? String.fromCodePoint(text.codePointAt(0) ?? 0) : "");

/** @param {string} text */
export const lastCharacter = (text) => [...text.slice(-2)].at(-1) ?? "";
