"""XLS and DOC: what Office wrote before 2007, and what others give these names to."""

from io import BytesIO
from pathlib import Path

import pytest
from office_files import row, xlsx

from chatproxy.documents.extract import extract
from chatproxy.documents.names import media_type
from chatproxy.documents.parts import Part
from chatproxy.errors import ChatError

DATA = Path(__file__).parents[4] / "data" / "documents"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
LOCKED = OLE + "EncryptedPackage".encode("utf-16-le")


def parts(name: str, content: bytes) -> list[Part]:
    return list(extract(BytesIO(content), media_type(name)).parts)


def test_a_workbook_with_values_as_shown() -> None:
    first, second, hidden = parts("a.xls", (DATA / "rates.xls").read_bytes())
    heading = "## Rates\nQuarterly report\nDate | Rate | Price | Code | Ok | Sum | Account"
    assert first == Part(
        f"{heading}\n2024-03-05 | 12.5% | 1,234.50 € | 00421 | TRUE | 0.3 | 4012888888881881\n"
        "2024-03-05 14:30 |  | #DIV/0! | 00421 | FALSE | 0.25 | 12",
        repeated=heading,
    )
    assert (second.text, hidden.text) == ("## Rates\nmerged", "## Hidden (hidden)\nsecret")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.xls", xlsx({"A": row(7)}), "## A\n\n7"),
        ("a.xls", b"City\tRent\nKiel\t5", "City | Rent\nKiel | 5"),
        ("a.xls", b"<html><body>Rent</body></html>", "Rent"),
        ("a.doc", b"{\\rtf1 Rent}", "Rent"),
    ],
)
def test_what_is_named_so_and_is_something_else(name: str, content: bytes, text: str) -> None:
    assert [part.text for part in parts(name, content)] == [text]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xls", OLE, "damaged"),
        ("a.xls", LOCKED, "password"),
        ("a.doc", OLE + "WordDocument".encode("utf-16-le"), "save it as DOCX"),
        ("a.doc", LOCKED, "password"),
        ("a.xlsx", OLE, "save it as XLSX"),
        ("a.pptx", LOCKED, "password"),
    ],
)
def test_what_is_not_read(name: str, content: bytes, said: str) -> None:
    with pytest.raises(ChatError, match=said):
        parts(name, content)
