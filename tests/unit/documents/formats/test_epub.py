from io import BytesIO

import pytest
from office_files import epub, packed

from chatproxy.documents.extract import extract
from chatproxy.documents.formats.epub import read
from chatproxy.documents.names import EPUB
from chatproxy.errors import ChatError


def texts(content: bytes) -> list[str]:
    return [part.text for part in extract(BytesIO(content), EPUB).parts]


NAV = '<item id="n" href="nav.xhtml" properties="nav" media-type="application/xhtml+xml"/>'


def test_chapters_in_the_order_of_the_book_below_their_titles() -> None:
    pages = {
        "b%20c.xhtml": "<p>Rent is 5.</p>",
        "nav.xhtml": "<nav>again</nav>",
        "a.xhtml": "<h1>Cats</h1><p>Allowed.</p>",
    }
    link = '<a href="b%20c.xhtml#x">1. <b>Rent</b></a>'
    nav = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{link}</body></html>'
    content = epub(
        pages,
        items=NAV,
        more={"OEBPS/nav.xhtml": nav, "OEBPS/b c.xhtml": "<body><p>Rent is 5.</p>"},
    )
    assert texts(content) == ["## 1. Rent", "Rent is 5.", "# Cats\n\nAllowed."]


def test_titles_of_epub_2_and_its_page_of_contents() -> None:
    ncx = (
        '<!DOCTYPE ncx PUBLIC "-//NISO//DTD ncx 2005-1//EN" "http://www.daisy.org/z3986/2005/ncx-2005-1.dtd">'
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap>'
        "<navPoint><navLabel><text>Rent</text></navLabel>"
        '<content src="a.xhtml"/></navPoint></navMap></ncx>'
    )
    content = epub(
        {"toc.xhtml": "<p>Contents</p>", "a.xhtml": "<p>Due in May.</p>"},
        items='<item id="t" href="toc.ncx" media-type="application/x-dtbncx+xml"/>',
        guide='<reference type="toc" href="toc.xhtml"/>',
        more={"OEBPS/toc.ncx": ncx},
    )
    assert texts(content) == ["## Rent", "Due in May."]


def test_a_page_in_another_encoding() -> None:
    page = '<?xml version="1.0" encoding="iso-8859-1"?><html><body><p>A café, naïve.</p></body></html>'
    assert texts(epub({"x.xhtml": ""}, more={"OEBPS/x.xhtml": page.encode("latin-1")})) == ["A café, naïve."]


def test_pages_of_pictures_are_said_and_fixed_pages_numbered() -> None:
    pages = {"cover.xhtml": "<img/>", "a.xhtml": "<p>Text</p>", "b.xhtml": "<svg><image/></svg>"}
    fixed = '<meta property="rendition:layout">pre-paginated</meta>'
    reading = read(BytesIO(epub(pages, metadata=fixed)))
    assert [(part.text.strip(), part.page) for part in reading.parts] == [("Text", 2)]
    assert [remark.message for remark in reading.remarks] == ["1 of the book's 3 files hold pictures only."]


def encryption(algorithm: str, name: str) -> dict[str, str]:
    return {
        "META-INF/encryption.xml": '<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"'
        ' xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
        f'<e:EncryptionMethod Algorithm="{algorithm}"/><e:CipherData>'
        f'<e:CipherReference URI="{name}"/></e:CipherData>'
        "</e:EncryptedData></encryption>"
    }


def test_a_protected_book_is_refused_and_hidden_fonts_do_not_matter() -> None:
    pages = {"a.xhtml": "<p>Text</p>"}
    font = encryption("http://www.idpf.org/2008/embedding", "OEBPS/a.otf")
    assert texts(epub(pages, more=font)) == ["Text"]
    locked = encryption("http://www.w3.org/2001/04/xmlenc#aes256-cbc", "OEBPS/a.xhtml")
    with pytest.raises(ChatError, match="protected against copying"):
        texts(epub(pages, more=locked))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (packed({"a": ""}), "not an EPUB"),
        (packed({"META-INF/container.xml": "<container/>"}), "damaged"),
        (epub({"a.xhtml": "<p>Text</p>"})[:-60], "damaged"),
        (epub({}), "damaged"),
        (epub({"../../../etc/passwd": ""}), "damaged"),
    ],
)
def test_what_is_not_read(content: bytes, said: str) -> None:
    with pytest.raises(ChatError, match=said):
        texts(content)
