"""XML within bounds: no entities but XML's own, no deep nesting, and only the elements that are wanted."""

from collections.abc import Collection, Iterator
from typing import BinaryIO, Final
from xml.etree.ElementTree import Element
from xml.parsers import expat

from chatproxy.documents.parts import too_many

MAX_DEPTH: Final = (
    256  # elements; no real document comes near it, and code that recurses stays within Python's limit
)
MAX_ELEMENTS: Final = 4_000_000  # of one file; a sheet of a million cells has three million
_BLOCK: Final = 64 * 1024  # bytes
_OFFICE: Final = "http://schemas.openxmlformats.org/"
_STRICT: Final = "http://purl.oclc.org/ooxml/"
_OPEN: Final = "urn:oasis:names:tc:opendocument:xmlns:"
# How the names of elements and attributes begin, whatever prefix a file has for the namespace. The default
# namespace of attributes has none.
_PREFIXES: Final = {
    f"{_OFFICE}spreadsheetml/2006/main": "x",
    f"{_STRICT}spreadsheetml/main": "x",
    f"{_OFFICE}presentationml/2006/main": "p",
    f"{_STRICT}presentationml/main": "p",
    f"{_OFFICE}wordprocessingml/2006/main": "w",
    f"{_STRICT}wordprocessingml/main": "w",
    f"{_OFFICE}drawingml/2006/main": "a",
    f"{_STRICT}drawingml/main": "a",
    f"{_OFFICE}drawingml/2006/chart": "c",
    f"{_STRICT}drawingml/chart": "c",
    f"{_OFFICE}drawingml/2006/diagram": "dgm",
    f"{_STRICT}drawingml/diagram": "dgm",
    f"{_OFFICE}markup-compatibility/2006": "mc",
    f"{_OFFICE}officeDocument/2006/math": "m",
    f"{_STRICT}officeDocument/math": "m",
    f"{_OFFICE}officeDocument/2006/relationships": "r",
    f"{_STRICT}officeDocument/relationships": "r",
    f"{_OFFICE}package/2006/relationships": "rel",
    f"{_OPEN}office:1.0": "office",
    f"{_OPEN}text:1.0": "text",
    f"{_OPEN}table:1.0": "table",
    f"{_OPEN}drawing:1.0": "draw",
    f"{_OPEN}presentation:1.0": "presentation",
    f"{_OPEN}style:1.0": "style",
    f"{_OPEN}xsl-fo-compatible:1.0": "fo",
    f"{_OPEN}datastyle:1.0": "number",
    f"{_OPEN}form:1.0": "form",
    f"{_OPEN}manifest:1.0": "manifest",
    "http://www.w3.org/1999/xlink": "xlink",
    "urn:oasis:names:tc:opendocument:xmlns:container": "container",
    "http://www.idpf.org/2007/opf": "opf",
    "http://openebook.org/namespaces/oeb-package/1.0/": "opf",
    "http://www.daisy.org/z3986/2005/ncx/": "ncx",
    "http://www.w3.org/1999/xhtml": "html",
    "http://www.w3.org/2001/04/xmlenc#": "enc",
    "http://www.w3.org/XML/1998/namespace": "xml",
}


def parse(file: BinaryIO) -> Element:
    """Return the root element; raise as `elements` does."""
    return next(_read(file, None))


def elements(file: BinaryIO, *wanted: str, begun: Collection[str] = ()) -> Iterator[Element]:
    """Yield each element of these names when it ends, with what it contains; the rest is not kept.

    Those in `begun` are yielded when they begin, without what they contain, unless they are in a wanted one.
    Names are as in `parse`: a prefix of _PREFIXES, a colon, and the local name. Raises ValueError for what
    is no XML within the bounds, and `too_large` for more than MAX_ELEMENTS.
    """
    return _read(file, frozenset(wanted), frozenset(begun))


def children(element: Element, *names: str) -> Iterator[Element]:
    """Yield the elements of these names that are directly in this one."""
    return (child for child in element if child.tag in names)


def child(element: Element | None, *path: str) -> Element | None:
    """Return the first element at a path of names below this one."""
    for name in path:
        if element is None:
            return None
        element = next(children(element, name), None)
    return element


def _read(
    file: BinaryIO, wanted: frozenset[str] | None, begun: frozenset[str] = frozenset()
) -> Iterator[Element]:
    parser = expat.ParserCreate(namespace_separator="\n")
    parser.buffer_text = True
    builder = _Builder(wanted, begun)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.EntityDeclHandler = _refuse
    try:
        while block := file.read(_BLOCK):
            parser.Parse(block, False)
            yield from builder.take()
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise ValueError(str(error)) from error
    yield from builder.take()


def _refuse(*_: object) -> None:
    raise ValueError("an entity is declared")


class _Builder:
    """Makes elements of what the parser finds; of all of it, if nothing is named."""

    def __init__(self, wanted: frozenset[str] | None, begun: frozenset[str]) -> None:
        self._wanted = wanted
        self._at_start = begun
        self._open: list[Element] = []  # from the wanted one inwards
        self._done: list[Element] = []
        self._depth = self._count = 0
        self._names: dict[str, str] = {}
        self._text: list[str] = []  # what has come since the last tag

    def take(self) -> list[Element]:
        done, self._done = self._done, []
        return done

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH:
            raise ValueError("elements are nested too deeply")
        if self._count > MAX_ELEMENTS:
            raise too_many("elements")
        name = self._names.get(name) or self._named(name)
        if self._text:
            self._end_text()
        if self._open or self._wanted is None or name in self._wanted:
            names = self._names
            element = Element(
                name, {names.get(key) or self._named(key): value for key, value in attributes.items()}
            )
            if self._open:
                self._open[-1].append(element)
            self._open.append(element)
        elif name in self._at_start:
            self._done.append(Element(name, {self._named(key): value for key, value in attributes.items()}))

    def end(self, _: str) -> None:
        self._depth -= 1
        if self._text:
            self._end_text()
        if self._open:
            element = self._open.pop()
            if not self._open:
                self._done.append(element)

    def text(self, text: str) -> None:
        if self._open:
            self._text.append(text)

    def _end_text(self) -> None:
        text = "".join(self._text)
        self._text = []
        element = self._open[-1]
        if len(element):
            element[-1].tail = text
        else:
            element.text = text

    def _named(self, name: str) -> str:
        namespace, _, local = name.rpartition("\n")
        prefix = _PREFIXES.get(namespace, "other") if namespace else ""
        self._names[name] = f"{prefix}:{local}" if prefix else local
        return self._names[name]
