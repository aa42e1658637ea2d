"""Collects the text of a paragraph, run by run."""

from itertools import groupby
from typing import Final

from chatproxy.documents.notation.scripts import subscript, superscript, with_fractions

RAISED: Final = "superscript"
LOWERED: Final = "subscript"


class Line:
    """The text of a paragraph, and what of it is raised or lowered."""

    def __init__(self) -> None:
        self._pieces: list[tuple[str, str]] = []

    def add(self, text: str, shift: str = "") -> None:
        """Add text; `shift` is RAISED, LOWERED, or empty."""
        if text:
            self._pieces.append((shift if text.strip() else "", text))

    def text(self) -> str:
        """Return the text. If all of it is raised, that says nothing."""
        shifts = {shift for shift, text in self._pieces if text.strip()}
        written = ""
        for shift, pieces in groupby(self._pieces, key=lambda piece: piece[0]):
            text = "".join([text for _, text in pieces])
            if len(shifts) > 1 and shift == RAISED:
                text = superscript(text, written)
            elif len(shifts) > 1 and shift == LOWERED:
                text = subscript(text)
            written += text
        return with_fractions(written)
