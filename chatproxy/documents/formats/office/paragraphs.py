"""Paragraphs of DrawingML, the text of slides and diagrams: lists, raised and lowered text, line breaks."""

import re
from collections.abc import Callable
from itertools import groupby
from typing import Final
from xml.etree.ElementTree import Element

from chatproxy.documents.markup import child, children
from chatproxy.documents.notation.numerals import letters, roman
from chatproxy.documents.notation.scripts import struck, subscript, superscript

_INDENT: Final = "  "  # for each level of a list
_LEVELS: Final = 9
_NUMBERED: Final = re.compile(r"(arabic|alpha|roman)(Lc|Uc)?(Period|ParenR|ParenBoth|Plain)?.*")


class Paragraphs:
    """Writes paragraphs; `bullets` says that they have some unless they say otherwise."""

    def __init__(self, bullets: bool = False) -> None:
        self._bullets = bullets
        self._counts: list[tuple[str, int]] = [("", 0)] * _LEVELS

    def text(self, body: Element) -> str:
        """Return the paragraphs of a body of text, a line each."""
        return "\n".join([line for each in children(body, "a:p") if (line := self._line(each)).strip()])

    def _line(self, paragraph: Element) -> str:
        text = "".join(
            [
                struck("".join(text for _, text in run)) if is_struck else "".join(text for _, text in run)
                for is_struck, run in groupby(_runs(paragraph), key=lambda run: run[0])
            ]
        )
        properties = child(paragraph, "a:pPr")
        level = 0 if properties is None else min(int(properties.get("lvl", "0")), _LEVELS - 1)
        mark = self._mark(properties, level) if text.strip() else ""
        return f"{_INDENT * level}{mark} {text}" if mark else text

    def _mark(self, properties: Element | None, level: int) -> str:
        """Return the bullet or the number of an item; empty if it is none."""
        kinds = {} if properties is None else {each.tag: each for each in properties}
        self._counts[level + 1 :] = [("", 0)] * (_LEVELS - level - 1)
        if (numbered := kinds.get("a:buAutoNum")) is None:
            self._counts[level] = ("", 0)
            marked = "a:buChar" in kinds or "a:buBlip" in kinds or (self._bullets and "a:buNone" not in kinds)
            return "-" if marked else ""
        kind = numbered.get("type", "")
        before, count = self._counts[level]
        count = count + 1 if before == kind else int(numbered.get("startAt", "1"))
        self._counts[level] = (kind, count)
        return _numeral(kind, count)


def _numeral(kind: str, count: int) -> str:
    found = _NUMBERED.fullmatch(kind)
    if found is None:
        return f"{count}."
    numerals: dict[str, Callable[[int], str]] = {"arabic": str, "alpha": letters, "roman": roman}
    shown = numerals[found[1]](count)
    if found[2] == "Uc":
        shown = shown.upper()
    return {"ParenR": f"{shown})", "ParenBoth": f"({shown})", "Plain": shown}.get(found[3], f"{shown}.")


def _runs(paragraph: Element) -> list[tuple[bool, str]]:
    """Return the text of a paragraph, piece by piece, and whether each is struck through."""
    pieces: list[tuple[bool, str]] = []
    for run in paragraph:
        if run.tag == "a:br":
            pieces.append((False, "\n"))
        elif run.tag in {"a:r", "a:fld"}:
            text = "".join([each.text or "" for each in children(run, "a:t")])
            properties = child(run, "a:rPr")
            baseline = "0" if properties is None else properties.get("baseline", "0")
            if baseline.rstrip("%").lstrip("+-").strip("0"):
                text = (
                    subscript(text)
                    if baseline.startswith("-")
                    else superscript(text, pieces[-1][1] if pieces else "")
                )
            is_struck = properties is not None and properties.get("strike", "noStrike") != "noStrike"
            pieces.append((is_struck, text))
        elif run.tag == "mc:AlternateContent":  # a formula, and a picture of it
            pieces += [(False, each.text or "") for each in run.iter("m:t")]
    return pieces
