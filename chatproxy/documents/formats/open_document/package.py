"""The package that an OpenDocument file is: its content, and the styles that say how it is shown."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import Archive, read_whole, with_article
from chatproxy.documents.markup import child, elements, parse
from chatproxy.documents.parts import locked, wrong_type

_CONTENT: Final = "content.xml"
_STYLES: Final = "styles.xml"
_MANIFEST: Final = "META-INF/manifest.xml"
_MAX_PARENTS: Final = 64  # of a style; more are a cycle
OUTLINE: Final = "text:outline-style"  # of headings; there is one, whatever its name
_STYLE_NAMES: Final = ("style:style", "text:list-style", OUTLINE, "style:master-page")


class OpenDocument(Archive):
    """A file of OpenDocument; `kind` is what its body holds: "text", "spreadsheet" or "presentation"."""

    def __init__(self, file: BinaryIO, what: str, kind: str) -> None:
        """Open a file; raise as `Archive` does."""
        super().__init__(file, what, frozenset({_CONTENT}))
        self._kind = f"office:{kind}"
        with read_whole(what):
            for _ in self._elements(_MANIFEST, "manifest:encryption-data") if _MANIFEST in self.names else ():
                raise locked(what)

    def body(self) -> Element:
        """Return what the file says. Raises `unsupported_media_type` if it is of another kind."""
        with self.open(_CONTENT) as file:
            found = child(parse(file), "office:body", self._kind)
        if found is None:
            raise self._wrong()
        return found

    def rows(self) -> Iterator[Element]:
        """Yield the rows of a spreadsheet, and each table before its rows, empty; raise as `body` does."""
        begun = (self._kind, "table:table")
        with self.open(_CONTENT) as file:
            found = elements(file, "table:table-row", "table:shapes", begun=begun)
            if getattr(next(found, None), "tag", None) != self._kind:
                raise self._wrong()
            yield from found

    def styles(self) -> "Styles":
        """Return the styles, those of the content and those of all pages."""
        named: dict[tuple[str, str], Element] = {}
        pages = []
        for name in (_STYLES, _CONTENT):
            for style in self._elements(name, *_STYLE_NAMES) if name in self.names else ():
                family = style.get("style:family", style.tag)
                named[family, "" if family == OUTLINE else style.get("style:name", "")] = style
                if style.tag == "style:master-page":
                    pages.append(style)
        return Styles(named, pages)

    def _elements(self, name: str, *wanted: str) -> Iterator[Element]:
        with self.open(name) as file:
            yield from elements(file, *wanted)

    def _wrong(self) -> Exception:
        return wrong_type(with_article(self.what))


class Styles:
    """Styles by family and name, and the pages that have headers and footers."""

    def __init__(self, named: Mapping[tuple[str, str], Element], pages: list[Element]) -> None:
        self.pages = pages
        self._named = named

    def named(self, family: str, name: str | None) -> Element | None:
        """Return a style; lists have the family of their tag."""
        return self._named.get((family, name or ""))

    def property(self, family: str, name: str | None, attribute: str) -> str | None:
        """Return what a style says, or those that it is based on."""
        for _ in range(_MAX_PARENTS):
            style = self.named(family, name)
            if style is None:
                return None
            for element in (style, *style):
                said: str | None = element.get(attribute)
                if said is not None:
                    return said
            name = style.get("style:parent-style-name")
        return None

    def level(self, style: Element | None, level: int) -> Element | None:
        """Return how a level of a list, from 1, is numbered."""
        for each in () if style is None else style:
            if each.get("text:level") == str(level):
                return each
        return None
