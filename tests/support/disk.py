"""A full disk, without filling one.

    with files_end_at(100_000):
        ...                                  # this process can write no file beyond that size

The limit is the process's own (RLIMIT_FSIZE), so that nothing else on the machine is affected.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let no file of this process grow past `size` bytes, which looks like a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
