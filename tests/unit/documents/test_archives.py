import struct
from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import pytest

from chatproxy.documents import archives
from chatproxy.documents.archives import Archive, read_whole
from chatproxy.errors import ChatError

NEEDED = frozenset({"a.xml"})


def packed(**files: bytes) -> bytes:
    written = BytesIO()
    with ZipFile(written, "w", ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(ZipInfo(name.replace("_", ".")), content, ZIP_DEFLATED)
    return written.getvalue()


def refusal(content: bytes) -> ChatError:
    with pytest.raises(ChatError) as refused:
        Archive(BytesIO(content), "DOCX", NEEDED)
    return refused.value


def test_reads_a_file() -> None:
    archive = Archive(BytesIO(packed(a_xml=b"<a/>", b_xml=b"")), "DOCX", NEEDED)
    assert archive.names == {"a.xml", "b.xml"}
    assert archive.open("a.xml").read() == b"<a/>"
    with pytest.raises(KeyError):
        archive.open("c.xml")


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"Hello", "unsupported_media_type", "not a DOCX"),
        (packed(b_xml=b"<a/>"), "unsupported_media_type", "not a DOCX"),
        (packed(a_xml=b"<a/>")[:-30], "invalid", "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "invalid", "save it as DOCX"),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
            "invalid",
            "locked with a password",
        ),
    ],
)
def test_what_is_no_such_archive(content: bytes, code: str, sentence: str) -> None:
    assert (refusal(content).code, sentence in str(refusal(content))) == (code, True)


def test_a_file_with_a_password_is_locked() -> None:
    content = bytearray(packed(a_xml=b"<a/>"))
    flags = content.index(b"PK\x01\x02") + 8
    content[flags : flags + 2] = struct.pack("<H", 1)
    with pytest.raises(ChatError, match="locked"):
        Archive(BytesIO(content), "DOCX", NEEDED).open("a.xml")


def test_an_archive_that_unpacks_to_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 5000)
    assert refusal(packed(a_xml=bytes(5001))).code == "too_large"
    monkeypatch.setattr(archives, "MAX_FILES", 1)
    assert refusal(packed(a_xml=b"", b_xml=b"")).code == "too_large"


def test_a_small_file_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 20_000)
    archive = Archive(BytesIO(packed(a_xml=b"<a/>")), "DOCX", NEEDED)
    archive.open("a.xml")
    archive.open("a.xml")
    with pytest.raises(ChatError, match="unpacks to more") as refused:
        archive.open("a.xml")
    assert refused.value.code == "too_large"


def test_a_file_that_says_less_than_it_has() -> None:
    content = packed(a_xml=bytes(5000)).replace(struct.pack("<L", 5000), struct.pack("<L", 10))
    with pytest.raises(ChatError, match="damaged"), read_whole("DOCX"):
        Archive(BytesIO(content), "DOCX", NEEDED).open("a.xml").read()
