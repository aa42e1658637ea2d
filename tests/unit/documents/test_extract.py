from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matrix import matrix
from pdf_files import pdf, put
from word_files import docx

from chatproxy.documents import extract as module
from chatproxy.documents.chunks import SEPARATOR
from chatproxy.documents.extract import clean, extract
from chatproxy.documents.formats import word
from chatproxy.documents.names import DOCX, SOURCE_CODE, TEXT, UNKNOWN, media_type
from chatproxy.errors import ChatError

DATA = Path(__file__).parents[2] / "data" / "documents"


def text_of(name: str, content: bytes) -> str:
    return SEPARATOR.join([part.text for part in extract(BytesIO(content), media_type(name)).parts])


def refusal(name: str, content: bytes) -> ChatError:
    with pytest.raises(ChatError) as refused:
        text_of(name, content)
    return refused.value


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", TEXT),
        ("README", UNKNOWN),
        ("messages.pot", UNKNOWN),
        ("server.key", UNKNOWN),
        ("Makefile", UNKNOWN),
        (".gitignore", UNKNOWN),
        ("main.PY", SOURCE_CODE),
        ("page.hbs", SOURCE_CODE),
        ("report v1.2 (final)", UNKNOWN),
        ("report v1.2 (final).md", "text/markdown"),
        ("server.log.1", TEXT),
        ("server.log.2026-01-31", UNKNOWN),
        ("sales.csv.bak", "text/csv"),
        ("sales.csv (2)", "text/csv"),
        ("sales (2).csv", "text/csv"),
        ("sales.csv~", "text/csv"),
        ("sales.csv.3.old", "text/csv"),
        ("sales.csv . .", "text/csv"),
        ("settings.jsonc", "application/json"),
        ("places.geojson", "application/json"),
        ("scan.pdf.1", "application/pdf"),
        ("letter.doc", "application/msword"),
        ("(1)", UNKNOWN),
        ("...", UNKNOWN),
        ("", UNKNOWN),
        ("a.b.md", "text/markdown"),
        ("a.HTM", "text/html"),
        ("a.csv", "text/csv"),
        ("a.json", "application/json"),
        ("a.pdf", "application/pdf"),
    ],
)
def test_media_types(name: str, expected: str) -> None:
    assert media_type(name) == expected


@pytest.mark.parametrize("name", ["a.mp4", "photo.JPG", "photo.jpg.1", "backup.tar.gz", "all.zip (2)"])
def test_a_name_that_is_not_read(name: str) -> None:
    with pytest.raises(ChatError, match=r"type \.\w+ are not read; send PDF, DOCX, Markdown") as refused:
        media_type(name)
    assert refused.value.code == "unsupported_media_type"
    with pytest.raises(ChatError, match=r"type \.ppt are not read; save it as PPTX"):
        media_type("Plan.ppt")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\x85d\u2028e", "a\nb\nc\nd\ne"),
        ("a\fb\u2029c", "a\n\nb\n\nc"),
        ("a \t\nb\n\n\n\nc", "a\nb\n\nc"),
        ("H\0e\x07l\x1blo\x7f\x9f\ufeff\ud800", "Hello"),
        ("  indented\n\tcode", "indented\n\tcode"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@settings(deadline=None)
@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


GERMAN = "Größe, Maß und Übermut: „schön“ für 5 €. " * 20
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20
GREEK = "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία και τον κόσμο της ανάγνωσης. " * 20
JAPANESE = "これは日本語の文章です。文字コードを調べるためのもので、とくに意味はありません。" * 20
KOREAN = "이것은 한국어로 쓴 글이다. 문자 집합을 알아내는 데에 쓰고 다른 의미는 없다. " * 20
CHINESE = "这是一个用来检测编码的中文句子。我们在这里说的话没有什么意思。" * 20
TAIWANESE = "這是一個用來檢測編碼的中文句子。我們在這裡說的話沒有什麼意思。" * 20


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(GERMAN, name) for name in ("utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be")],
        (GERMAN, "cp1252"),
        (RUSSIAN, "utf-8"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GREEK, "cp1253"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "euc_kr"),
        (CHINESE, "gb18030"),
        (TAIWANESE, "big5"),
    ],
)
def test_encodings(text: str, encoding: str) -> None:
    assert text_of("a.txt", text.encode(encoding)) == text.strip()


def test_a_declared_encoding() -> None:
    page = '<meta charset="iso-8859-2"><p>Zażółć gęślą jaźń'
    assert text_of("a.html", page.encode("iso-8859-2")) == "Zażółć gęślą jaźń"
    page = page.replace("iso-8859-2", "nonsense")
    assert text_of("a.html", page.encode("cp1250")) == "Zażółć gęślą jaźń"


def test_controls_are_removed_from_text() -> None:
    assert text_of("a.txt", b"Hello\0wor\x07ld\0\0") == "Hello world"


OLD_OFFICE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
BINARY: Final = [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0",
    b"\x7fELF\x02\x01\x01" + bytes(100) + b"\xff" * 9,
    bytes(1000) + b"ustar",
    bytes(range(256)) * 9,
    bytes(range(128, 256)) * 9 + bytes(range(32)) * 3,
    b"PK\x03\x04zip",
    OLD_OFFICE,
]


