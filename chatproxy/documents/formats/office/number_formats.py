"""The codes by which a spreadsheet shows a number: `0.00%`, `00000`, `dd/mm/yyyy`.

Dates and times are written in ISO 8601, with what the code shows of them, because `04/05/2024` is another day
in another country.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

MAX_CODE: Final = 255  # characters, as in Excel
GENERAL: Final = "General"
# The codes that files name by a number only.
BUILT_IN: Final[Mapping[int, str]] = {
    **{1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00"},
    **{12: "# ?/?", 13: "# ??/??", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy"},
    **{18: "h:mm AM/PM", 19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm"},
    **dict.fromkeys([*range(27, 32), 36, *range(50, 59)], "yyyy-mm-dd"),
    **dict.fromkeys([32, 33, 34, 35], "h:mm:ss"),
    **{37: "#,##0;-#,##0", 38: "#,##0;-#,##0", 39: "#,##0.00;-#,##0.00", 40: "#,##0.00;-#,##0.00"},
    **{41: "#,##0", 42: "$#,##0", 43: "#,##0.00", 44: "$#,##0.00"},
    **{45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss", 48: "##0.0E+0"},
}
_CONTEXT: Final = Context(prec=700, rounding=ROUND_HALF_UP)
_DAY: Final = 86_400  # seconds
_TOKEN: Final = re.compile(
    r"""
    "(?P<quoted>[^"]*)"? | \\(?P<escaped>.) | [_*]. | \[(?P<bracket>[^\]]*)\]? | (?P<general>General)
    | (?P<half>AM/PM|A/P) | (?P<exponent>E[+-]) | (?P<time>y+|m+|d+|h+|s+|e+) | (?P<digit>[0\#?])
    | (?P<point>\.) | (?P<comma>,) | (?P<percent>%) | (?P<slash>/) | (?P<text>@) | (?P<end>;) | (?P<literal>.)
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_CONDITION: Final = re.compile(r"(<=|>=|<>|<|>|=)(-?[0-9.]+)")
_ELAPSED: Final = re.compile(r"h+|m+|s+", re.IGNORECASE)
_CURRENCY: Final = re.compile(r"\$([^-]*)")


class _Token(NamedTuple):
    kind: str
    text: str


class _Section(NamedTuple):
    tokens: Sequence[_Token]
    condition: re.Match[str] | None

    def has(self, kind: str) -> bool:
        return any(token.kind == kind for token in self.tokens)


def number(value: float, code: str = GENERAL, *, from_1904: bool = False) -> str:
    """Return a number as a cell with this code shows it; `from_1904` says that days count from that year."""
    if code == GENERAL:
        return general(value)
    sections = _sections(code[:MAX_CODE])
    section, signed = _chosen(value, sections)
    if section is None or section.has("general"):
        return general(value)
    if section.has("time"):
        return _time(value, section, from_1904) or general(value)
    if not section.has("digit"):
        literal = "".join([token.text for token in section.tokens if token.kind == "literal"]).strip()
        return general(value) if section.has("text") or not any(each.tokens for each in sections) else literal
    shown = _fraction(abs(value), section) if section.has("slash") else _digits(abs(value), section)
    return f"-{shown}" if signed and any(digit in shown for digit in "123456789") else shown


def general(value: float) -> str:
    """Return a number without the noise of its binary form, and without an exponent that it does not need."""
    if value != value or value in (float("inf"), float("-inf")):
        return "#NUM!"
    return f"{_exact(value):f}" if value == 0 or 1e-9 <= abs(value) < 1e21 else f"{value:.15g}".upper()


def _exact(value: float) -> Decimal:
    """Return what a number was before it was made binary."""
    return Decimal(int(value)) if value.is_integer() and abs(value) < 2**53 else Decimal(f"{value:.15g}")


@lru_cache(maxsize=1024)
def _sections(code: str) -> Sequence[_Section]:
    sections: list[_Section] = []
    tokens: list[_Token] = []
    condition = None
    for found in _TOKEN.finditer(code):
        kind = found.lastgroup or "space"
        text = found[found.lastgroup] if found.lastgroup else " "
        if kind == "end":
            sections.append(_Section(tokens, condition))
            tokens, condition = [], None
        elif kind == "bracket":
            condition = _CONDITION.fullmatch(text) or condition
            if _ELAPSED.fullmatch(text):
                tokens.append(_Token("time", f"[{text.lower()}"))
            elif currency := _CURRENCY.match(text):
                tokens.append(_Token("literal", currency[1]))
        elif kind in {"quoted", "escaped", "literal", "space"}:
            tokens.append(_Token("literal", text))
        else:
            tokens.append(_Token(kind, text.lower() if kind == "time" else text))
    return [*sections, _Section(tokens, condition)]


def _chosen(value: float, sections: Sequence[_Section]) -> tuple[_Section | None, bool]:
    """Return the section for a value, and whether a minus sign is not among what it says."""
    numeric = sections[:3]
    if any(section.condition for section in numeric):
        for section in numeric:
            if section.condition is None or _meets(value, section.condition):
                return section, value < 0
        return None, True
    if value < 0 and len(numeric) > 1:
        return numeric[1], False
    return numeric[2 if value == 0 and len(numeric) > 2 else 0], value < 0


def _meets(value: float, condition: re.Match[str]) -> bool:
    try:
        bound = float(condition[2])
    except ValueError:
        return True
    return {
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
        "=": value == bound,
        "<>": value != bound,
    }[condition[1]]


def _time(value: float, section: _Section, from_1904: bool) -> str | None:
    """Return a date, a time or a duration; None if there is no such date."""
    fields = [token.text for token in section.tokens if token.kind == "time"]
    letters = []
    for place, field in enumerate(fields):
        near = (
            fields[place - 1][-1:] if place else "",
            fields[place + 1][:1] if place + 1 < len(fields) else "",
        )
        minutes = field[0] == "m" and (near[0] == "h" or near[1] == "s")
        letters.append("minute" if minutes else field[0])
    seconds = round(value * _DAY)
    with_seconds = "s" in letters
    if "[" in letters:
        sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
        minutes_in_all = f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}"
        return f"{minutes_in_all}:{seconds % 60:02}" if with_seconds or seconds % 60 else minutes_in_all
    if from_1904:
        first = datetime(1904, 1, 1)
    else:  # Excel's year 1900 has a 29 February, so that days before it count from another one
        first = datetime(1899, 12, 30) if value >= 60 else datetime(1899, 12, 31)
    try:
        moment = first + timedelta(seconds=seconds)
    except OverflowError:
        return None
    if value < 0:
        return None
    time = f"{moment:%H:%M:%S}" if with_seconds and moment.second else f"{moment:%H:%M}"
    if not {"y", "e", "m", "d"} & set(letters):
        return time
    if "d" in letters or not {"y", "e"} & set(letters):
        date = f"{moment:%Y-%m-%d}"
    else:
        date = f"{moment:%Y-%m}" if "m" in letters else f"{moment:%Y}"
    return f"{date} {time}" if "h" in letters else date


def _fraction(value: float, section: _Section) -> str:
    kinds = [token.kind for token in section.tokens]
    slash = kinds.index("slash")
    below = section.tokens[slash + 1 :]
    fixed = "".join([token.text for token in below if token.kind == "literal"]).strip()
    if fixed.isdigit() and int(fixed):
        exact = Fraction(round(value * int(fixed)), 1)
        whole, part = divmod(int(exact), int(fixed))
        return _mixed(whole, part, int(fixed))
    places = min(sum(token.kind == "digit" for token in below), 5)
    nearest = Fraction(value).limit_denominator(10 ** max(places, 1) - 1)
    whole, part = divmod(nearest.numerator, nearest.denominator)
    return _mixed(whole, part, nearest.denominator)


def _mixed(whole: int, part: int, denominator: int) -> str:
    if not part:
        return str(whole)
    return f"{whole} {part}/{denominator}" if whole else f"{part}/{denominator}"


def _digits(value: float, section: _Section) -> str:
    """Return a number in the section's places for digits, with what stands around and between them."""
    tokens = section.tokens
    exact = _exact(value)
    exact *= 100 ** sum(token.kind == "percent" for token in tokens)
    digits = [place for place, token in enumerate(tokens) if token.kind == "digit"]
    point = next((place for place, token in enumerate(tokens) if token.kind == "point"), len(tokens))
    exponent = next((place for place, token in enumerate(tokens) if token.kind == "exponent"), len(tokens))
    ahead = [place for place in digits if place < min(point, exponent)]
    behind = [place for place in digits if point < place < exponent]
    commas = [place for place, token in enumerate(tokens) if token.kind == "comma"]
    last = max([*ahead, *behind, -1])
    exact /= 1000 ** sum(place > last for place in commas if place < exponent)
    grouped = any(ahead and ahead[0] < place < ahead[-1] for place in commas)
    power = 0
    if exponent < len(tokens) and exact:
        power = exact.adjusted() - (max(len(ahead), 1) - 1)
        exact = exact.scaleb(-power)
    rounded = f"{exact.quantize(Decimal(1).scaleb(-len(behind)), context=_CONTEXT):f}"
    whole, _, fraction = rounded.partition(".")
    written = _placed(whole.lstrip("0"), [tokens[place].text for place in ahead], grouped)
    places = dict(zip(ahead, written, strict=True))
    kept = len(fraction.rstrip("0"))
    for number_, place in enumerate(behind):
        digit = fraction[number_]
        optional = number_ >= kept and tokens[place].text != "0"
        places[place] = "" if optional else digit
    parts = []
    for place, token in enumerate(tokens):
        if place in places:
            parts.append(places[place])
        elif token.kind == "point":
            if not ahead:
                parts.append(whole.lstrip("0"))
            parts.append("." if any(places[each] for each in behind) else "")
        elif token.kind == "exponent":
            parts.append(f"E{power:+03}" if token.text[1] == "+" else f"E{power:03}")
        elif token.kind in {"literal", "percent"}:
            parts.append(token.text)
    return " ".join("".join(parts).split())


def _placed(whole: str, places: Sequence[str], grouped: bool) -> list[str]:
    """Return what stands in each place for a digit: the first one takes all digits that have none."""
    written: list[str] = []
    for number_, place in enumerate(reversed(places)):
        first = number_ == len(places) - 1
        digit = (
            whole[: len(whole) - number_] if first else whole[len(whole) - 1 - number_ : len(whole) - number_]
        )
        if number_ >= len(whole):
            digit = "0" if place == "0" else ""
        if grouped and digit:
            digit = _grouped(digit, number_)
        written.append(digit)
    return written[::-1]


def _grouped(digits: str, behind: int) -> str:
    """Return digits with a comma before each three, counted from the point; `behind` of them follow."""
    parts = []
    for place, digit in enumerate(reversed(digits), start=behind):
        parts.append(f"{digit}," if place and place % 3 == 0 else digit)
    return "".join(reversed(parts))
