"""Files made to keep a reader busy, to fill its memory, or to lead it elsewhere: bombs, cycles, hours.

`HOSTILE` has them by what they are: the name that each is uploaded as, and what makes its content.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from office_files import epub, open_document, packed, pptx, relations, row, shape, xlsx

_MIB: Final = 1024 * 1024
_LAUGHS: Final = (
    '<!DOCTYPE a [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + "]>"
)
_OUTSIDE: Final = '<!DOCTYPE a [<!ENTITY a9 SYSTEM "file:///etc/passwd">]>'
_QUADRATIC: Final = f'<!DOCTYPE a [<!ENTITY a9 "{"x" * 100_000}">]>'


def _docx(body: str, before: str = "") -> bytes:
    ns = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return packed(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": relations(("officeDocument", "word/document.xml")),
            "word/document.xml": f'{before}<w:document xmlns:w="{ns}"><w:body>{body}</w:body></w:document>',
        }
    )


def _swapped(content: bytes, name: str, made: Callable[[str], str]) -> bytes:
    """Return an archive with one file changed."""
    with ZipFile(BytesIO(content)) as archive:
        files = {each: archive.read(each) for each in archive.namelist()}
    return packed({**files, name: made(files[name].decode())})


def _with(content: bytes, name: str, added: bytes) -> bytes:
    """Return an archive with one more file."""
    written = BytesIO(content)
    with ZipFile(written, "a", ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(ZipInfo(name), added, ZIP_DEFLATED)
    return written.getvalue()


def _claiming(size: int) -> bytes:
    """Return a workbook whose sheet says that it unpacks to another size."""
    content = xlsx({"A": row("x" * 5000)})
    with ZipFile(BytesIO(content)) as archive:
        true = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    return content.replace(struct.pack("<L", true), struct.pack("<L", size))


def _overlapping() -> bytes:
    """Return an archive in which thousands of entries are the same compressed megabyte."""
    content = _with(xlsx({"A": row("x")}), "bomb", bytes(_MIB))
    start, end = content.rindex(b"PK\x01\x02"), content.rindex(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"bomb", b"%04d" % number) for number in range(2000))
    size, offset = struct.unpack("<LL", content[end + 12 : end + 20])
    count = struct.unpack("<H", content[end + 10 : end + 12])[0] + 2000
    return (
        content[:end]
        + entries
        + b"PK\x05\x06\0\0\0\0"
        + struct.pack("<HHLLH", count, count, size + len(entries), offset, 0)
    )


def _many_files(number: int) -> bytes:
    written = BytesIO()
    with ZipFile(written, "w") as archive:
        for place in range(number):
            archive.writestr(f"{place}", "")
        archive.writestr("[Content_Types].xml", "")
    return written.getvalue()


def _patched(content: bytes, offset: int, value: int) -> bytes:
    """Return an archive with another number in each entry of its directory."""
    changed = bytearray(content)
    place = content.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + offset : place + offset + 2] = struct.pack("<H", value)
        place = content.find(b"PK\x01\x02", place + 4)
    return bytes(changed)


def _pdf(*objects: bytes, trailer: bytes = b"") -> bytes:
    """Return a PDF of numbered objects, the first of which is the catalog."""
    data, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(data))
        data += b"%d 0 obj%s endobj\n" % (number, body)
    table = b"0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return data + b"xref\n0 %d\n%strailer<</Root 1 0 R/Size %d%s>>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        trailer,
        len(data),
    )


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), entries, data)


def _page(content: bytes, resources: bytes = b"", more: tuple[bytes, ...] = (), pages: int = 1) -> bytes:
    """Return a PDF whose pages, all the same one, show object 4; `more` are from 5 on."""
    return _pdf(
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (b"3 0 R " * pages, pages),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<%s>>>>" % resources,
        content,
        *more,
    )


def _flated(data: bytes) -> bytes:
    return _stream(zlib.compress(data, 1), b"/Filter/FlateDecode")


_FONT: Final = b"/Font<</F 5 0 R>>"
_SHOWN: Final = b"BT /F 1 Tf (Hello) Tj ET "
_CELL: Final = (
    '<table:table-cell table:number-columns-repeated="{}"><text:p>x</text:p></table:table-cell>'.format
)
_NESTED: Final = "<text:list><text:list-item>"
_CHART: Final = '<p:graphicFrame><a:graphic><c:chart r:id="rId1"/></a:graphic></p:graphicFrame>'
_WIDE: Final = '<a:tr><a:tc gridSpan="999999999"/></a:tr>'
_SLIDE: Final = "ppt/slides/slide1.xml"
_BOOK: Final = "OEBPS/content.opf"

_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_FONT_1: Final = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
HOSTILE: Final[Mapping[str, tuple[str, int, Callable[[], bytes]]]] = {
    # Archives.
    "a workbook that unpacks to 101 MiB": (
        "a.xlsx",
        413,
        lambda: _with(xlsx({"A": ""}), "bomb", bytes(101 * _MIB)),
    ),
    "a book that unpacks to 101 MiB": (
        "a.epub",
        413,
        lambda: _with(epub({"a": ""}), "bomb", bytes(101 * _MIB)),
    ),
    "an entry that says it is smaller": ("a.xlsx", 422, lambda: _claiming(10)),
    "an entry that says it is larger": ("a.xlsx", 413, lambda: _claiming(2**31)),
    "entries that overlap": ("a.xlsx", 413, _overlapping),
    "25,000 files": ("a.docx", 413, lambda: _many_files(25_000)),
    "an archive of archives": (
        "a.docx",
        415,
        lambda: packed({"0.zip": packed({"1.zip": packed({"2.zip": b""})})}),
    ),
    "names that lead elsewhere": (
        "a.odt",
        415,
        lambda: packed({"../../content.xml": "<a/>", "/etc/passwd": ""}),
    ),
    "entries with a password": ("a.pptx", 422, lambda: _patched(pptx([shape("x")]), 8, 1)),
    "an unknown compression": (
        "a.odt",
        422,
        lambda: _patched(open_document("text", "<text:p>x</text:p>"), 10, 99),
    ),
    "an archive that breaks off": ("a.ods", 422, lambda: open_document("spreadsheet", "")[:-30]),
    "bytes after the start of an archive": ("a.odp", 422, lambda: b"PK\3\4" + bytes(_MIB)),
    # XML.
    "a billion laughs in a workbook": (
        "a.xlsx",
        422,
        lambda: _swapped(xlsx({"A": row("&a9;")}), "xl/worksheets/sheet1.xml", lambda xml: _LAUGHS + xml),
    ),
    "a billion laughs in a document": (
        "a.docx",
        422,
        lambda: _docx("<w:p><w:r><w:t>&a9;</w:t></w:r></w:p>", _LAUGHS),
    ),
    "a billion laughs on a slide": (
        "a.pptx",
        422,
        lambda: _swapped(pptx([shape("&a9;")]), _SLIDE, lambda xml: _LAUGHS + xml),
    ),
    "a billion laughs in OpenDocument": (
        "a.odt",
        422,
        lambda: _swapped(
            open_document("text", "<text:p>&a9;</text:p>"), "content.xml", lambda xml: _LAUGHS + xml
        ),
    ),
    "a billion laughs in a book's list": (
        "a.epub",
        422,
        lambda: _swapped(epub({"a": ""}, metadata="&a9;"), _BOOK, lambda xml: _LAUGHS + xml),
    ),
    "a long entity many times": (
        "a.odt",
        422,
        lambda: _swapped(
            open_document("text", f"<text:p>{'&a9;' * 10_000}</text:p>"),
            "content.xml",
            lambda xml: _QUADRATIC + xml,
        ),
    ),
    "a file of this machine as an entity": (
        "a.xlsx",
        422,
        lambda: _swapped(xlsx({"A": row("&a9;")}), "xl/worksheets/sheet1.xml", lambda xml: _OUTSIDE + xml),
    ),
    "a document of 100,000 levels": (
        "a.docx",
        422,
        lambda: _docx("<w:sdt>" * 100_000 + "</w:sdt>" * 100_000),
    ),
    "groups of 100,000 levels": (
        "a.pptx",
        422,
        lambda: pptx(["<p:grpSp>" * 100_000 + "</p:grpSp>" * 100_000]),
    ),
    "lists of 50,000 levels": (
        "a.odt",
        422,
        lambda: open_document("text", _NESTED * 50_000 + "</text:list-item></text:list>" * 50_000),
    ),
    "4.2 million elements": ("a.xlsx", 413, lambda: xlsx({"A": f"<row>{'<c/>' * 4_200_000}</row>"})),
    "a text of 30 MiB": ("a.ods", 413, lambda: open_document("spreadsheet", _table(_cells("x" * 30 * _MIB)))),
    "UTF-16 that is none": (
        "a.xlsx",
        422,
        lambda: _with(packed({"[Content_Types].xml": ""}), "_rels/.rels", b"\xff\xfe<"),
    ),
    # Workbooks.
    "a long string in each cell": (
        "a.xlsx",
        413,
        lambda: xlsx(
            {"A": row(*['<c t="s"><v>0</v></c>'] * 100) * 100}, strings=f"<si><t>{'x' * _MIB}</t></si>"
        ),
    ),
    "cells far apart": (
        "a.xlsx",
        413,
        lambda: xlsx(
            {
                "A": "".join(
                    f'<row r="{n}"><c r="{_letters(n)}{n}"><v>1</v></c></row>' for n in range(1, 16_000)
                )
            }
        ),
    ),
    "merged cells upon each other": (
        "a.xlsx",
        413,
        lambda: xlsx(
            {"A": f"<sheetData>{row('x', 'y') * 5000}</sheetData>" + '<mergeCell ref="A1:B5000"/>' * 100_000}
        ),
    ),
    "the same sheet 100,000 times": (
        "a.xlsx",
        413,
        lambda: _swapped(
            xlsx({"A": row("x")}),
            "xl/workbook.xml",
            lambda xml: xml.replace("</sheets>", '<sheet name="B" r:id="rId1"/>' * 100_000 + "</sheets>"),
        ),
    ),
    "a sheet that is the workbook": (
        "a.xlsx",
        422,
        lambda: _swapped(
            xlsx({"A": ""}),
            "xl/_rels/workbook.xml.rels",
            lambda xml: xml.replace("worksheets/sheet1.xml", "workbook.xml"),
        ),
    ),
    "a column that there is not": (
        "a.xlsx",
        422,
        lambda: xlsx({"A": '<row><c r="ZZZZZZZ1"><v>1</v></c></row>'}),
    ),
    "a workbook of before 2007 in pieces": ("a.xls", 422, lambda: _OLE + bytes(range(256)) * 400),
    # Presentations.
    "the same chart 100,000 times": (
        "a.pptx",
        413,
        lambda: pptx(
            [_CHART * 100_000], related={1: [("chart", "c.xml")]}, more={"ppt/slides/c.xml": "<a/>"}
        ),
    ),
    "a chart of 1,500 by 1,500": (
        "a.pptx",
        413,
        lambda: pptx(
            [_CHART],
            related={1: [("chart", "c.xml")]},
            more={"ppt/slides/c.xml": f"<c:chartSpace NS><c:chart>{_series(1500)}</c:chart></c:chartSpace>"},
        ),
    ),
    "a diagram in a circle": (
        "a.pptx",
        422,
        lambda: pptx(
            ['<p:graphicFrame><dgm:relIds r:dm="rId1"/></p:graphicFrame>'],
            related={1: [("diagramData", "d.xml")]},
            more={
                "ppt/slides/d.xml": '<dgm:dataModel NS><dgm:pt modelId="1" type="doc"/>'
                '<dgm:cxn srcId="1" destId="1"/></dgm:dataModel>'
            },
        ),
    ),
    "cells a billion columns wide": (
        "a.pptx",
        413,
        lambda: pptx([f"<p:graphicFrame><a:tbl>{_WIDE * 5000}</a:tbl></p:graphicFrame>"]),
    ),
    # OpenDocument.
    "cells that repeat without end": (
        "a.odt",
        413,
        lambda: open_document("text", _table(_row(_CELL(999_999_999), 999_999_999))),
    ),
    "rows that repeat without end": (
        "a.ods",
        413,
        lambda: open_document("spreadsheet", _table(_row(_CELL(16_384), repeated=1_048_576))),
    ),
    "a style that is its own parent": (
        "a.odt",
        422,
        lambda: open_document(
            "text",
            '<text:p><text:span text:style-name="a"/></text:p>' * 1000,
            automatic='<style:style style:family="text" style:name="a" style:parent-style-name="a"/>',
        ),
    ),
    "a document with a password": (
        "a.odt",
        422,
        lambda: open_document("text", "", manifest="<manifest:encryption-data/>"),
    ),
    # Books.
    "a book that is its own container": (
        "a.epub",
        422,
        lambda: _swapped(
            epub({"a": "x"}),
            "META-INF/container.xml",
            lambda xml: xml.replace("OEBPS/content.opf", "META-INF/container.xml"),
        ),
    ),
    "the same page 100,000 times": (
        "a.epub",
        422,
        lambda: _swapped(
            epub({"a": ""}),
            _BOOK,
            lambda xml: xml.replace("</spine>", '<itemref idref="p0"/>' * 100_000 + "</spine>"),
        ),
    ),
    "a page of tables in tables": ("a.epub", 422, lambda: epub({"a": "<table><tr><td>" * 100_000})),
    "a locked book": (
        "a.epub",
        422,
        lambda: epub(
            {"a": "x"},
            more={
                "META-INF/encryption.xml": '<e:encryption xmlns:e="http://www.w3.org/2001/04/xmlenc#"><e:EncryptedData>'
                '<e:CipherReference URI="OEBPS/a"/></e:EncryptedData></e:encryption>'
            },
        ),
    ),
    # RTF.
    "a million groups": ("a.rtf", 422, lambda: b"{\\rtf1" + b"{" * 1_000_000),
    "a picture without end": ("a.rtf", 422, lambda: b"{\\rtf1{\\pict\\bin2147483647 }}"),
    "a million cells": (
        "a.rtf",
        422,
        lambda: b"{\\rtf1\\trowd\\intbl " + b"x\\cell " * 1_300_000 + b"\\row}",
    ),
    "100,000 fonts": (
        "a.rtf",
        422,
        lambda: b"{\\rtf1{\\fonttbl" + b"{\\f1\\fcharset2 A;}" * 100_000 + b"}}",
    ),
    # PDF.
    "pages in a circle": (
        "a.pdf",
        422,
        lambda: _pdf(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"),
    ),
    "a table that goes on with itself": (
        "a.pdf",
        422,
        lambda: _pdf(b"<</Type/Catalog>>", trailer=b"/Prev 30"),
    ),
    "a stream of 100 MiB": ("a.pdf", 422, lambda: _page(_flated(bytes(100 * _MIB)))),
    "10,000 pages of a long stream": (
        "a.pdf",
        422,
        lambda: _page(_flated(_SHOWN * 20_000), _FONT, (_FONT_1,), 10_000),
    ),
    "a drawing that draws itself": (
        "a.pdf",
        422,
        lambda: _page(
            _stream(b"/X Do"),
            b"/XObject<</X 5 0 R>>",
            (_stream(b"/X Do /X Do", b"/Type/XObject/Subtype/Form/Resources<</XObject<</X 5 0 R>>>>"),),
        ),
    ),
    "arrays of 100,000 levels": ("a.pdf", 422, lambda: _page(_stream(b"[" * 100_000 + b"] TJ"))),
    "characters to four billion": (
        "a.pdf",
        201,
        lambda: _page(
            _flated(_SHOWN),
            _FONT,
            (
                b"<</Type/Font/Subtype/Type1/BaseFont/A/ToUnicode 6 0 R>>",
                _stream(b"1 beginbfrange <00000000> <ffffffff> <0000> endbfrange"),
            ),
        ),
    ),
    "a filter 1,000 times": (
        "a.pdf",
        422,
        lambda: _page(_stream(b"x", b"/Filter[%s]" % (b"/FlateDecode" * 1000))),
    ),
    "a length that is itself": ("a.pdf", 422, lambda: _page(b"<</Length 4 0 R>>stream\nx\nendstream")),
    # Pages and text.
    "a reference of 5,000 digits": ("a.html", 422, lambda: b"<p>Hello &#" + b"1" * 5000 + b";"),
    "a million open comments": ("a.html", 422, lambda: b"<!--" * 500_000),
    "a page of scripts": ("a.html", 422, lambda: b"<script>" + b"x" * _MIB),
    "every byte": ("a.txt", 415, lambda: bytes(range(256)) * 4000),
    "a program": ("a.csv", 415, lambda: b"\x7fELF" + bytes(_MIB)),
    "nothing but ends of lines": ("a.md", 422, lambda: b"\n\r\t \0" * 500_000),
    "a text longer than is read": ("a.txt", 413, lambda: b"x " * (5 * _MIB + 1)),
}


def _letters(number: int) -> str:
    return (
        (chr(64 + (number // 676) % 26) if number >= 702 else "")
        + chr(65 + number // 26 % 26)
        + chr(65 + number % 26)
    )


def _cells(text: str) -> str:
    return _row(f"<table:table-cell><text:p>{text}</text:p></table:table-cell>")


def _row(cells: str, repeated: int = 1) -> str:
    return f'<table:table-row table:number-rows-repeated="{repeated}">{cells}</table:table-row>'


def _table(rows: str) -> str:
    return f"<table:table>{rows}</table:table>"


def _series(number: int) -> str:
    points = "".join(f'<c:pt idx="{place}"><c:v>1</c:v></c:pt>' for place in range(number))
    return f"<c:ser><c:cat>{points}</c:cat></c:ser>" + "<c:ser/>" * number
