"""DOCX, as Word shows it.

No library gives the numbers that Word counts itself, so the XML is read here.
"""

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import read_whole, with_article
from chatproxy.documents.formats import html, rtf, text
from chatproxy.documents.formats.office.packages import Package
from chatproxy.documents.formats.wordprocessing.numbering import Numbering
from chatproxy.documents.formats.wordprocessing.properties import is_on, value
from chatproxy.documents.formats.wordprocessing.story import Block, Document, Story
from chatproxy.documents.formats.wordprocessing.styles import Styles
from chatproxy.documents.markup import children, elements
from chatproxy.documents.notation.tables import PARAGRAPH
from chatproxy.documents.parts import PARTIAL, Part, Reading, Remark, wrong_type
from chatproxy.errors import ChatError

LITTLE_TEXT: Final = 200  # characters; with less, pictures are likely to matter
_BLOCKS: Final = ("w:p", "w:tbl", "w:sdt", "mc:AlternateContent", "m:oMathPara", "w:sectPr", "w:altChunk")
_NOTE_FORMATS: Final = {"footnote": "decimal", "endnote": "lowerRoman"}  # unless the settings say otherwise
_USUAL_MAIN: Final = "word/document.xml"  # where nothing says so
_MOST_NESTED: Final = 3  # documents in documents


def read(file: BinaryIO) -> Reading:
    """Return the text, with the numbers, notes, headers and footers that Word shows.

    Raises what `Archive` does.
    """
    return _read(file, 0)


def _read(file: BinaryIO, depth: int) -> Reading:
    with read_whole("DOCX"):
        return _Reader(Package(file, "DOCX"), depth).reading()


class _Reader:
    """Reads the files of a document in the order in which they are seen."""

    def __init__(self, package: Package, depth: int) -> None:
        self._package = package
        self._depth = depth
        self._main = _main(package)
        self._files = {each.kind: each.name for each in package.related(self._main)}
        styles = Styles(self._root("styles"))
        settings = self._root("settings")
        self._document = Document(package, styles, self._notes(), _note_formats(settings), self._embedded)
        self._even_pages = bool(is_on(settings, "w:evenAndOddHeaders"))
        self._margins: dict[str, list[str]] = {"header": [], "footer": []}  # files
        self._remarks: list[Remark] = []

    def reading(self) -> Reading:
        """Return the parts, from the headers to the footers."""
        document = self._document
        body = list(self._body())
        blocks = [*self._margin("header"), *body, *map(Block, document.endnotes), *self._margin("footer")]
        parts = list(_parts(blocks))
        length = sum(len(part.text) for part in parts)
        if document.pictures and (document.scans or length < LITTLE_TEXT):
            count = document.pictures
            self._say(f"{count} picture{'s' * (count > 1)} without a description could not be read.")
        if document.objects:
            names = ", ".join(sorted({name.partition(".")[0] for name in document.objects if name}))
            count = len(document.objects)
            self._say(f"{count} embedded object{'s' * (count > 1)} ({names}) could not be read.")
        return Reading(parts, self._remarks)

    def _body(self) -> Iterator[Block]:
        numbering = Numbering(self._root("numbering"), self._document.styles)
        story = Story(self._document, self._main, numbering)
        with self._package.open(self._main) as file:
            yield from story.blocks(self._sections(elements(file, *_BLOCKS)))

    def _sections(self, found: Iterable[Element]) -> Iterator[Element]:
        """Yield elements, and note the headers and footers of the sections in them."""
        for element in found:
            for section in element.iter("w:sectPr"):
                self._section(section)
            yield element

    def _section(self, section: Element) -> None:
        """Note the headers and footers that a section shows."""
        related = self._document.related(self._main)
        for element in children(section, "w:headerReference", "w:footerReference"):
            kind = element.get("w:type", "default")
            shown = {"first": bool(is_on(section, "w:titlePg")), "even": self._even_pages}
            if not shown.get(kind, True):
                continue
            files = self._margins[element.tag.removeprefix("w:").removesuffix("Reference")]
            if (name := related.get(element.get("r:id", ""))) and name not in files:
                files.append(name)

    def _margin(self, kind: str) -> Iterator[Block]:
        """Yield what headers or footers say, each text once."""
        seen = set()
        for name in self._margins[kind]:
            story = Story(self._document, name, Numbering(self._root("numbering"), self._document.styles))
            pictures, scans = self._document.pictures, self._document.scans
            blocks = tuple(story.blocks(self._package.root(name)))
            self._document.pictures, self._document.scans = pictures, scans  # a logo is no part of the text
            if blocks not in seen:
                seen.add(blocks)
                yield from blocks

    def _embedded(self, name: str) -> Iterable[Part]:
        """Return the parts of a document of any format that Word has not taken in yet."""
        try:
            if self._depth >= _MOST_NESTED:
                raise wrong_type("a document")
            with self._package.open(name) as opened:
                reading = _embedded(BytesIO(opened.read()), self._depth)
        except ChatError:
            self._say("A document that is embedded in this one could not be read.")
            return ()
        self._remarks += reading.remarks
        return reading.parts

    def _notes(self) -> dict[tuple[str, str], tuple[str, Element]]:
        found = {}
        for kind in _NOTE_FORMATS:
            root = self._root(f"{kind}s")
            for element in () if root is None else children(root, f"w:{kind}"):
                found[kind, element.get("w:id", "")] = (self._files[f"{kind}s"], element)
        return found

    def _root(self, kind: str) -> Element | None:
        return self._package.root(self._files[kind]) if kind in self._files else None

    def _say(self, sentence: str) -> None:
        self._remarks.append(Remark(PARTIAL, sentence))


def _main(package: Package) -> str:
    """Return the name of the file with the body. Raises `unsupported_media_type` if there is none."""
    for name in [*[each.name for each in package.related("", "officeDocument")], _USUAL_MAIN]:
        if name not in package.names:
            continue
        with package.open(name) as file:
            if next(elements(file, begun=["w:document"]), None) is not None:
                return name
    raise wrong_type(with_article(package.what))


def _note_formats(settings: Element | None) -> dict[str, str]:
    return {
        kind: value(settings, f"w:{kind}Pr", "w:numFmt") or default for kind, default in _NOTE_FORMATS.items()
    }


def _embedded(file: BytesIO, depth: int) -> Reading:
    start = file.getvalue()[:1000]
    if start.startswith(b"PK"):
        return _read(file, depth + 1)
    if start.startswith(b"{\\rtf"):
        return rtf.read(file)
    if b"MIME-Version:" in start:
        return html.read_archive(file)
    return html.read(file) if b"<" in start else text.read(file)


def _parts(blocks: Iterable[Block]) -> Iterator[Part]:
    """Yield the parts that blocks make: tables with their captions, and the text between them."""
    texts: list[str] = []
    before = Block("")
    for block in blocks:
        if isinstance(block.content, str):
            if texts:
                texts.append("\n" if block.is_item and before.is_item else PARAGRAPH)
            texts.append(f"{'#' * min(block.level, 6)} {block.content}" if block.level else block.content)
        else:
            part = block.content
            if before.is_caption and texts:
                caption = texts.pop()
                repeated = f"{caption}\n{part.repeated}" if part.repeated else ""
                part = part._replace(text=f"{caption}\n{part.text}", repeated=repeated)
            if texts:
                yield Part("".join(texts))
            texts = []
            yield part
        before = block
    if texts:
        yield Part("".join(texts))
