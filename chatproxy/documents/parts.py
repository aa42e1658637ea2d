"""What a reader makes of a file, and the errors for files that it cannot read."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

from chatproxy.errors import ChatError

FORMATS = "PDF, DOCX, Markdown, HTML, CSV, JSON, plain text and source code"  # for error messages


class Part(NamedTuple):
    """Text of a file that stands together: a page, a sheet, a table, or what is between tables.

    `repeated` is what makes any of its lines readable, such as the row of a table's headings; `text` begins
    with it, and each chunk of the part will.
    """

    text: str
    page: int | None = None  # from 1
    repeated: str = ""


class Remark(NamedTuple):
    """What the reader of a document should know of it: a part that could not be read, or a guess."""

    code: str
    message: str


class Reading(Struct, frozen=True):
    """The parts of a file, in order, and what could not be read of it."""

    parts: Iterable[Part]
    remarks: Sequence[Remark] = ()


def invalid(sentence: str) -> ChatError:
    """Return the error for a file that is of the right type, but of no use."""
    return ChatError("invalid", sentence, field="file")


def damaged(what: str) -> ChatError:
    """Return the error for a file that breaks off, or breaks the rules of its format."""
    return invalid(f"The {what} is damaged and cannot be read; save it again and send that.")


def locked(what: str) -> ChatError:
    """Return the error for a file that only a password opens."""
    return invalid(f"The {what} is locked with a password; save it without one and send that.")


def wrong_type(what: str) -> ChatError:
    """Return the error for a file that is not what its name says."""
    return ChatError("unsupported_media_type", f"The file is not {what}, as its name says; send {FORMATS}.")


def missing_package(error: ImportError) -> ChatError:
    """Return the error for a format whose library is not installed."""
    return ChatError(
        "unsupported_media_type",
        f"Files of this type are not read here ({error.name} is missing); "
        "have ollama-chatproxy[documents] installed.",
    )
