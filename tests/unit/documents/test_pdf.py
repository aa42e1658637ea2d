"""What is said of a PDF that can be read in part, or not at all."""

import re
import sys
from io import BytesIO
from pathlib import Path

import pytest
from pdf_files import Pdf, pdf, put
from pypdf import PdfReader, PdfWriter
from reading import read_pdf

from chatproxy.documents.extract import extract
from chatproxy.errors import ChatError

DATA = Path(__file__).parents[2] / "data" / "documents"


def refusal(data: bytes) -> ChatError:
    with pytest.raises(ChatError) as refused:
        read_pdf(data)
    return refused.value


def remarks(data: bytes) -> list[str]:
    found = read_pdf(data).remarks
    assert {remark.code for remark in found} <= {"partial"}
    return [remark.message for remark in found]


def test_a_real_file() -> None:
    with (DATA / "fhs.pdf").open("rb") as file:
        read = extract(file, "application/pdf")
    assert not read.remarks
    pages: dict[int | None, str] = {}
    for part in read.parts:
        pages[part.page] = pages.get(part.page, "") + part.text + "\n"
    assert list(pages) == list(range(1, 51))
    assert pages[2].startswith("Filesystem Hierarchy Standard")
    assert "/srv contains site-specific data which is served by this system" in pages[23]
    assert "bin | Essential command binaries\nboot | Static files of the boot loader" in pages[11]
    assert "corresponding subsystem is installed:[^3]" in pages[15]
    assert sum("The Root Filesystem\n" in text for text in pages.values()) < 4


def test_files_that_are_none() -> None:
    assert "not a PDF" in refusal(b"Hello").sentence
    for data in (b"%PDF-1.4 Hello", b"%PDF-1.7\n" + bytes(5000), pdf("")[:300]):
        assert "damaged" in refusal(data).sentence


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    error = refusal(pdf(put(50, 700, "Hello")))
    assert error.code == "unsupported_media_type"
    assert "pypdfium2 is missing" in error.sentence
    assert "`documents` extra" in error.sentence


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"])
def test_encrypted_files(algorithm: str) -> None:
    """A file that opens without a password is read; one that needs one is refused."""
    for password in ("", "secret"):
        writer, written = PdfWriter(), BytesIO()
        writer.append(PdfReader(BytesIO(pdf(put(50, 700, "Hello")))))
        writer.encrypt(password, "owner", algorithm=algorithm)
        writer.write(written)
        if password:
            assert "locked with a password" in refusal(written.getvalue()).sentence
        else:
            assert [part.text for part in read_pdf(written.getvalue()).parts] == ["Hello"]


IMAGE = "/XObject<</Im {} 0 R>>"


def image(file: Pdf) -> int:
    return file.stream(
        b"\x80", "/Type/XObject/Subtype/Image/Width 1/Height 1/BitsPerComponent 8/ColorSpace/DeviceGray"
    )


def test_pages_that_are_pictures() -> None:
    file = Pdf()
    resources = IMAGE.format(image(file))
    scan = "q 600 0 0 800 0 0 cm /Im Do Q "
    for number in range(1, 10):
        text = (
            put(50, 700, f"Words of page {number}") if number in {1, 3, 4, 8} else scan if number != 9 else ""
        )
        file.page(text, resources=resources)
    assert remarks(file.written()) == [
        "Pages 2 and 5-7 hold pictures only, which are not read; a scan has to go through text recognition "
        "first."
    ]


def test_pictures_with_nothing_but_a_foot() -> None:
    file = Pdf()
    resources = IMAGE.format(image(file))
    for number in range(1, 5):
        text = put(50, 700, "Words") if number == 1 else "q 600 0 0 700 0 50 cm /Im Do Q "
        file.page(text + put(250, 30, f"Page {number}") + put(50, 30, "Scanned with X"), resources=resources)
    assert remarks(file.written())[0].startswith("Pages 2-4 hold pictures only")


def test_letters_that_are_drawn_as_shapes() -> None:
    shapes = "".join([f"{x} 700 m {x} 710 l {x + 3} 705 l f\n" for x in range(50, 500, 5)])
    assert remarks(pdf(put(50, 700, "Words"), shapes))[0].startswith("Page 2 holds pictures only")
    assert not remarks(pdf(put(50, 700, "Words"), "50 50 500 700 re S"))  # an empty page with a frame


def test_a_scan_as_a_whole() -> None:
    file = Pdf()
    file.page("q 600 0 0 800 0 0 cm /Im Do Q", resources=IMAGE.format(image(file)))
    assert "text recognition" in refusal(file.written()).sentence


def test_fonts_that_do_not_say_what_they_show() -> None:
    unmapped, private = put(50, 700, "secret text", font="Unmapped"), put(50, 700, "\ue001\ue002\ue003 ab")
    data = pdf(put(50, 700, "Words"), unmapped, private)
    assert remarks(data) == [
        "Characters on pages 2-3 could not be read, because their fonts do not say which these are; print "
        "the file to a PDF with text recognition and send that."
    ]
    assert [part.text for part in read_pdf(data).parts] == ["Words", "ab"]
    assert "no text" in refusal(pdf(unmapped)).sentence


@pytest.mark.parametrize("early", [True, False])
def test_a_file_that_is_cut_off(early: bool) -> None:
    """What says how many pages there are comes first, or is not there."""
    file = Pdf()
    for number in range(1, 6):
        file.page(put(50, 700, f"Words of page {number}"))
    whole = file.written()
    if not early:
        whole = re.sub(rb"<</Type/Pages.*?>>", lambda tree: b" " * len(tree[0]), whole)
    read = read_pdf(whole[: whole.index(codes_of("page 4"))])
    assert [part.text for part in read.parts] == [f"Words of page {number}" for number in (1, 2, 3)]
    assert [remark.message for remark in read.remarks] == [
        "The PDF is damaged: pages 4-5 could not be read; save it again."
        if early
        else "The PDF is damaged, and some of it may be missing; save it again."
    ]


def codes_of(text: str) -> bytes:
    return text.encode("utf-16-be").hex().encode()


def test_a_page_that_is_missing() -> None:
    file = Pdf()
    for number in range(1, 4):
        file.page(put(50, 700, f"Words of page {number}"))
    file.objects[file.pages[1] - 1] = b"null"
    assert remarks(file.written()) == ["The PDF is damaged: page 2 could not be read; save it again."]


def test_attached_files() -> None:
    file = Pdf()
    file.page(put(50, 700, "Words"))
    names = []
    for number in range(7):
        embedded = file.stream("data", "/Type/EmbeddedFile")
        names.append(
            f"(a{number}.txt)<</Type/Filespec/F(a{number}.txt)/UF(a{number}.txt)/EF<</F {embedded} 0 R>>>>"
        )
    file.catalog = f"/Names<</EmbeddedFiles<</Names[{''.join(names)}]>>>>"
    assert remarks(file.written()) == [
        "Files that are attached to the PDF are not read: a0.txt, a1.txt, a2.txt, a3.txt, a4.txt and 2 more; "
        "send them, too."
    ]
