"""ODP, slide by slide."""

from collections.abc import Iterator
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import read_whole
from chatproxy.documents.formats.open_document.blocks import Writer, in_lines
from chatproxy.documents.formats.open_document.package import OpenDocument, Styles
from chatproxy.documents.markup import children
from chatproxy.documents.notation.tables import parts_of
from chatproxy.documents.parts import Part, Reading, Remark, without_text

_WHAT: Final = "ODP"


def read(file: BinaryIO) -> Reading:
    """Return the text of each slide, with its number as the page."""
    remarks: list[Remark] = []
    return Reading(_parts(OpenDocument(file, _WHAT, "presentation"), remarks), remarks)


def _parts(document: OpenDocument, remarks: list[Remark]) -> Iterator[Part]:
    with read_whole(_WHAT):
        body, styles = document.body(), document.styles()
        footers = {
            each.text or ""
            for each in body
            if each.tag in {"presentation:footer-decl", "presentation:header-decl"}
        }
        pictures = []
        for number, page in enumerate(children(body, "draw:page"), start=1):
            writer = Writer(styles)
            blocks = [block for block in _slide(page, writer, styles) if block]
            if number == 1:
                blocks += sorted(filter(None, footers))
            if writer.pictures and not blocks:
                pictures.append(number)
            for part in parts_of(blocks):
                yield part._replace(page=number)
        if pictures:
            remarks.append(without_text(pictures, "slide"))


def _slide(page: Element, writer: Writer, styles: Styles) -> Iterator[str | Part]:
    """Yield the title, the paragraphs and the tables of a slide, and the speaker's notes."""
    look = page.get("draw:style-name")
    visible = styles.property("drawing-page", look, "presentation:visibility") != "hidden"
    titles = [shape for shape in page if shape.get("presentation:class") == "title"]
    title = " ".join([" ".join(writer.text(shape).split()) for shape in titles])
    if not visible:
        title = f"{title or 'Slide'} (hidden)"
    if title:
        yield f"## {title}"
    shapes = [
        shape
        for shape in page
        if shape not in titles and shape.tag not in {"presentation:notes", "office:forms"}
    ]
    for shape in shapes:
        yield from in_lines(writer.block(shape))
    for notes in children(page, "presentation:notes"):
        said = [writer.text(each) for each in notes if each.get("presentation:class") == "notes"]
        if any(said):
            yield "\n".join(["Notes:", *filter(None, said)])
