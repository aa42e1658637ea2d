"""How the items of lists are counted: `3`, `c`, `iii`, `三`."""

import re
from collections.abc import Callable, Mapping
from typing import Final

_ROMAN: Final = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_LATIN: Final = "abcdefghijklmnopqrstuvwxyz"
_RUSSIAN: Final = "абвгдежзиклмнопрстуфхцчшщыэюя"
_GREEK: Final = "αβγδεζηθικλμνξοπρστυφχψω"
_ONES_WORDS: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_SMALL: Final = _ONES_WORDS.split()
_TENS_WORDS: Final = "- - twenty thirty forty fifty sixty seventy eighty ninety"
_TENS: Final = _TENS_WORDS.split()
_IRREGULAR: Final = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth"},
    **{"eight": "eighth", "nine": "ninth", "twelve": "twelfth"},
}
_CJK: Final = "零一二三四五六七八九"
_MOST: Final = 3999  # in Roman numerals


def roman(number: int) -> str:
    """Return `iv` for 4, or digits if there is no such numeral."""
    if not 0 < number <= _MOST:
        return str(number)
    written = ""
    for value, numeral in _ROMAN:
        written += numeral * (number // value)
        number %= value
    return written


def letters(number: int, alphabet: str = _LATIN) -> str:
    """Return `c` for 3 and `ab` for 28, as spreadsheets and browsers count, or digits below 1."""
    if number < 1:
        return str(number)
    written = ""
    while number:
        number, last = divmod(number - 1, len(alphabet))
        written = alphabet[last] + written
    return written


def repeated_letters(number: int, alphabet: str = _LATIN) -> str:
    """Return `bb` for 28, as Word counts, or digits below 1 and where that would be long."""
    if not 0 < number <= len(alphabet) * 30:
        return str(number)
    times, last = divmod(number - 1, len(alphabet))
    return alphabet[last] * (times + 1)


def chinese(number: int) -> str:
    """Return `十二` for 12, or digits from 100."""
    if not 0 < number < 100:
        return str(number)
    tens, ones = divmod(number, 10)
    if not tens:
        return _CJK[ones]
    return (_CJK[tens] if tens > 1 else "") + "十" + (_CJK[ones] if ones else "")


def russian(number: int) -> str:
    """Return `в` for 3."""
    return repeated_letters(number, _RUSSIAN)


def circled(number: int) -> str:
    """Return `③` for 3, or digits where there is no such sign."""
    return chr(0x2460 + number - 1) if 1 <= number <= 20 else str(number)


def ordinal(number: int) -> str:
    """Return `3rd` for 3."""
    suffix = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def cardinal_words(number: int) -> str:
    """Return `Twenty-one` for 21, or digits from 100."""
    if not 0 <= number < 100:
        return str(number)
    if number < 20:
        return _SMALL[number].capitalize()
    tens, ones = divmod(number, 10)
    return _TENS[tens].capitalize() + (f"-{_SMALL[ones]}" if ones else "")


def ordinal_words(number: int) -> str:
    """Return `Twenty-first` for 21, or digits from 100."""
    words = cardinal_words(number)
    if words.isdigit():
        return ordinal(number)
    start, hyphen, last = words.rpartition("-")
    last = _IRREGULAR.get(last.lower()) or re.sub("y$", "ie", last) + "th"
    return start + hyphen + (last if hyphen else last.capitalize())


# By `type` and by the names of CSS (Counter Styles Level 3).
HTML: Final[Mapping[str, Callable[[int], str]]] = {
    **dict.fromkeys(["a", "lower-alpha", "lower-latin"], letters),
    **dict.fromkeys(["A", "upper-alpha", "upper-latin"], lambda number: letters(number).upper()),
    **dict.fromkeys(["i", "lower-roman"], roman),
    **dict.fromkeys(["I", "upper-roman"], lambda number: roman(number).upper()),
    "lower-greek": lambda number: letters(number, _GREEK),
    "decimal-leading-zero": lambda number: f"{number:02}",
    **dict.fromkeys(
        ["cjk-decimal", "cjk-ideographic", "simp-chinese-informal", "trad-chinese-informal"], chinese
    ),
}
