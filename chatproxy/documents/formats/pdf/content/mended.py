"""A file that breaks off before what says where its pages are."""

import re
from typing import Final

_MARKS: Final = re.compile(rb"(\d{1,10} {1,9}\d{1,5}) {1,9}obj\b|(endobj)|/Type\s{0,9}/Page(?![A-Za-z])")
_COUNT: Final = re.compile(rb"/Type\s{0,9}/Pages[^>]{0,9999}?/Count\s{1,9}(\d{1,6})\b")
_MAX_PAGES: Final = 100_000


def mended(data: bytes) -> bytes:
    """Return the file with a tree of the pages that are in it, as many as it says that there are.

    A page whose object is compressed is not found.
    """
    pages: list[bytes] = []
    owner = None
    for found in _MARKS.finditer(data):
        if found[1] or found[2]:
            owner = found[1]
        elif owner and len(pages) < _MAX_PAGES:
            pages.append(b"%s R" % owner)
            owner = None
    said = max([int(count) for count in _COUNT.findall(data)], default=0)
    missing = max(min(said, _MAX_PAGES) - len(pages), 0)
    kids = b" ".join([*pages, *[b"null"] * missing])
    tree, root = 9_999_998, 9_999_999
    return data + (
        b"\nendstream endobj\n%d 0 obj<</Type/Pages/Kids[%s]/Count %d>>endobj\n"
        b"%d 0 obj<</Type/Catalog/Pages %d 0 R>>endobj\ntrailer<</Root %d 0 R/Size %d>>\n"
        % (tree, kids, len(pages) + missing, root, tree, root, root + 1)
    )
