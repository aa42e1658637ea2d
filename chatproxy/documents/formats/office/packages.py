"""The packages that Office's files are: archives whose files refer to each other by relationships."""

import posixpath
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple
from xml.etree.ElementTree import Element

from chatproxy.documents.archives import Archive, with_article
from chatproxy.documents.markup import parse
from chatproxy.documents.parts import wrong_type

_NEEDED: Final = frozenset({"[Content_Types].xml"})


class Related(NamedTuple):
    """What a file of a package refers to: under which id, as what ("slide", "image"), and the name."""

    id: str
    kind: str
    name: str


class Package(Archive):
    """A package, whose files are read by what refers to them."""

    def __init__(self, file: BinaryIO, what: str) -> None:
        """Open a package; raise as `Archive` does."""
        super().__init__(file, what, _NEEDED)

    def root(self, name: str) -> Element:
        """Return the root element of a file."""
        with self.open(name) as file:
            return parse(file)

    def main(self, tag: str) -> tuple[str, Element]:
        """Return the name and the root of the file that everything begins with.

        Raises `unsupported_media_type` if that is another element: a file of another program.
        """
        for related in self.related(""):
            if related.kind == "officeDocument":
                root = self.root(related.name)
                if root.tag == tag:
                    return related.name, root
        raise wrong_type(with_article(self.what))

    def related(self, name: str, *kinds: str) -> Iterator[Related]:
        """Yield what a file of the package refers to within it, of some kinds or of all."""
        folder, file = posixpath.split(name)
        relationships = posixpath.join(folder, "_rels", f"{file}.rels")
        if relationships not in self.names:
            return
        for element in self.root(relationships):
            target = element.get("Target", "")
            kind = element.get("Type", "").rpartition("/")[2]
            if element.get("TargetMode") == "External" or (kinds and kind not in kinds):
                continue
            # An absolute target begins with a slash, and then the folder is left out of the joint.
            found = posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")
            if found in self.names:
                yield Related(element.get("Id", ""), kind, found)
