"""ODT, paragraph by paragraph, with numbers as they are shown.

odfpy reads the XML of these files and leaves what it says to its callers.
"""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import read_whole
from chatproxy.documents.formats.open_document.blocks import Writer
from chatproxy.documents.formats.open_document.package import OpenDocument, Styles
from chatproxy.documents.markup import children
from chatproxy.documents.notation.tables import parts_of
from chatproxy.documents.parts import PARTIAL, Part, Reading, Remark

_WHAT: Final = "ODT"
_HEADERS: Final = ("style:header", "style:header-first", "style:header-left")
_FOOTERS: Final = ("style:footer", "style:footer-first", "style:footer-left")
_CHECKED: Final = {"true": "☒", "checked": "☒"}


def read(file: BinaryIO) -> Reading:
    """Return the text, with headers before and footers behind it, each once."""
    remarks: list[Remark] = []
    return Reading(_parts(OpenDocument(file, _WHAT, "text"), remarks), remarks)


def _parts(document: OpenDocument, remarks: list[Remark]) -> Iterator[Part]:
    with read_whole(_WHAT):
        body, styles = document.body(), document.styles()
        writer = Writer(styles, _controls(body))
        yield from _margins(writer, styles, _HEADERS)
        yield from parts_of(block for block in writer.blocks(body) if block)
        if writer.pictures:
            remarks.append(Remark(PARTIAL, f"Pictures in the file are not read ({writer.pictures})."))
        yield from _margins(writer, styles, _FOOTERS)


def _margins(writer: Writer, styles: Styles, names: tuple[str, ...]) -> Iterator[Part]:
    texts = [writer.text(each) for page in styles.pages for each in children(page, *names)]
    yield from (Part(text) for text in dict.fromkeys(texts) if text)


def _controls(body: Element) -> Mapping[str, str]:
    """Return what the fields of forms hold, by their names in the text."""
    found = {}
    for forms in body.iter("office:forms"):
        for field in forms.iter():
            for key in ("xml:id", "form:id"):
                if name := field.get(key):
                    found[name] = _filled_in(field)
    return found


def _filled_in(field: Element) -> str:
    label = field.get("form:label", "")
    match field.tag:
        case "form:checkbox" | "form:radio":
            state = field.get("form:current-state") or field.get("form:current-selected") or ""
            return f"{_CHECKED.get(state, '☐')} {label}".strip()
        case "form:listbox":
            chosen = [
                each for each in field.iter("form:option") if each.get("form:current-selected") == "true"
            ]
            return ", ".join([each.get("form:label", "") for each in chosen])
        case "form:password" | "form:hidden":
            return ""
        case _:
            return field.get("form:current-value") or field.get("form:value") or label
