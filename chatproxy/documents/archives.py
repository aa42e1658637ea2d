"""ZIP archives, which office documents are, read within bounds."""

import zipfile
from typing import BinaryIO, Final

from chatproxy.documents.parts import wrong_type
from chatproxy.errors import ChatError

MAX_UNPACKED: Final = 100 * 1024 * 1024  # bytes


def check_archive(file: BinaryIO, what: str, parts: frozenset[str]) -> None:
    """Check that a file is an archive that has these parts.

    Raises `unsupported_media_type` otherwise, and `too_large` if it unpacks to more than MAX_UNPACKED.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            unpacked = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise wrong_type(what) from None
    if not parts <= names:
        raise wrong_type(what)
    if unpacked > MAX_UNPACKED:
        raise ChatError(
            "too_large", f"The file unpacks to more than {MAX_UNPACKED // 1024**2} MiB; send less of it."
        )
    file.seek(0)
