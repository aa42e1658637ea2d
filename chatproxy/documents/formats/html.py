"""HTML, as a reader of the page sees it."""

from collections.abc import Sequence
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from io import BytesIO
from typing import BinaryIO, Final

from chatproxy.documents.formats.page.reader import PageReader
from chatproxy.documents.formats.text import decoded
from chatproxy.documents.parts import Reading, Remark, damaged, invalid, wrong_type

LITTLE_TEXT: Final = 200  # characters; with less, what was not read is likely to matter


def read(file: BinaryIO, encoding: str | None = None) -> Reading:
    """Return the visible text of a page. Raises `invalid` if it is not in the file."""
    page, remarks = decoded(file, encoding)
    return read_page(page, remarks)


def read_archive(file: BinaryIO) -> Reading:
    """Return the text of a page that a browser saved with all that it shows, as MHTML (RFC 2557)."""
    message = BytesParser(policy=policy.default).parse(file)
    assert isinstance(message, EmailMessage)  # by its policy
    page = next((part for part in message.walk() if part.get_content_type() == "text/html"), None)
    if page is None:
        raise wrong_type("a saved page")
    content = page.get_payload(decode=True)
    assert isinstance(content, bytes)  # by `decode`
    try:
        return read_page(content.decode(page.get_content_charset() or "", "replace"))
    except LookupError:
        return read(BytesIO(content))


def read_page(page: str, remarks: Sequence[Remark] = ()) -> Reading:
    """Return the visible text of a page. Raises `invalid` if it is not in the page."""
    reader = PageReader()
    try:
        reader.feed(page)
        reader.close()
        parts = reader.parts()
    except (AssertionError, ValueError) as error:  # html.parser's, for malformed markup
        raise damaged("HTML") from error
    if not reader.has_text and reader.scripts:
        raise invalid(
            "There is no text in the page, which scripts make in a browser only; "
            "save it as a PDF there, or copy the text into a file."
        )
    if not reader.has_text and reader.frames:
        raise invalid("There is no text in the page but in other pages that it shows in frames; send these.")
    found = list(remarks)
    if sum(len(part.text) for part in parts) < LITTLE_TEXT:
        for number, what in ((reader.frames, "frame"), (reader.pictures, "picture without a description")):
            if number:
                noun = what if number == 1 else what.replace("frame", "frames").replace("picture", "pictures")
                found.append(Remark("partial", f"{number} {noun} of the page could not be read."))
    return Reading(parts, found)
