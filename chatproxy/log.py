"""The log: one line per event on stderr, as text or JSON, with fields and the request id."""

import json
import logging
import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from logging.handlers import MemoryHandler
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being handled, inherited by the tasks that it starts; empty outside of requests."""

MOST_HELD: Final = 1000  # records
_UNQUOTED: Final = re.compile(r"[^\s\"=\\]+")


def configure(format: str, level: str) -> None:
    """Log to stderr, from `level` up; for libraries, from warning up if that is higher.

    Libraries' debug records contain what users wrote. `format` is text or json.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_quotes_no_request)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    own = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=max(own, logging.WARNING), force=True)
    logging.getLogger("chatproxy").setLevel(own)


@contextmanager
def held() -> Iterator[Callable[[], None]]:
    """Hold records back until the yielded function is called, an error is logged, or the block ends.

    What a start prints comes before them.
    """
    root = logging.getLogger()
    (handler,) = root.handlers
    memory = MemoryHandler(MOST_HELD, flushLevel=logging.ERROR, target=handler)
    root.handlers = [memory]

    def release() -> None:
        root.handlers = [handler]
        memory.flush()

    try:
        yield release
    finally:
        release()


def _quotes_no_request(record: logging.LogRecord) -> bool:
    """Reject aiohttp's records about malformed requests: they quote the bytes, which may contain a token."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def event(logger: logging.Logger, level: int, message: str, /, **fields: object) -> None:
    """Log an event with fields.

    `event(logger, logging.INFO, "answer ended", sessionId=session.id, outcome="complete")`
    """
    if logger.isEnabledFor(level):
        # Made here, since `logger.log` takes as long to find the line of code, which no record shows.
        record = logging.LogRecord(logger.name, level, "", 0, message, None, None)
        record.fields = fields
        logger.handle(record)


class TextFormatter(logging.Formatter):
    """One record as `time LEVEL message key=value ...`; a traceback follows on indented lines.

    Only a record starts in the first column, so that the name of a model or file cannot forge one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        pairs = [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
        head = " ".join([_time(record), record.levelname, _printable(record.getMessage()), *pairs])
        trace = [f"    {_printable(line)}" for line in _traceback(record).split("\n") if line]
        return "\n".join([head, *trace])


class JsonFormatter(logging.Formatter):
    """One record as a JSON object in ASCII: `time`, `level`, `logger`, `event`, fields, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        known: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        trace = _traceback(record)
        exception = {"exception": trace} if trace else {}
        # `known` comes first for the order of the keys, and again last so that no field can override it.
        return json.dumps(known | _fields(record) | exception | known, default=str)


def _time(record: logging.LogRecord) -> str:
    whole, milliseconds = divmod(int(record.created * 1000), 1000)
    return f"{_second(whole)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1)
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    request = request_id.get()
    fields: dict[str, object] = {"requestId": request} if request else {}
    return fields | getattr(record, "fields", {})


def _traceback(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""


def _quoted(value: object) -> str:
    plain = str(value)
    if type(value) is int:
        return plain
    return plain if _UNQUOTED.fullmatch(plain) and plain.isprintable() else json.dumps(plain)


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