def test_binary_data_is_not_text() -> None:
    with matrix() as cases:
        for name in (
            "a.txt",
            "a.md",
            "a.csv",
            "a.py",
            "a.html",
            "a.json",
            "a.log.1",
            "scan",
            "a.doc",
        ):
            for content in BINARY:
                error = refusal(name, content)
                cases.expect("unsupported_media_type", error.code, name, content)
                cases.check("send" in error.sentence, error.sentence, name, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BINARY[0], "a picture, which is not read; send PDF"),
        (BINARY[1], "a program, which"),
        (BINARY[2], "not text; send PDF"),
        (b"\x1f\x8b\x08\0\0\0", "a compressed file; send what is in it."),
        (b"PK\3\4\x14\0\x08", "an archive; send the files in it."),
        (b"ID3\4\0\0\0\0" + bytes(range(128, 256)), "a sound recording"),
        (b"SQLite format 3\0" + bytes(80), "a database"),
        (OLD_OFFICE + "WordDocument".encode("utf-16-le"), "a Word document of before 2007; save it as DOCX"),
        (OLD_OFFICE + "Workbook".encode("utf-16-le"), "an Excel workbook of before 2007"),
        (OLD_OFFICE + "EncryptedPackage".encode("utf-16-le"), "locked with a password"),
    ],
)
def test_what_binary_data_seems_to_be(content: bytes, words: str) -> None:
    for name in ("file", "a.txt", "a.doc"):
        assert words in refusal(name, content).sentence


def test_a_text_that_begins_like_something_else() -> None:
    for text in (
        "BM is short for Bristol Museum.",
        "GIF89a is a version.",
        "MZ\n",
        "PK, PK\n",
        "%PDF is a mark",
        "%PDF-1.4 is how a PDF begins; look for it.",
        "{\\rtf1 is how an RTF begins.",
        "<table> is an element. Use <b>bold</b> for what matters.",
        "<body>, in short, is what is seen.",
    ):
        assert text_of("notes", text.encode()) == text.strip()
        assert text_of("notes.txt", text.encode()) == text.strip()


def test_a_pdf_behind_something_else() -> None:
    content = pdf(put(50, 700, "Hello"))
    assert text_of("scan", b"HTTP/1.1 200 OK\n" + content) == "Hello"
    for begin in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0"):
        assert "a picture" in refusal("scan", begin + content).sentence


PAGE: Final = b"<!-- saved -->\n<!DOCTYPE html>\n<title>A</title><p>Hello"


@pytest.mark.parametrize(
    ("name", "content", "kind", "text"),
    [
        ("scan", "pdf", "application/pdf", "Hello"),
        ("a.pdf.1", "pdf", "application/pdf", "Hello"),
        ("a.txt", "pdf", "application/pdf", "Hello"),
        ("a.docx", "pdf", "application/pdf", "Hello"),
        ("letter", "docx", DOCX, "Hello"),
        ("letter.doc", "docx", DOCX, "Hello"),
        ("page", PAGE, "text/html", "A\n\nHello"),
        ("page", b"<table>\n<tr><td>1", "text/html", "1"),
        ("page", b"<body>Hello</body>", "text/html", "Hello"),
        ("letter", b"{\\rtf1\\ansi Hello}", "application/rtf", "Hello"),
        ("page.doc", PAGE, "text/html", "A\n\nHello"),
        ("page.pdf", PAGE, "text/html", "A\n\nHello"),
        ("export.xls", b"<table><tr><td>1", "text/html", "1"),
        ("export.xls", b"a\tb\n1\t2\n", "text/csv", "a | b\n1 | 2"),
        ("page.txt", b"<html>", "text/plain", "<html>"),
        ("page.hbs", b"<html>{{body}}", "text/plain", "<html>{{body}}"),
        ("notes", b"Some words", "text/plain", "Some words"),
        ("notes.doc", b"Some words", "text/plain", "Some words"),
        ("main.py", b"if x:\n    y()", "text/plain", "if x:\n    y()"),
    ],
)
def test_files_are_read_as_what_they_are(name: str, content: bytes | str, kind: str, text: str) -> None:
    if isinstance(content, str):
        content = (
            pdf(put(50, 700, "Hello")) if content == "pdf" else docx("<w:p><w:r><w:t>Hello</w:t></w:r></w:p>")
        )
    found = extract(BytesIO(content), media_type(name))
    assert (found.media_type, SEPARATOR.join([part.text for part in found.parts])) == (kind, text)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_text_or_refused(content: bytes) -> None:
    try:
        text = text_of("a.txt", content)
    except ChatError:
        return
    assert text == clean(text) != ""


def test_a_named_encoding() -> None:
    found = extract(BytesIO("Łódź".encode("cp1250")), TEXT, "windows-1250")
    assert found.parts[0].text == "Łódź"
    marked = extract(BytesIO("Łódź".encode("utf-8-sig")), TEXT, "windows-1250")
    assert marked.parts[0].text == "Łódź"
    with pytest.raises(ChatError, match="not in UTF-8; name another encoding, or none") as refused:
        extract(BytesIO(b"Gr\xf6\xdfe"), TEXT, "UTF-8")
    assert (refused.value.code, refused.value.details) == ("invalid", {"field": "file"})
    with pytest.raises(ChatError, match="a picture"):
        extract(BytesIO(BINARY[0]), TEXT, "windows-1252")


@pytest.mark.parametrize("name", ["a.txt", "a.html", "a.csv", "a.json", "a.py", "a"])
def test_no_text(name: str) -> None:
    error = refusal(name, b" \n")
    assert (error.code, error.details) == ("invalid", {"field": "file"})
    assert "scan" not in error.sentence


def test_no_text_where_a_scan_may_be() -> None:
    assert "a scan has to go through text recognition" in refusal("a.pdf", pdf("")).sentence


def test_too_much_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TEXT", 3)
    assert text_of("a.txt", b"abc") == "abc"
    assert refusal("a.txt", b"abcd").code == "too_large"


def test_too_little_memory_is_not_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhaust(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(f"{word.__name__}.Package", exhaust)
    with pytest.raises(MemoryError):
        text_of("a.docx", docx(""))
