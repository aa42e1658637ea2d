"""Fields: what they show is in the file as Word last computed it, but for some."""

import re
from dataclasses import dataclass, field
from typing import Final
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.wordprocessing.properties import is_on, number, value
from chatproxy.documents.formats.wordprocessing.symbols import symbol
from chatproxy.documents.markup import child, children
from chatproxy.documents.notation import equations

TICKS: Final = {False: "☐", True: "☒"}
_SYMBOL: Final = re.compile(r"SYMBOL\s+(?:0x([0-9a-f]{1,4})|(\d{1,5}))(.*)", re.IGNORECASE | re.DOTALL)
_FONT: Final = re.compile(r'\\f\s+"?([^"\\]+)')
_BUTTON: Final = re.compile(r"(?:MACRO|GOTO)BUTTON\s+\S+\s+(.+)", re.IGNORECASE | re.DOTALL)
_EQUATION: Final = re.compile(r"EQ\s+(.+)", re.IGNORECASE | re.DOTALL)
# The innermost of `\f(1,2)`, `\r(3,x)`, `\s\up8(2)` and others with brackets.
_PIECE: Final = re.compile(r"((?:\\[a-z]++[\d ]*+){1,8})\(([^()\\]*)\)", re.IGNORECASE)
_PIECES: Final = 100  # of a formula


@dataclass(slots=True)
class Field:
    """A field that has begun; what is in it is code until `is_result`."""

    form: Element | None = None  # what a field of a form says
    code: list[str] = field(default_factory=list)
    is_result: bool = False
    has_result: bool = False

    def shown(self) -> str:
        """Return what the field shows that is not in the file as its result."""
        code = "".join(self.code).strip()
        if (box := child(self.form, "w:checkBox")) is not None:
            ticked = is_on(box, "w:checked")
            return TICKS[bool(is_on(box, "w:default") if ticked is None else ticked)]
        if self.has_result:
            return ""
        if (choice := child(self.form, "w:ddList")) is not None:
            entries = [each.get("w:val", "") for each in children(choice, "w:listEntry")]
            chosen = number(value(choice, "w:result")) or number(value(choice, "w:default")) or 0
            return entries[chosen] if 0 <= chosen < len(entries) else ""
        if found := _SYMBOL.match(code):
            font = _FONT.search(found[3])
            character = chr(min(int(found[1], 16) if found[1] else int(found[2]), 0xFFFD))
            return symbol(font[1].strip() if font else "", character)
        if found := _BUTTON.match(code):
            return found[1].strip()
        if found := _EQUATION.match(code):
            return _equation(found[1])
        return value(self.form, "w:textInput", "w:default") or ""


def _equation(code: str) -> str:
    """Return what an `EQ` field shows."""
    for _ in range(_PIECES):
        code, count = _PIECE.subn(_piece, code, count=1)
        if not count:
            break
    return code.strip()


def _piece(found: re.Match[str]) -> str:
    switches, content = found[1].lower(), found[2]
    pieces = [each.strip() for each in re.split("[,;]", content)]
    match switches.replace(" ", "")[1:2], pieces:
        case "f", [top, bottom]:
            return _bare(equations.quotient(top, bottom))
        case "r", [degree, radicand]:
            return _bare(equations.root(radicand, degree))
        case "s", _ if "\\up" in switches:
            return _bare(equations.scripts("", high=content))
        case "s", _ if "\\do" in switches:
            return _bare(equations.scripts("", low=content))
    return "".join(pieces)


def _bare(text: str) -> str:
    """Return text with other brackets, so that it is not taken for a part of the code."""
    return text.replace("(", "[").replace(")", "]")
