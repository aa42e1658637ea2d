"""One spelling for what texts and questions write in several: numbers, exponents and indices."""

import re
from typing import Final

# Those above and below the line.
_DIGITS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", "01234567890123456789")
_POWER: Final = re.compile(r"(?<=[^\W_])\^(?=[^\W_])")
# A number of more than three digits, in groups of three: 1.000,50 or 1,000.50 or 1'000.
_GROUPED: Final = re.compile(
    r"(?<![\w.,])[1-9][0-9]{0,2}([.,'’\u00a0\u2009\u202f])[0-9]{3}(?:\1[0-9]{3})*(?![\w]|\1[0-9])"  # noqa: RUF001
)
_DIGIT: Final = re.compile(r"[0-9]+")


def plain(text: str) -> str:
    """Return a text with "m2" for "m²" and "m^2", and "1000" for "1.000" and "1,000"."""
    joined = _GROUPED.sub(lambda found: "".join(_DIGIT.findall(found[0])), text)
    return _POWER.sub("", on_the_line(joined))


def on_the_line(text: str) -> str:
    """Return a text of the same length, with "m2" for "m²"."""
    return text if text.isascii() else text.translate(_DIGITS)
