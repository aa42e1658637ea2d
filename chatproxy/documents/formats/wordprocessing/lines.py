"""Collects the text of a paragraph, run by run."""

from itertools import groupby
from typing import Final

from chatproxy.documents.notation.scripts import struck, subscript, superscript, with_fractions

RAISED: Final = "superscript"
LOWERED: Final = "subscript"


class Line:
    """The text of a paragraph, and what of it is raised, lowered or struck through."""

    def __init__(self) -> None:
        self._pieces: list[tuple[bool, str, str]] = []

    def add(self, text: str, shift: str = "", *, is_struck: bool = False) -> None:
        """Add text; `shift` is RAISED, LOWERED, or empty."""
        if text:
            self._pieces.append((is_struck, shift if text.strip() else "", text))

    def text(self) -> str:
        """Return the text. If all of it is raised, that says nothing."""
        shifts = {shift for _, shift, text in self._pieces if text.strip()}
        written = ""
        for is_struck, run in groupby(self._pieces, key=lambda piece: piece[0]):
            said = ""
            for shift, pieces in groupby(run, key=lambda piece: piece[1]):
                text = "".join([text for *_, text in pieces])
                if len(shifts) > 1 and shift == RAISED:
                    text = superscript(text, written + said)
                elif len(shifts) > 1 and shift == LOWERED:
                    text = subscript(text)
                said += text
            written += struck(said) if is_struck else said
        return with_fractions(written)
