"""ZIP archives, which office documents and books are, read within bounds."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from chatproxy.documents.parts import damaged, invalid, locked, too_many, wrong_type
from chatproxy.errors import ChatError

MAX_UNPACKED: Final = (
    100 * 1024 * 1024
)  # bytes, of all that is in the archive, and of all that is read from it
MAX_FILES: Final = 20_000  # in the archive
_LEAST: Final = 8192  # bytes that each reading counts for, so that a small file is not read for hours
_ZIP: Final = b"PK\x03\x04"
OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # what Office wrote before 2007, and puts locked files into
LOCKED: Final = "EncryptedPackage".encode("utf-16-le")


class Archive:
    """The files in an archive, by name. What is read of all of them together is bounded.

    `what` is the type of the archive for error messages, as "DOCX".
    """

    def __init__(self, file: BinaryIO, what: str, needed: frozenset[str]) -> None:
        """Open an archive that has the files `needed`.

        Raises `unsupported_media_type` if it is none, `too_large` if it unpacks to more than MAX_UNPACKED,
        and `invalid` if it is cut off or locked.
        """
        self.what = what
        file.seek(0)
        start = file.read(len(OLE))
        if start == OLE:
            raise older_office(start + file.read(), what)
        if not start.startswith(_ZIP):
            raise wrong_type(with_article(what))
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise damaged(what) from None
        members = self._zip.infolist()
        self.names = frozenset(self._zip.namelist())
        self._left = MAX_UNPACKED
        if len(members) > MAX_FILES:
            raise too_many("files")
        if sum(member.file_size for member in members) > MAX_UNPACKED:
            raise self._too_large()
        if not needed <= self.names:
            raise wrong_type(with_article(what))

    def open(self, name: str) -> BinaryIO:
        """Return a file of the archive, for one reading. Raises KeyError if there is none of this name."""
        member = self._zip.getinfo(name)
        if member.flag_bits & 1:
            raise locked(self.what)
        self._left -= max(member.file_size, _LEAST)  # zipfile unpacks no more than what is said
        if self._left < 0:
            raise self._too_large()
        return self._zip.open(member)  # type: ignore[return-value]

    def _too_large(self) -> ChatError:
        return ChatError(
            "too_large",
            f"The {self.what} unpacks to more than {MAX_UNPACKED // 1024**2} MiB; send less of it.",
        )


@contextmanager
def read_whole(what: str) -> Iterator[None]:
    """Say of whatever goes wrong in the block that the file is damaged."""
    try:
        yield
    except (ChatError, MemoryError):
        raise
    except Exception as error:  # damage shows in ways without number
        raise damaged(what) from error


def older_office(content: bytes, what: str) -> ChatError:
    """Return the error for a file of Office's older kind, or for one that is locked."""
    if LOCKED in content:
        return locked(what)
    return invalid(f"The file is of Office's older kind; save it as {what} and send that.")


def with_article(what: str) -> str:
    """Return the name of a type with "a" or "an", as it is spoken."""
    return f"an {what}" if what[0] in "AEIOX" else f"a {what}"
