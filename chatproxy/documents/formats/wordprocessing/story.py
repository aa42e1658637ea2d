"""The paragraphs and tables of one file in a document: its body, a header, its notes."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from chatproxy.documents.formats.office.diagrams import chart, diagram
from chatproxy.documents.formats.office.packages import Package
from chatproxy.documents.formats.wordprocessing.fields import TICKS, Field
from chatproxy.documents.formats.wordprocessing.formulas import formula
from chatproxy.documents.formats.wordprocessing.lines import LOWERED, RAISED, Line
from chatproxy.documents.formats.wordprocessing.numbering import BULLET, Numbering, formatted
from chatproxy.documents.formats.wordprocessing.properties import is_on, number, value
from chatproxy.documents.formats.wordprocessing.styles import Styles
from chatproxy.documents.formats.wordprocessing.symbols import symbol
from chatproxy.documents.markup import child, children
from chatproxy.documents.notation.scripts import note
from chatproxy.documents.notation.tables import LONG_CELL, Cell, Table, in_a_line
from chatproxy.documents.parts import Part

SHORT_ITEM: Final = 200  # characters of an item that follows the one before on the next line
_SHIFTED: Final = 4  # half points, from which text of the same size is raised or lowered
_PAGE: Final = (4_500_000, 6_300_000)  # English Metric Units: what is larger fills a page, as a scan does
_MOST_NESTED: Final = 50  # fields; Word has 20
_INDENT: Final = "  "
_CODE: Final = re.compile("[0-9A-Fa-f]{1,4}")
_CONTAINERS: Final = frozenset(
    {"w:sdtContent", "w:customXml", "w:ins", "w:moveTo", "w:smartTag", "w:hyperlink", "w:dir", "w:bdo"}
)
_SKIPPED: Final = frozenset(
    {"w:del", "w:moveFrom", "w:pPr", "w:rPr", "w:tblPr", "w:trPr", "w:tcPr", "w:sdtPr"}
)
_CHARACTERS: Final = {"w:tab": "\t", "w:ptab": "\t", "w:br": "\n", "w:cr": "\n", "w:noBreakHyphen": "-"}


class Block(NamedTuple):
    """A paragraph or a table, and what the paragraph is: a short item of a list, a caption, a heading."""

    content: str | Part
    is_item: bool = False
    is_caption: bool = False
    level: int = 0  # of a heading, from 1


@dataclass
class Document:
    """What all stories of a document share: styles, notes, and what was not read."""

    package: Package
    styles: Styles
    notes: dict[tuple[str, str], tuple[str, Element]]  # by kind and id: in which file, and what it says
    note_formats: dict[str, str]  # by kind
    embedded: Callable[[str], Iterable[Part]]  # reads a file of another format
    note_counts: dict[str, int] = field(default_factory=dict)
    endnotes: list[str] = field(default_factory=list)
    pictures: int = 0  # without a description
    scans: int = 0  # pictures that fill a page
    objects: list[str] = field(default_factory=list)  # of other programs
    _related: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def related(self, name: str) -> Mapping[str, str]:
        """Return the names of the files that a file refers to, by id."""
        if name not in self._related:
            self._related[name] = {each.id: each.name for each in self.package.related(name)}
        return self._related[name]


class Story:
    """Reads the blocks of a file, in order."""

    def __init__(self, document: Document, name: str, numbering: Numbering) -> None:
        """Begin with a file of the package; its paragraphs are counted by `numbering`."""
        self._document = document
        self._related = document.related(name)
        self._numbering = numbering
        self._fields: list[Field] = []
        self._carried = ""  # of a paragraph that goes on with the next one
        self._aside: list[Element | Part | str] = []  # text boxes and charts
        self._notes: list[str] = []  # of what was read last

    def blocks(self, elements: Iterable[Element]) -> Iterator[Block]:
        """Yield the paragraphs and tables; text boxes and footnotes come after what they belong to."""
        for element in _flat(elements):
            yield from self._block(element)
            while self._aside:
                aside = self._aside.pop(0)
                if isinstance(aside, Element):
                    for each in _flat(aside):
                        yield from self._block(each)
                else:
                    yield Block(aside)
            notes, self._notes = self._notes, []
            yield from map(Block, notes)
        yield from self._rest()

    def _block(self, element: Element) -> Iterator[Block]:
        if element.tag == "w:p":
            yield from self._paragraph(element)
        elif element.tag == "w:tbl":
            yield from self._table(element)
        elif element.tag in {"m:oMath", "m:oMathPara"} and (text := formula(element)):
            yield Block(text)
        elif element.tag == "w:altChunk" and (name := self._related.get(element.get("r:id", ""))):
            yield from map(Block, self._document.embedded(name))

    def _rest(self) -> Iterator[Block]:
        """Yield what no paragraph went on with."""
        text, self._carried = self._carried.strip(), ""
        if text:
            yield Block(text)

    # -- paragraphs

    def _paragraph(self, element: Element) -> Iterator[Block]:
        properties = child(element, "w:pPr")
        line = Line()
        line.add(self._carried)
        self._carried = ""
        self._inline(element, line, self._document.styles.of(properties))
        self._fields = [each for each in self._fields if each.is_result]
        text = line.text()
        mark = child(properties, "w:rPr")
        frame = child(properties, "w:framePr")
        drops = frame is not None and frame.get("w:dropCap", "none") != "none"
        if drops or child(mark, "w:del") is not None or child(mark, "w:moveFrom") is not None:
            self._carried = text
            return
        text = text.strip()
        goes_on = is_on(mark, "w:vanish")
        if goes_on and not text:
            return
        counted = self._numbering.next(properties)
        if counted.text and goes_on:
            self._carried = f"{counted.text} {text} "
        elif goes_on:
            self._carried = f"{text} "
        elif level := text and self._document.styles.level(properties):
            text = " ".join(text.split())
            yield Block(text if counted.text in {"", BULLET} else f"{counted.text} {text}", level=level)
        elif counted.text == BULLET:
            item = f"{_INDENT * counted.level}{BULLET} {text}"
            yield from [Block(item, len(text) <= SHORT_ITEM)] if text else []
        elif counted.text:
            yield Block(f"{counted.text} {text}".rstrip(), len(text) <= SHORT_ITEM)
        elif text:
            yield Block(text, is_caption=self._document.styles.is_caption(properties))

    def _inline(self, element: Element, line: Line, style: str) -> None:
        for each in element:
            tag = each.tag
            if tag == "w:r":
                self._run(each, line, style)
            elif tag in _CONTAINERS or tag == "w:fldSimple":
                self._inline(each, line, style)
            elif tag == "w:sdt":
                self._control(each, line, style)
            elif tag == "mc:AlternateContent":
                if (branch := _branch(each)) is not None:
                    self._inline(branch, line, style)
            elif tag in {"m:oMath", "m:oMathPara"} and self._is_shown():
                line.add(formula(each))

    def _control(self, element: Element, line: Line, style: str) -> None:
        """Add what a content control shows."""
        content = child(element, "w:sdtContent")
        box = next((each for each in child(element, "w:sdtPr") or () if each.tag.endswith(":checkbox")), None)
        if box is not None:
            ticked = next((each for each in box if each.tag.endswith(":checked")), None)
            said = "0" if ticked is None else next(iter(ticked.attrib.values()), "1")
            line.add(TICKS[said not in {"0", "false"}])
        elif content is not None:
            self._inline(content, line, style)

    def _run(self, run: Element, line: Line, paragraph: str) -> None:
        properties = child(run, "w:rPr")
        styles = self._document.styles
        if styles.run(properties, paragraph, _is_hidden):
            return
        shift = styles.run(properties, paragraph, _shift) or ""
        is_struck = bool(styles.run(properties, paragraph, _is_struck))
        for each in run:
            tag = each.tag
            if tag == "w:fldChar":
                self._field(each, line)
            elif tag == "w:instrText":
                if self._fields:
                    self._fields[-1].code.append(each.text or "")
            elif not self._is_shown():
                continue
            elif tag == "w:t":
                text = symbol(_font(properties), _text(each))
                shown = text.upper() if styles.run(properties, paragraph, _in_capitals) else text
                line.add(shown, shift, is_struck=is_struck)
                self._note_result(text)
            elif tag in _CHARACTERS:
                line.add(_CHARACTERS[tag])
            elif tag == "w:sym":
                line.add(_sign(each), shift)
                self._note_result(" ")
            elif tag in {"w:footnoteReference", "w:endnoteReference"}:
                self._reference(each, run, line)
                if _has_own_mark(each):
                    return
            elif tag == "w:ruby":
                self._ruby(each, line, paragraph)
            elif tag in {"w:drawing", "w:pict", "w:object"}:
                self._drawing(each, line)
            elif tag == "mc:AlternateContent" and (branch := _branch(each)) is not None:
                self._drawing(branch, line)

    def _ruby(self, element: Element, line: Line, style: str) -> None:
        """Add text with its reading in brackets."""
        above = Line()
        for name, target in (("w:rubyBase", line), ("w:rt", above)):
            if (part := child(element, name)) is not None:
                self._inline(part, target, style)
        if reading := above.text().strip():
            line.add(f"({reading})")

    # -- fields

    def _is_shown(self) -> bool:
        return all(each.is_result for each in self._fields)

    def _note_result(self, text: str) -> None:
        if text:
            for each in self._fields:
                each.has_result = True

    def _field(self, element: Element, line: Line) -> None:
        kind = element.get("w:fldCharType")
        if kind == "begin" and len(self._fields) < _MOST_NESTED:
            self._fields.append(Field(child(element, "w:ffData")))
        elif kind == "separate" and self._fields:
            self._fields[-1].is_result = True
        elif kind == "end" and self._fields:
            ended = self._fields.pop()
            if self._is_shown():
                line.add(ended.shown())

    # -- notes

    def _reference(self, element: Element, run: Element, line: Line) -> None:
        """Add the mark of a note; what it says comes after the paragraph, or at the end of the document."""
        document, kind = self._document, element.tag.removeprefix("w:").removesuffix("Reference")
        if _has_own_mark(element):
            signs = children(run, "w:t", "w:sym")
            mark = note("".join([_sign(each) if each.tag == "w:sym" else _text(each) for each in signs]))
        else:
            document.note_counts[kind] = count = document.note_counts.get(kind, 0) + 1
            mark = note(formatted(count, document.note_formats[kind]))
        line.add(mark)
        # Taken out, so that a note that refers to itself ends, and one with two marks is there once.
        found = document.notes.pop((kind, element.get("w:id", "")), None)
        if found is None:
            return
        name, body = found
        blocks = Story(document, name, self._numbering).blocks(body)
        text = f"{mark} {' '.join([in_a_line(block.content) for block in blocks])}".strip()
        (document.endnotes if kind == "endnote" else self._notes).append(text)

    # -- tables

    def _table(self, element: Element) -> Iterator[Block]:
        headings = 0
        rows: list[list[tuple[list[Block], Cell]]] = []
        for row in _flat(element):
            properties = child(row, "w:trPr")
            if row.tag != "w:tr" or child(properties, "w:del") is not None:
                continue
            headings += headings == len(rows) and bool(is_on(properties, "w:tblHeader"))
            before, after = (number(value(properties, name)) or 0 for name in ("w:gridBefore", "w:gridAfter"))
            rows.append(
                [
                    *[([], Cell("", before))] * (before > 0),
                    *[self._cell(cell) for cell in _flat(row) if cell.tag == "w:tc"],
                    *[([], Cell("", after))] * (after > 0),
                ]
            )
        if all(len(row) <= 1 for row in rows) or any(
            len(cell.text or "") > LONG_CELL for row in rows for _, cell in row
        ):
            yield from [block for row in rows for blocks, _ in row for block in blocks]
            return
        table = Table()
        for cells in rows:
            table.add([cell for _, cell in cells])
        part = table.part(headings or None)
        if part.text:
            yield Block(part)

    def _cell(self, element: Element) -> tuple[list[Block], Cell]:
        properties = child(element, "w:tcPr")
        span = number(value(properties, "w:gridSpan")) or 1
        merge = child(properties, "w:vMerge")
        deleted = child(properties, "w:cellDel") is not None
        blocks = [block for each in _flat(element) for block in self._block(each)] if not deleted else []
        blocks += self._rest()
        text = " ".join([in_a_line(block.content).strip() for block in blocks])
        if merge is not None and merge.get("w:val", "continue") == "continue":
            return blocks, Cell(text or None, span)
        return blocks, Cell(text, span)

    # -- drawings

    def _drawing(self, drawing: Element, line: Line) -> None:
        """Add what a drawing says, and put its text boxes and charts aside."""
        described, pictures, fills_page, objects = "", 0, False, []
        for each in _within(drawing):
            name = each.tag.rpartition(":")[2]
            if each.tag == "w:txbxContent":
                self._aside.append(each)
            elif name == "docPr":
                described = described or each.get("descr", "")
            elif name == "shape" and each.get("alt"):
                described = described or each.get("alt", "")
            elif name == "extent":
                size = (number(each.get("cx")) or 0, number(each.get("cy")) or 0)
                fills_page = fills_page or (size[0] >= _PAGE[0] and size[1] >= _PAGE[1])
            elif name == "textpath":
                line.add(each.get("string", ""))
            elif name in {"blip", "imagedata"}:
                pictures += 1
            elif name == "OLEObject":
                objects.append(each.get("ProgID", ""))
            elif each.tag in {"c:chart", "dgm:relIds"}:
                self._graphic(each)
            elif each.tag == "a:t":
                line.add(f"{each.text or ''} ")
        self._document.objects += objects
        if objects:
            return
        if pictures and described.strip():
            line.add(f" [{' '.join(described.split())}] ")
        else:
            self._document.pictures += pictures
        self._document.scans += bool(pictures and fills_page)

    def _graphic(self, element: Element) -> None:
        name = self._related.get(element.get("r:id" if element.tag == "c:chart" else "r:dm", ""))
        if name is None:
            return
        root = self._document.package.root(name)
        self._aside += list(chart(root)) if element.tag == "c:chart" else [diagram(root)]


def _flat(elements: Iterable[Element]) -> Iterator[Element]:
    """Yield elements; for those that only hold others, what they hold."""
    for element in elements:
        if element.tag == "w:sdt" or element.tag in _CONTAINERS:
            yield from _flat(element)
        elif element.tag == "mc:AlternateContent":
            yield from _flat(_branch(element) or ())
        elif element.tag not in _SKIPPED:
            yield element


def _branch(element: Element) -> Element | None:
    """Return the first version of what is there in several that has text, or the first."""
    branches = [each for each in element if each.tag in {"mc:Choice", "mc:Fallback"}]
    return next((each for each in branches if _has_text(each)), next(iter(branches), None))


def _has_text(element: Element) -> bool:
    return any(each.tag in {"w:t", "a:t", "m:t", "c:chart", "dgm:relIds"} for each in element.iter())


def _within(drawing: Element) -> Iterator[Element]:
    """Yield the elements of a drawing in order, without those in text boxes."""
    open_ = [drawing]
    while open_:
        element = open_.pop()
        yield element
        if element.tag == "mc:AlternateContent":
            open_ += [branch] if (branch := _branch(element)) is not None else []
        elif element.tag != "w:txbxContent":
            open_ += reversed(element)


def _text(element: Element) -> str:
    text = element.text or ""
    return text if element.get("xml:space") == "preserve" else text.strip(" \t\r\n")


def _font(properties: Element | None) -> str:
    fonts = child(properties, "w:rFonts")
    return "" if fonts is None else fonts.get("w:ascii") or fonts.get("w:hAnsi") or ""


def _sign(element: Element) -> str:
    """Return the character of a <w:sym>."""
    code = element.get("w:char", "")
    return symbol(element.get("w:font", ""), chr(int(code, 16))) if _CODE.fullmatch(code) else ""


def _has_own_mark(reference: Element) -> bool:
    return reference.get("w:customMarkFollows", "0") in {"1", "true", "on"}


# What a run's properties say; None if they do not.


def _is_hidden(properties: Element | None) -> bool | None:
    return is_on(properties, "w:vanish")


def _is_struck(properties: Element | None) -> bool | None:
    said = [is_on(properties, name) for name in ("w:strike", "w:dstrike")]
    return None if said == [None, None] else any(said)


def _in_capitals(properties: Element | None) -> bool | None:
    return is_on(properties, "w:caps")


def _shift(properties: Element | None) -> str | None:
    aligned = value(properties, "w:vertAlign")
    if aligned is not None:
        return aligned if aligned in {RAISED, LOWERED} else ""
    raised = number(value(properties, "w:position"))
    if raised is None:
        return None
    if abs(raised) < _SHIFTED and child(properties, "w:sz") is None:
        return ""
    return {True: RAISED, False: LOWERED}[raised > 0] if raised else ""
