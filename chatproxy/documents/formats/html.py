"""HTML, as a reader of the page sees it."""

import re
from html.parser import HTMLParser
from typing import BinaryIO, Final

from chatproxy.documents.formats.text import decoded
from chatproxy.documents.parts import Part, Reading, damaged


def read(file: BinaryIO, encoding: str | None = None) -> Reading:
    """Return the visible text of a page."""
    page, remarks = decoded(file, encoding)
    try:
        return Reading([Part(html_to_text(page))], remarks)
    except (AssertionError, ValueError) as error:  # html.parser's, for malformed markup
        raise damaged("HTML") from error


_HIDDEN: Final = frozenset({"script", "style", "template", "noscript", "svg", "math", "select", "textarea"})
_INLINE: Final = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img ins kbd label mark q s samp small"
    " span strike strong sub sup time tt u var wbr"
)
_HEADINGS: Final = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})


class _TextExtractor(HTMLParser):
    """Collects the text that a reader of the page sees, with Markdown's `#` before headings."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden_by: str | None = None  # the element whose content is being skipped
        self._preformatted = 0  # open <pre> elements

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if self._hidden_by is None and tag in _HIDDEN:
            self._hidden_by = tag
        self._preformatted += tag == "pre"
        self._break(tag)
        if tag in _HEADINGS:
            self.parts.append("#" * int(tag[1]) + " ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden_by:
            self._hidden_by = None
        self._preformatted -= tag == "pre" and self._preformatted > 0
        self._break(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._break(tag)  # `<svg/>` hides nothing

    def handle_data(self, data: str) -> None:
        if self._hidden_by is not None:
            return
        if not self._preformatted:
            data = re.sub(r"\s+", " ", data)
            if self.parts and self.parts[-1].endswith("\n"):
                data = data.lstrip()
        self.parts.append(data)

    def _break(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self.parts.append(" ")
        elif tag in {"br", "tr", "li", "dt", "dd", "option"}:
            self.parts.append("\n")
        elif tag not in _INLINE.split():
            self.parts.append("\n\n")


def html_to_text(html: str) -> str:
    """Return the visible text of an HTML page."""
    parser = _TextExtractor()
    parser.feed(html)
    parser.close()
    return "".join(parser.parts)
