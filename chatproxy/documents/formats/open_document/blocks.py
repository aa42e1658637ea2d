"""The paragraphs, lists and tables of OpenDocument, as text."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.open_document.lists import BULLET, Counts
from chatproxy.documents.formats.open_document.package import OUTLINE, Styles
from chatproxy.documents.markup import child, children
from chatproxy.documents.notation.scripts import note, struck, subscript, superscript
from chatproxy.documents.notation.tables import MAX_COLUMNS, Cell, Table
from chatproxy.documents.parts import MAX_TEXT, Part, too_long

_INDENT: Final = "  "
_MAX_SPACES: Final = 100  # that one element stands for
_MAX_HEADING: Final = 6
_SPACE: Final = re.compile(r"[ \t\r\n]+")
# What is not the text of the document: comments, what was deleted, what only steers, the number of the page.
_SKIPPED: Final = frozenset(
    {
        *("office:annotation", "text:tracked-changes", "text:note", "text:ruby-text", "text:number"),
        *("text:page-number", "text:page-count", "text:hidden-text", "office:event-listeners", "other:desc"),
        *("other:title", "office:forms", "text:sequence-decls", "text:index-title-template", "draw:object"),
    }
)
_ROWS: Final = frozenset({"table:table-header-rows", "table:table-rows", "table:table-row-group"})
_SHAPES: Final = frozenset(
    {
        *(
            "draw:frame",
            "draw:text-box",
            "draw:custom-shape",
            "draw:g",
            "draw:rect",
            "draw:ellipse",
            "draw:a",
        ),
        *("draw:line", "draw:path", "draw:polygon", "draw:connector", "draw:caption", "draw:circle"),
    }
)
_HOLDERS: Final = _SHAPES | {
    *("text:index-body", "text:index-title", "text:table-of-content", "text:alphabetical-index"),
    *(
        "text:illustration-index",
        "text:table-index",
        "text:object-index",
        "text:user-index",
        "text:bibliography",
    ),
}


class Writer:
    """Writes blocks of a document; numbers of lists go on from one to the next where they do in it."""

    def __init__(self, styles: Styles, controls: Mapping[str, str] = MappingProxyType({})) -> None:
        """Write with these styles; `controls` are the fields of a form, as they are filled in."""
        self.pictures = 0
        self._controls = controls
        self._styles = styles
        self._lists: dict[str, Counts] = {}  # by the name of the style, and by the list's own
        self._outline = Counts(styles, styles.named(OUTLINE, ""))
        self._notes: list[str] = []
        self._shapes: list[str | Part] = []
        self._size = 0

    def blocks(self, parent: Element, level: int = 0) -> Iterator[str | Part]:
        """Yield the paragraphs and tables below an element, each before the notes and shapes in it."""
        for element in parent:
            yield from self.block(element, level)

    def block(self, element: Element, level: int = 0) -> Iterator[str | Part]:
        """Yield what an element is: a paragraph, a list, a table or more of them, then the notes in it."""
        for block in self._block(element, level):
            yield block
            yield from self._take()

    def inline(self, element: Element) -> str:
        """Return the text of a paragraph; shapes and notes in it come with the block."""
        pieces: list[str] = []
        self._collect(element, pieces)
        text = "".join(pieces)
        self._size += len(text)
        if self._size > MAX_TEXT:
            raise too_long()
        return text.strip(" ")

    def text(self, parent: Element) -> str:
        """Return all that is below an element, a line for each paragraph."""
        lines = [block if isinstance(block, str) else block.text for block in self.blocks(parent)]
        return "\n".join([line for line in lines if line])

    def _take(self) -> Iterator[str | Part]:
        yield from self._shapes
        self._shapes = []
        yield from self._notes
        self._notes = []

    def _block(self, element: Element, level: int) -> Iterator[str | Part]:
        tag = element.tag
        if tag == "text:h":
            yield self._heading(element)
        elif tag == "text:p":
            if not self._is_hidden("paragraph", element):
                yield self.inline(element)
        elif tag == "text:list":
            yield from in_lines(self._list(element, level + 1, "", None))
        elif tag == "table:table":
            yield self._table(element)
        elif tag == "text:section":
            if (
                element.get("text:display") not in {"none", "condition"}
                or element.get("text:is-hidden") == "false"
            ):
                yield from self.blocks(element, level)
        elif tag == "draw:image":
            self.pictures += 1
        elif tag == "draw:control":
            yield self._controls.get(element.get("draw:control", ""), "")
        elif tag in _HOLDERS:
            yield from self.blocks(element, level)

    def _heading(self, element: Element, mark: str | None = None) -> str:
        """Return a heading; `mark` is the number that an item of a list gives it, instead of its own."""
        level = int(element.get("text:outline-level", "1"))
        if mark is None:
            mark = (
                "" if element.get("text:is-list-header") == "true" else _mark(element, self._outline, level)
            )
        text = self.inline(element)
        shown = [f"{'#' * min(level, _MAX_HEADING)}", mark if mark != BULLET else "", text]
        return " ".join(filter(None, shown)) if text else ""

    def _list(self, element: Element, level: int, above: str, counts: Counts | None) -> Iterator[str | Part]:
        """Yield the items of a list; `above` and `counts` are the style and counts of the one around it."""
        style = element.get("text:style-name", above)
        if counts is None or style != above:
            counts = self._counts(element, style)
        for item in children(element, "text:list-item", "text:list-header"):
            # What has no paragraph of its own only leads to a list in it.
            begins = item.tag == "text:list-item" and any(part.tag != "text:list" for part in item[:1])
            mark = _mark(item, counts, level) if begins else ""
            for part in item:
                if part.tag == "text:list":
                    yield from self._list(part, level + 1, style, counts)
                elif part.tag == "text:h":
                    yield self._heading(part, mark)
                else:
                    for block in self._block(part, level):
                        if mark and block and isinstance(block, str):
                            yield f"{_INDENT * (level - 1)}{mark} {block}"
                            mark = ""
                        else:
                            yield block

    def _counts(self, element: Element, style: str) -> Counts:
        continued = element.get("text:continue-list")
        if continued is None and element.get("text:continue-numbering") == "true":
            continued = style
        counts = self._lists.get(continued or "")
        if counts is None:
            counts = Counts(self._styles, self._styles.named("text:list-style", style))
        self._lists[style] = self._lists[element.get("xml:id", style)] = counts
        return counts

    def _table(self, element: Element) -> Part:
        table = Table()
        headings = 0
        for row, heading in _rows(element):
            headings += heading
            cells: list[Cell] = []
            for cell in children(row, "table:table-cell"):
                columns = int(cell.get("table:number-columns-spanned", "1"))
                rows = int(cell.get("table:number-rows-spanned", "1"))
                times = min(int(cell.get("table:number-columns-repeated", "1")), MAX_COLUMNS)
                cells += [Cell(self.text(cell), columns, rows)] * times
            filled = any(cell.text for cell in cells)
            for _ in range(int(row.get("table:number-rows-repeated", "1")) if filled else 1):
                table.add(cells)
        return table.part(headings or None)

    def _collect(self, element: Element, pieces: list[str]) -> None:
        if element.text:
            pieces.append(_SPACE.sub(" ", element.text))
        for part in element:
            self._piece(part, pieces)
            if part.tail:
                pieces.append(_SPACE.sub(" ", part.tail))

    def _piece(self, part: Element, pieces: list[str]) -> None:
        tag = part.tag
        if tag == "text:s":
            pieces.append(" " * min(int(part.get("text:c", "1")), _MAX_SPACES))
        elif tag == "text:tab":
            pieces.append("\t")
        elif tag == "text:line-break":
            pieces.append("\n")
        elif tag == "text:note":
            self._note(part, pieces)
        elif tag == "draw:image":
            self.pictures += 1
        elif tag == "draw:control":
            pieces.append(self._controls.get(part.get("draw:control", ""), ""))
        elif tag in _SHAPES:
            self._shapes += [block for block in self.blocks(part) if block]
        elif tag == "text:span":
            pieces.append(self._span(part, pieces))
        elif tag not in _SKIPPED:
            self._collect(part, pieces)

    def _span(self, span: Element, before: list[str]) -> str:
        pieces: list[str] = []
        if self._is_hidden("text", span):
            return ""
        self._collect(span, pieces)
        text = "".join(pieces)
        name = span.get("text:style-name")
        position = (self._styles.property("text", name, "style:text-position") or "").split(" ")[0]
        if position == "sub" or position.startswith("-"):
            text = subscript(text)
        elif position == "super" or position.rstrip("%").strip("0"):
            text = superscript(text, before[-1] if before else "")
        line = self._styles.property("text", name, "style:text-line-through-style") or "none"
        return text if line == "none" else struck(text)

    def _is_hidden(self, family: str, element: Element) -> bool:
        return self._styles.property(family, element.get("text:style-name"), "text:display") == "none"

    def _note(self, element: Element, pieces: list[str]) -> None:
        citation, body = child(element, "text:note-citation"), child(element, "text:note-body")
        mark = "" if citation is None else note(citation.get("text:label") or "".join(citation.itertext()))
        pieces.append(mark)
        if body is not None:
            said = [self.inline(each) for each in body.iter() if each.tag in {"text:p", "text:h"}]
            self._notes.append(" ".join([mark, *said]).strip())


def in_lines(blocks: Iterable[str | Part]) -> Iterator[str | Part]:
    """Yield blocks with a line for each paragraph, instead of empty lines between them."""
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, str):
            lines += [block] if block else []
            continue
        yield "\n".join(lines)
        lines = []
        yield block
    yield "\n".join(lines)


def _mark(element: Element, counts: Counts, level: int) -> str:
    """Count a heading or an item, and return what it is numbered with."""
    counted = counts.next(level, element.get("text:start-value"))
    shown = child(element, "text:number")
    return counted if shown is None else "".join(shown.itertext()).strip()


def _rows(table: Element, heading: bool = False) -> Iterator[tuple[Element, bool]]:
    """Yield the rows of a table, and whether each is one of headings."""
    for element in table:
        if element.tag == "table:table-row":
            yield element, heading
        elif element.tag in _ROWS:
            yield from _rows(element, heading or element.tag == "table:table-header-rows")
