// Character references: numbers, and the names that models write. All other names of HTML, two thousand, are loaded
// when a text has one.

const REFERENCE = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([A-Za-z][A-Za-z\d]{1,31}));/g;
const PAIR = /\b(\w+) (.)(?: |$)/gu;
const COMMON =
  "amp & lt < gt > quot \" apos ' hellip … ndash – mdash — lsquo ‘ rsquo ’ ldquo “ rdquo ” laquo « raquo » bull • " +
  "middot · copy © reg ® trade ™ deg ° plusmn ± times × divide ÷ minus − ne ≠ le ≤ ge ≥ asymp ≈ infin ∞ radic √ " +
  "sum ∑ pi π alpha α beta β gamma γ delta δ mu μ sigma σ Delta Δ Omega Ω larr ← rarr → uarr ↑ darr ↓ harr ↔ rArr ⇒ " +
  "euro € pound £ yen ¥ cent ¢ sect § para ¶ frac12 ½ check ✓ nbsp \u00a0 ensp \u2002 emsp \u2003 thinsp \u2009 " +
  "shy \u00ad zwnj \u200c zwj \u200d";

/** @type {Map<string, string>} */
const names = new Map([...COMMON.matchAll(PAIR)].map(([, name = "", character = ""]) => [name, character]));
let loaded = false;

/**
 * Load all names if a text may need them. Returns null if it does not, or else a promise; without the names, they stay
 * as they were written.
 *
 * @param {string} text
 * @returns {Promise<void> | null}
 */
export function loadNames(text) {
  const missing = !loaded && [...text.matchAll(REFERENCE)].some(([, , , name]) => name && !names.has(name));
  return missing ? load() : null;
}

async function load() {
  try {
    const { entities } = await import("../vendor/entities.js");
    for (const [name, characters] of Object.entries(entities)) names.set(name, characters);
  } catch {
    // The file is not in the package.
  }
  loaded = true;
}

/**
 * Decode the character references in a text.
 *
 * @param {string} text
 */
export function decode(text) {
  if (!text.includes("&")) return text;
  return text.replace(REFERENCE, (whole, decimal, hex, name) => {
    if (name) return names.get(name) ?? whole;
    const point = decimal ? Number(decimal) : parseInt(hex, 16);
    const valid = point > 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return valid ? String.fromCodePoint(point) : "\ufffd";
  });
}
