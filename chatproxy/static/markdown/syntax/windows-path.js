// A path of Windows: what follows its backslashes is not escaped (`C:\path\*`).

const PATH = /^[A-Za-z]:(?=\\)(?:\\[^\s`<>|]|[^\s\\*`<>|])+/;
const START = /[A-Za-z]:\\/;
const LETTER = /[\p{L}\p{N}]$/u;

/** @type {import("../syntax.js").Syntax} */
export const windowsPath = {
  extensions: [
    {
      name: "windowsPath",
      level: "inline",
      start: (text) => START.exec(text)?.index,
      tokenizer(text, tokens) {
        const raw = PATH.exec(text)?.[0];
        if (!raw || LETTER.test(tokens.at(-1)?.raw ?? "")) return undefined;
        return { type: "escape", raw, text: raw };
      },
    },
  ],
};
