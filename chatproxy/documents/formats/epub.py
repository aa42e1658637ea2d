"""EPUB 2 and 3: the pages of a book, in its order."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import BinaryIO, Final
from urllib.parse import unquote, urldefrag
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import Archive, read_whole
from chatproxy.documents.formats import html
from chatproxy.documents.markup import child, parse
from chatproxy.documents.parts import PARTIAL, Part, Reading, Remark, damaged, invalid
from chatproxy.errors import ChatError

_WHAT: Final = "EPUB"
_CONTAINER: Final = "META-INF/container.xml"
_ENCRYPTION: Final = "META-INF/encryption.xml"
# What only hides fonts, and leaves the text as it is.
_FONTS: Final = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_PAGES: Final = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document"})
_CONTENTS: Final = "application/x-dtbncx+xml"
# The title in it is the book's.
_HEAD: Final = re.compile(rb"<head\b[^<]*(?:<(?!/head\b)[^<]*)*</head>", re.IGNORECASE)
_PROTECTED: Final = (
    "The EPUB is protected against copying and cannot be read; send one without such protection."
)


def read(file: BinaryIO) -> Reading:
    """Return the text of each chapter, below its title."""
    remarks: list[Remark] = []
    return Reading(_parts(Archive(file, _WHAT, frozenset({_CONTAINER})), remarks), remarks)


def _parts(archive: Archive, remarks: list[Remark]) -> Iterator[Part]:
    with read_whole(_WHAT):
        book = _Book(archive)
        empty = 0
        for number, name in enumerate(book.pages, start=1):
            parts = list(book.parts(name))
            empty += not parts and number > 1  # the first is a cover
            for part in parts:
                yield part._replace(page=number) if book.is_fixed else part
        if empty:
            remarks.append(
                Remark(PARTIAL, f"{empty} of the book's {len(book.pages)} files hold pictures only.")
            )


class _Book:
    """What the package document of a book says."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        container = self._root(_CONTAINER)
        package = next(each.get("full-path", "") for each in container.iter("container:rootfile"))
        self._folder = posixpath.dirname(package)
        root = self._root(package)
        items = {each.get("id", ""): each for each in root.iter("opf:item")}
        left_out = {
            self._name(each.get("href", ""))
            for each in root.iter("opf:reference")
            if each.get("type") == "toc"
        }
        names = {}
        contents: list[Element] = []
        for key, item in items.items():
            name = self._name(item.get("href", ""))
            if "nav" in item.get("properties", "").split():
                left_out.add(name)
                contents.append(item)
            elif item.get("media-type") in _PAGES:
                names[key] = name
            elif item.get("media-type") == _CONTENTS:
                contents.append(item)
        order = [names.get(each.get("idref", ""), "") for each in root.iter("opf:itemref")]
        self.pages = [name for name in dict.fromkeys(order) if name in archive.names and name not in left_out]
        if not self.pages:
            raise damaged(_WHAT)
        self._check_protection()
        self.is_fixed = any(
            each.get("property") == "rendition:layout" and (each.text or "").strip() == "pre-paginated"
            for each in root.iter("opf:meta")
        )
        self._titles: Mapping[str, str] = {}
        for item in contents:
            self._titles = self._titles or self._listed(self._name(item.get("href", "")))

    def parts(self, name: str) -> Iterator[Part]:
        """Yield a chapter, whose title is that in the contents if it has none of its own."""
        with self._archive.open(name) as file:
            page = _HEAD.sub(b"", file.read(), count=1)
        try:
            parts = [part for part in html.read(BytesIO(page)).parts if part.text.strip()]
        except ChatError:  # there is no text
            return
        title = self._titles.get(name)
        if (
            parts
            and title
            and not any(line.startswith("#") for part in parts for line in part.text.split("\n"))
        ):
            yield Part(f"## {title}")
        yield from parts

    def _listed(self, name: str) -> Mapping[str, str]:
        """Return the titles of chapters, as the contents give them."""
        titles: dict[str, str] = {}
        folder = posixpath.dirname(name)
        root = self._root(name)
        for entry in root.iter():
            if entry.tag == "ncx:navPoint":
                label, link = child(entry, "ncx:navLabel"), child(entry, "ncx:content")
                target = "" if link is None else link.get("src", "")
            elif entry.tag == "html:a":
                label, target = entry, entry.get("href", "")
            else:
                continue
            title = "" if label is None else " ".join("".join(label.itertext()).split())
            titles.setdefault(_joined(folder, target), title)
        return titles

    def _check_protection(self) -> None:
        if _ENCRYPTION not in self._archive.names:
            return
        locked = set()
        for each in self._root(_ENCRYPTION).iter("enc:EncryptedData"):
            method = child(each, "enc:EncryptionMethod")
            if method is None or method.get("Algorithm") not in _FONTS:
                locked |= {_joined("", link.get("URI", "")) for link in each.iter("enc:CipherReference")}
        if locked.intersection(self.pages):
            raise invalid(_PROTECTED)

    def _root(self, name: str) -> Element:
        with self._archive.open(name) as file:
            return parse(file)

    def _name(self, href: str) -> str:
        return _joined(self._folder, href)


def _joined(folder: str, href: str) -> str:
    """Return the name in the archive of what a file in a folder refers to."""
    return posixpath.normpath(posixpath.join("/", folder, unquote(urldefrag(href).url))).lstrip("/")
