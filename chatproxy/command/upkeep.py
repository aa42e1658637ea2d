"""`chatproxy backup`, `check`, `prune` and `copy`: what is done to a database beside a running chatproxy."""

import asyncio
import os
import re
import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from time import perf_counter
from typing import Final

from chatproxy.command.doctor import Finding, check_database
from chatproxy.command.output import complain, say
from chatproxy.config import Config, load
from chatproxy.errors import StartError
from chatproxy.store.database import now
from chatproxy.store.upkeep.backup import back_up, check_is_file, existing
from chatproxy.store.upkeep.contents import contents, contents_beside
from chatproxy.store.upkeep.copying.copy import copy as copied
from chatproxy.store.upkeep.prune import Pruning
from chatproxy.values import SQLITE, database_url, without_password

MIB: Final = 1024**2
PROGRESS: Final = 5.0  # seconds between two lines that tell of it
_DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d", re.ASCII)


def add_backup_flags(parser: ArgumentParser) -> None:
    """Add what `chatproxy backup` takes."""
    parser.add_argument(
        "file", metavar="FILE", type=Path, nargs="?", help="what to write; an earlier backup is replaced"
    )


def backup(options: Namespace) -> int:
    """Back up the database, and print how large that is. Raises StartError."""
    config = _config(options)
    began = perf_counter()
    path = check_is_file(config.database)
    size = back_up(path, options.file)
    say(f"{options.file}: {_size(size)} of {path}, in {perf_counter() - began:.1f} s")
    return 0


def check(options: Namespace) -> int:
    """Print what is in the database; return 1 if something is wrong. Raises StartError."""
    config = _config(options)
    if isinstance(config.database, Path):
        existing(config.database)
    wrong = False
    for finding in _findings(config):
        say(finding)
        wrong = wrong or finding.mark == "wrong"
    return int(wrong)


def _findings(config: Config) -> Iterator[Finding]:
    findings, _ = check_database(config, is_running=True)  # if it is: that is no finding here
    yield from findings
    try:
        if isinstance(config.database, Path):
            found = contents(config.database)
        else:
            found = asyncio.run(contents_beside(config.database))
    except StartError as error:
        yield Finding("wrong", "contents", str(error))
        return
    if found.version < found.newest:
        detail = f"version {found.version}, of an older chatproxy"
        remedy = (
            f"The next start makes it version {found.newest}, for good: back up first, check again after."
        )
        yield Finding("note", "tables", detail, remedy)
        return
    yield Finding("ok", "tables", f"version {found.version}")
    yield Finding("ok", "contents", ", ".join(f"{number} {what}" for what, number in found.counts.items()))
    detail = f"{found.unfollowed} texts to be followed, {found.removed} deleted things to be removed"
    yield Finding("ok", "background", f"{detail}: a running chatproxy does both")
    remedy = (
        "Restore the last back-up that has none (docs/operate.md); without one, chatproxy does without them."
    )
    for what, number in found.orphans.items():
        yield Finding("wrong", "orphans", f"{number} {what}", remedy)


def add_prune_flags(parser: ArgumentParser) -> None:
    """Add what `chatproxy prune` takes."""
    parser.add_argument(
        "--older-than",
        metavar="DAYS",
        type=_days,
        help="remove what was not used for long: 90d",
    )
    parser.add_argument("--pinned", action="store_true", help="remove pinned conversations, too")
    parser.add_argument("--documents", action="store_true", help="remove documents of no conversation, too")
    parser.add_argument("--dry-run", action="store_true", help="only count what would be removed")


def prune(options: Namespace) -> int:
    """Remove what was not used for long, and print how much that was. Raises StartError."""
    pruning = Pruning(
        where=_config(options).database,
        before=now(-options.older_than),
        pinned=options.pinned,
        documents=options.documents,
    )
    unused = asyncio.run(pruning.count())
    verb = "would be removed" if options.dry_run else "to remove"
    documents = f", {unused.documents} documents" if options.documents else ""
    say(f"{unused.sessions} conversations with {unused.messages} messages{documents} {verb}")
    if options.dry_run:
        return 0
    began = perf_counter()
    smaller = asyncio.run(pruning.run())
    size = f"; the file has {_size(pruning.where.stat().st_size)}" if isinstance(pruning.where, Path) else ""
    say(f"removed in {perf_counter() - began:.1f} s{size}")
    if not smaller:
        say("chatproxy is running, and uses the room again.")
        say("To make the file smaller, run this once more while chatproxy is stopped.")
    return 0


def add_copy_flags(parser: ArgumentParser) -> None:
    """Add what `chatproxy copy` takes."""
    parser.add_argument(
        "--from", metavar="DATABASE", dest="source", type=_database, help="what to copy; see --to"
    )
    parser.add_argument(
        "--to",
        metavar="DATABASE",
        dest="target",
        type=_database,
        help="an empty database: a file, sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE",
    )


def copy(options: Namespace) -> int:
    """Copy a database to an empty one, and print what was copied. Raises StartError."""
    began = perf_counter()
    target = without_password(str(options.target))
    try:
        done = asyncio.run(copied(options.source, options.target, complain, _Progress()))
    except KeyboardInterrupt:
        raise StartError(f"The copy was broken off, and {target} is still empty; copy once more.") from None
    width = max(map(len, done.tables))
    for table, (rows, checksum) in done.tables.items():
        say(f"{table:{width}}  {rows:9} rows, checksum {checksum}")
    if done.unreadable:
        say(f"{done.unreadable} texts that chatproxy could not read are not UTF-8: they have U+FFFD now.")
    if done.streaming:
        say(f"{done.streaming} answers were being written: they end as interrupted, with what they have.")
    say(
        f"Copied to {target} and compared in {perf_counter() - began:.1f} s. To use it, set DATABASE_URL; "
        "searches find everything some time after the start."
    )
    return 0


class _Progress:
    """Prints to stderr one of many lines now and then."""

    def __init__(self) -> None:
        self._next = perf_counter() + PROGRESS

    def __call__(self, line: str) -> None:
        if perf_counter() > self._next:
            self._next = perf_counter() + PROGRESS
            complain(line)


def _database(text: str) -> Path | str:
    try:
        return Config(database_url=database_url(text if "://" in text else f"{SQLITE}{text}")).database
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _config(options: Namespace) -> Config:
    return load(vars(options), os.environ, Path(".env")).config


def _days(text: str) -> timedelta:
    if found := _DAYS.fullmatch(text):
        return timedelta(days=int(found[1]))
    raise ArgumentTypeError(f"{shlex.quote(text)} is no number of days; write 90d for 90 days")


def _size(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
