// Which texts need more than most do: formulas, footnotes, tags and comments of HTML, character references, names with
// underscores, and blocks that are so long that they are cut.

import { Later } from "../dom/later.js";

const MARKS = /[<$]|__|\\[([]|\\begin\{|\[\^|&[#\w]+;/;

export const more = new Later(() => import("./more.js"));

/** @param {string} text @returns {boolean} whether a model's text may need more */
export const mayNeedMore = (text) => MARKS.test(text);
