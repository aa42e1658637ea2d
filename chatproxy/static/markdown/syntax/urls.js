// Bare URLs. They end before the punctuation of the sentence, also that of scripts without spaces, and before
// letters of such scripts (`请看https://a.org/docs的说明`), unless a part of the address begins with these
// (`https://zh.wikipedia.org/wiki/中国`).

import { isLetter, isUnspaced } from "./characters.js";

const START = /https?:\/\/|www\./i;
const HOST = /^(?:https?:\/\/[\w.-]*[a-z\d]|www\.[\w.-]*\.[a-z\d]+)(?::\d{1,5}(?!\d))?/i;
const ASCII = /[\w!#$%&'()*+,\-./:;=?@[\]{|}~^]/;
const PART = /[/?#=&+_-]/; // a new part of the address begins behind it
const SENTENCE = /(?<![?!.,:;*_~'^|])[?!.,:;*_~'^|]+$/;
const WORD = /[A-Za-z\d@/.]$/;

/** @type {import("../syntax.js").Syntax} */
export const urls = {
  extensions: [
    {
      name: "url",
      level: "inline",
      start: (text) => START.exec(text)?.index,
      tokenizer(text, tokens) {
        const host = HOST.exec(text)?.[0];
        if (!host || this.lexer.state.inLink) return undefined;
        if (WORD.test(tokens.at(-1)?.raw ?? "")) return { type: "text", raw: host, text: host };
        const raw = host + path(text.slice(host.length));
        const href = raw.toLowerCase().startsWith("www.") ? `http://${raw}` : raw;
        return { type: "link", raw, text: raw, href, tokens: [{ type: "escape", raw, text: raw }] };
      },
    },
  ],
};

/**
 * Return the path, query and fragment at the beginning of a text.
 *
 * @param {string} text
 */
function path(text) {
  if (!/^[/?#]/.test(text)) return "";
  let length = 0;
  let part = false; // whether a part has begun, and has only letters of scripts without spaces so far
  let open = 0; // brackets
  for (const character of text) {
    if (ASCII.test(character)) {
      open += /[([{]/.test(character) ? 1 : /[)\]}]/.test(character) ? -1 : 0;
      part = PART.test(character);
    } else if (!isLetter(character) || (isUnspaced(character) && !part)) {
      break;
    } else {
      part &&= isUnspaced(character);
    }
    if (open < 0) break;
    length += character.length;
  }
  return text.slice(0, length).replace(SENTENCE, "");
}
