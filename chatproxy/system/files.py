"""Files: their locks, owners and modes. On Windows, a file is as private as the folder that it is in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from chatproxy.system.optional import optional

PRIVATE: Final = 0o600  # readable and writable by the owner only
NO_LINKS: Final = getattr(os, "O_NOFOLLOW", 0)  # a flag of `open`: refuse a symbolic link
UNWRITTEN: Final = 2**30  # a position that no locked file grows to

_user: Final[Callable[[], int] | None] = getattr(os, "geteuid", None)
_fcntl: Final = optional("fcntl")
_msvcrt: Final = optional("msvcrt")


def lock(file: IO[Any]) -> None:
    """Wait until no other process has the file locked, and lock it until it is closed. Raises OSError."""
    if _fcntl is not None:
        _fcntl.flock(file, _fcntl.LOCK_EX)
    elif _msvcrt is not None:  # which locks bytes, and nobody else could read those
        os.lseek(file.fileno(), UNWRITTEN, os.SEEK_SET)
        _msvcrt.locking(file.fileno(), _msvcrt.LK_LOCK, 1)
        os.lseek(file.fileno(), 0, os.SEEK_SET)


def is_of_another(status: os.stat_result) -> bool:
    """Return whether a file belongs to another user, as far as the system tells."""
    return _user is not None and status.st_uid != _user()


def is_exposed(status: os.stat_result) -> bool:
    """Return whether every user of this machine can read or write a file, as far as its mode tells."""
    return _user is not None and bool(status.st_mode & 0o006)


def make_private(file: IO[Any]) -> None:
    """Let only its owner open a file, where files have modes. Raises OSError."""
    if _user is not None:
        os.chmod(file.fileno(), PRIVATE)


def write_through(path: Path) -> None:
    """Have the system write all of a file to the disk. Raises OSError."""
    _sync(path, os.O_RDWR)


def write_folder_through(path: Path) -> None:
    """Have the system write the names in a folder to the disk, where it opens folders. Raises OSError."""
    if os.name == "posix":
        _sync(path, os.O_RDONLY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
