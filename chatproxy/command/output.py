"""What a command prints. Its reader may leave at any time, as `head` does, and a disk may be full."""

import errno
import os
import sys
from contextlib import suppress
from typing import Final, TextIO

from chatproxy.errors import StartError

CLOSED_PIPE: Final = 141  # the exit code of what SIGPIPE ends
_LEFT: Final = (errno.EPIPE, errno.EINVAL)  # the second is Windows'


class ReaderLeft(Exception):
    """Nobody reads stdout any more."""


def say(*lines: object, end: str = "\n") -> None:
    """Print lines, at once. Raises ReaderLeft, or StartError if they cannot be written for another reason."""
    try:
        print(*lines, sep="\n", end=end, flush=True)
    except OSError as error:
        _drop(sys.stdout)
        if error.errno in _LEFT:
            raise ReaderLeft from error
        raise StartError(
            f"what this prints cannot be written ({error.strerror}); send it elsewhere, or free some space"
        ) from error


def complain(sentence: str) -> None:
    """Print to stderr what is wrong; if nobody reads that, the exit code is left."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def _drop(stream: TextIO) -> None:
    """Let go of what the stream still holds, which Python would try to write in the end."""
    with suppress(OSError, ValueError):  # a stream without a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
