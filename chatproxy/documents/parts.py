"""What a reader makes of a file, and the errors for files that it cannot read."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from chatproxy.errors import ChatError

# For error messages.
FORMATS: Final = (
    "PDF, DOCX, Markdown, HTML, CSV, JSON, XLSX, PPTX, ODT, ODS, ODP, EPUB, RTF, plain text and source code"
)
MAX_TEXT: Final = 10 * 1024 * 1024  # bytes in UTF-8; a small file can expand into many
MAX_REPEATED: Final = 400  # characters that are repeated with each chunk
PARTIAL: Final = "partial"  # the code of a remark: some of the document could not be read
GUESSED: Final = "encoding_guessed"  # another encoding is as likely as the one that was taken
MOST_RANGES: Final = 20  # of pages that a remark names


class Part(NamedTuple):
    """Text of a file that stands together: a page, a sheet, a table, or what is between tables.

    `repeated` is what makes any of its lines readable, such as the row of a table's headings; `text` begins
    with it, and each chunk of the part will. If there is any, or if `lines`, each line stands for itself, as
    those of a log do, and chunks end where lines end.
    """

    text: str
    page: int | None = None  # from 1
    repeated: str = ""
    lines: bool = False


class Chunk(NamedTuple):
    """A piece of the parts, the page on which it begins, from 1, and the heading below which it does."""

    text: str
    page: int | None = None
    heading: str | None = None


class Remark(NamedTuple):
    """What the reader of a document should know of it: a part that could not be read, or a guess."""

    code: str
    message: str


def without_text(numbers: Sequence[int], name: str = "page") -> Remark:
    """Return the remark for pages, slides or what else `name` says that hold pictures and no text."""
    subject, verb = (name, "holds") if len(numbers) == 1 else (f"{name}s", "hold")
    return Remark(
        PARTIAL,
        f"{subject.capitalize()} {listed(numbers)} {verb} pictures only, which are not read;"
        " a scan has to go through text recognition first.",
    )


def listed(numbers: Sequence[int]) -> str:
    """Return ascending numbers as in "2, 5-7 and 9", and how many there are beyond MOST_RANGES."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    shown = ["-".join(map(str, each)) for each in ranges[:MOST_RANGES]]
    if left_out := sum(each[-1] - each[0] + 1 for each in ranges[MOST_RANGES:]):
        shown.append(f"{left_out} more")
    return f"{', '.join(shown[:-1])} and {shown[-1]}" if len(shown) > 1 else shown[0]


class Reading(Struct, frozen=True):
    """The parts of a file, in order, and what could not be read of it."""

    parts: Iterable[Part]
    remarks: Sequence[Remark] = ()


def invalid(sentence: str) -> ChatError:
    """Return the error for a file that is of the right type, but of no use."""
    return ChatError("invalid", sentence, field="file")


def too_long() -> ChatError:
    """Return the error for a file with more text than is read of one."""
    return ChatError("too_large", f"The file holds more than {MAX_TEXT} bytes of text; send it in parts.")


def too_many(what: str) -> ChatError:
    """Return the error for a file with more of something than is read of one."""
    return ChatError("too_large", f"The file has too many {what}; send less of it.")


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
        "whoever runs this server can install chatproxy's `documents` extra.",
    )
