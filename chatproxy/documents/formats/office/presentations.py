"""PPTX and its kin, slide by slide, in the order in which PowerPoint reads them aloud.

python-pptx brings lxml, Pillow and XlsxWriter along, and knows neither diagrams nor the numbers of lists.
"""

from collections.abc import Iterator
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import read_whole
from chatproxy.documents.formats.office.diagrams import chart, diagram
from chatproxy.documents.formats.office.packages import Package
from chatproxy.documents.formats.office.paragraphs import Paragraphs
from chatproxy.documents.markup import child, children
from chatproxy.documents.notation.tables import Cell, Table, parts_of
from chatproxy.documents.parts import Part, Reading, Remark, without_text

_WHAT: Final = "PPTX"
_TITLES: Final = frozenset({"title", "ctrTitle"})
_LISTS: Final = frozenset({"", "obj", "body"})  # placeholders whose paragraphs have bullets
_FOOTERS: Final = frozenset({"dt", "ftr", "hdr"})


def read(file: BinaryIO) -> Reading:
    """Return the text of each slide, with its number as the page."""
    remarks: list[Remark] = []
    return Reading(_parts(Package(file, _WHAT), remarks), remarks)


def _parts(package: Package, remarks: list[Remark]) -> Iterator[Part]:
    with read_whole(_WHAT):
        name, presentation = package.main("p:presentation")
        files = {related.id: related.name for related in package.related(name, "slide")}
        names = [files.get(each.get("r:id", "")) for each in presentation.iter("p:sldId")]
        footers: set[str] = set()
        pictures = []
        for number, slide in enumerate(dict.fromkeys(filter(None, names)), start=1):
            reader = _Slide(package, slide, footers)
            blocks = list(reader.blocks())
            if reader.pictures and not any(blocks):
                pictures.append(number)
            for part in parts_of([block for block in blocks if block]):
                yield part._replace(page=number)
        if pictures:
            remarks.append(without_text(pictures, "slide"))


class _Slide:
    """A slide; `footers` are those of earlier ones, which are not repeated."""

    def __init__(self, package: Package, name: str, footers: set[str]) -> None:
        self.pictures = 0
        self._package = package
        self._name = name
        self._footers = footers
        self._files = {related.id: related.name for related in package.related(name)}

    def blocks(self) -> Iterator[str | Part]:
        """Yield the title, paragraphs and tables of the slide, and the speaker's notes."""
        root = self._package.root(self._name)
        hidden = " (hidden)" if root.get("show") in {"0", "false"} else ""
        shapes = list(_shapes(child(root, "p:cSld", "p:spTree")))
        titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
        title = " ".join([" ".join(_text(shape).split()) for shape in titles])
        if title or hidden:
            yield f"## {title}{hidden}" if title else f"## Slide{hidden}"
        for shape in shapes:
            if shape not in titles:
                yield from self._shape(shape)
        for notes in self._package.related(self._name, "notesSlide"):
            tree = child(self._package.root(notes.name), "p:cSld", "p:spTree")
            said = [_text(shape) for shape in _shapes(tree) if _placeholder(shape) == "body"]
            if any(said):
                yield "\n".join(["Notes:", *filter(None, said)])

    def _shape(self, shape: Element) -> Iterator[str | Part]:
        kind = _placeholder(shape)
        if shape.tag == "p:pic":
            self.pictures += 1
        elif shape.tag == "p:graphicFrame":
            yield from self._graphic(shape)
        elif kind in _FOOTERS:
            text = _text(shape)
            if text not in self._footers:
                self._footers.add(text)
                yield text
        elif kind != "sldNum":
            yield _text(shape, bullets=kind in _LISTS)

    def _graphic(self, frame: Element) -> Iterator[str | Part]:
        for element in frame.iter("a:tbl"):
            yield _table(element)
        for element in frame.iter("c:chart"):
            if name := self._files.get(element.get("r:id", "")):
                yield from chart(self._package.root(name))
        for element in frame.iter("dgm:relIds"):
            if name := self._files.get(element.get("r:dm", "")):
                yield diagram(self._package.root(name))
        self.pictures += sum(1 for _ in frame.iter("p:pic"))  # of what another program shows


def _shapes(tree: Element | None) -> Iterator[Element]:
    """Yield the shapes of a slide, and those in groups."""
    for shape in () if tree is None else tree:
        if shape.tag == "p:grpSp":
            yield from _shapes(shape)
        elif shape.tag == "mc:AlternateContent":
            yield from _shapes(next(children(shape, "mc:Choice", "mc:Fallback"), None))
        elif shape.tag in {"p:sp", "p:pic", "p:graphicFrame", "p:cxnSp"}:
            yield shape


def _placeholder(shape: Element) -> str | None:
    """Return which place of its layout a shape fills; None for a shape of its own."""
    for properties in children(shape, "p:nvSpPr", "p:nvPicPr", "p:nvGraphicFramePr"):
        found = child(properties, "p:nvPr", "p:ph")
        return None if found is None else found.get("type", "")
    return None


def _text(shape: Element, *, bullets: bool = False) -> str:
    body = child(shape, "p:txBody")
    return "" if body is None else Paragraphs(bullets).text(body)


def _table(element: Element) -> Part:
    properties = child(element, "a:tblPr")
    headed = properties is not None and properties.get("firstRow") in {"1", "true"}
    table = Table()
    for row in children(element, "a:tr"):
        table.add(
            Cell(
                Paragraphs().text(body) if (body := child(cell, "a:txBody")) is not None else "",
                int(cell.get("gridSpan", "1")),
                int(cell.get("rowSpan", "1")),
            )
            for cell in children(row, "a:tc")
            if not {"1", "true"} & {cell.get("hMerge"), cell.get("vMerge")}
        )
    return table.part(1 if headed else None)
