// Code in a list whose lines are not indented as its fence is: models forget to. CommonMark would end the list
// there, and take the closing fence for an opening one. So what belongs to the code is indented, while the text
// arrives.

const OPENING = /^( *(?:(?:[*+-]|\d{1,9}[.)]) +)*)(`{3,}(?=[^`]*$)|~{3,})/;
const MARKER = /^ *(?:(?:[*+-]|\d{1,9}[.)]) +)+/;
const FENCE = /^ *(`{3,}|~{3,})[ \t]*([^\s`]?)/;
const LONGEST = 256; // characters of a line that are looked at

export class ListCode {
  #item = 0; // how far the text of a list's item is indented; 0: there is no list
  /** @type {string[]} the fences that are open, from outside in */
  #fences = [];
  #indent = 0; // of the outermost one
  #shift = -1; // how much further its lines are indented; -1: none has come
  #line = ""; // the beginning of the line so far
  #begun = false; // whether it has words

  /**
   * Return what comes next in a text, indented where it has to be.
   *
   * @param {string} text any piece of it
   */
  read(text) {
    return text
      .split(/(?<=\n)/)
      .map((part) => this.#read(part))
      .join("");
  }

  /** @param {string} part of a line */
  #read(part) {
    const words = part.search(/[^\s]/);
    const begins = !this.#begun && words >= 0;
    const indent = begins ? this.#missing(this.#line.length + words, part.charAt(words)) : 0;
    this.#begun ||= begins;
    if (this.#line.length < LONGEST) this.#line += part;
    if (part.endsWith("\n")) this.#end();
    return indent ? part.slice(0, words) + " ".repeat(indent) + part.slice(words) : part;
  }

  /**
   * Return how many spaces a line lacks.
   *
   * @param {number} there
   * @param {string} first its first character
   */
  #missing(there, first) {
    const [fence] = this.#fences;
    if (!fence || !this.#item) return 0;
    if (first === fence[0]) return Math.max(this.#indent - there, 0);
    if (this.#shift < 0) this.#shift = there < this.#item ? this.#indent : 0;
    if (!this.#shift && there < this.#item) this.#fences = []; // the item ends, and its code
    return this.#shift;
  }

  #end() {
    const line = this.#line.trimEnd();
    this.#line = "";
    this.#begun = false;
    if (this.#fences.length) return this.#endInCode(line);
    const [, before = "", mark] = OPENING.exec(line) ?? [];
    const marker = MARKER.exec(line)?.[0].length;
    if (marker) this.#item = marker;
    else if (/^\S/.test(line)) this.#item = 0;
    if (!mark || before.length > this.#item + 3) return;
    this.#fences = [mark];
    this.#indent = before.length;
    this.#shift = -1;
  }

  /** @param {string} line */
  #endInCode(line) {
    const [, mark = "", language] = FENCE.exec(line) ?? [];
    if (!mark.startsWith(this.#fences.at(-1) ?? "")) return;
    if (language) this.#fences.push(mark);
    else this.#fences.pop();
  }
}
