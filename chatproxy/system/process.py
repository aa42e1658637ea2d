"""This process: limits, priority, signals, C library and event loop; and which one has a port."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from chatproxy.system.optional import optional

NICENESS: Final = 10
LOW_PRIORITY: Final = getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0)  # among `creationflags`
# Parameters of mallopt(3), and their values.
M_MMAP_THRESHOLD: Final = -3
LARGE_BLOCK: Final = 256 * 1024  # bytes
M_ARENA_MAX: Final = -8
ARENAS: Final = 2

_resource: Final = optional("resource")


def raise_open_files(needed: int) -> int:
    """Raise the limit of open files to `needed`, if possible; return how many this process may have."""
    if _resource is None:
        return needed
    soft, hard = _resource.getrlimit(_resource.RLIMIT_NOFILE)
    if soft != _resource.RLIM_INFINITY and soft < needed:
        best = needed if hard == _resource.RLIM_INFINITY else min(needed, hard)
        with suppress(ValueError, OSError):
            _resource.setrlimit(_resource.RLIMIT_NOFILE, (best, hard))
        soft = _resource.getrlimit(_resource.RLIMIT_NOFILE)[0]
    return needed if soft == _resource.RLIM_INFINITY else int(soft)


def limit_resources(**limits: int) -> None:
    """Set limits by their names, such as `RLIMIT_AS`. Those that the system lacks are left out."""
    for name, value in limits.items():
        with suppress(AttributeError, ValueError, OSError):
            _resource.setrlimit(getattr(_resource, name), (value, value))


def shows_listener(port: int) -> str:
    """Return the command that shows which process listens at a port."""
    return f"netstat -ano | findstr :{port}" if os.name == "nt" else f"lsof -i :{port}"


def lower_priority() -> None:
    """Let other processes go first. On Windows, the one that starts this one says so: `LOW_PRIORITY`."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)


def on_end(end: Callable[[], None]) -> None:
    """Have the running loop call `end` when the user, the terminal or the system asks this process to end."""
    loop = asyncio.get_running_loop()
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN):  # by nohup
            continue
        try:
            loop.add_signal_handler(number, end)
        except NotImplementedError:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(end))


def return_large_blocks() -> None:
    """Have glibc return large blocks to the system as soon as they are freed.

    By itself, it raises the size from which it does so to that of the largest block freed so far, and each
    thread of SQLite keeps memory of its own. What large bodies and answers took once would then stay with the
    process.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
        mallopt(M_ARENA_MAX, ARENAS)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory, or None for asyncio's own loop where uvloop cannot be installed."""
    return getattr(optional("uvloop"), "new_event_loop", None)
