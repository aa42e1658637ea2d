// The direction of a text that is being written. `dir="auto"` would find it, too, but in a field with many
// lines it takes the browser a time that grows with their square.

const LOOKED_AT = 500; // characters
const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT =
  /[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Nko}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Adlam}]/u;

/**
 * Return the direction of a text's first letter; "" if it has none near its beginning.
 *
 * @param {string} text
 */
export function directionOf(text) {
  const letter = LETTER.exec(text.slice(0, LOOKED_AT))?.[0];
  if (letter === undefined) return "";
  return RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
}
