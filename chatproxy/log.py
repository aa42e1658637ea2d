"""What the operator reads: one line per event on stderr, as text or as JSON, with fields and the request."""

import json
import logging
import re
import time
import traceback
from contextvars import ContextVar
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""Set once per request, and inherited by the tasks that the request starts; empty outside of any."""

_BARE: Final = re.compile(r"[^\s\"=\\]+")


def configure(format: str, level: str) -> None:
    """Everything to stderr: chatproxy's own events from `level` on, those of libraries from warning on.

    (Their debug lines would hold what users wrote, and so would aiohttp's about what is no HTTP.)
    """
    handler = logging.StreamHandler()
    handler.addFilter(_is_ours)
    handler.setFormatter(JsonFormatter() if format == "json" else TextFormatter())
    own = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=max(own, logging.WARNING), force=True)
    logging.getLogger("chatproxy").setLevel(own)


def _is_ours(record: logging.LogRecord) -> bool:
    """Not what cannot be read as HTTP: aiohttp would quote it, and a token may be in it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


def event(logger: logging.Logger, level: int, message: str, /, **fields: object) -> None:
    """`event(logger, logging.INFO, "answer ended", sessionId=session.id, outcome="complete")`"""
    logger.log(level, message, extra={"fields": fields}, stacklevel=2)


class TextFormatter(logging.Formatter):
    """`time LEVEL message key=value ...`; a traceback follows on indented lines.

    Only a record starts at the margin: what others wrote, names of models or of files, cannot forge one.
    """

    def format(self, record: logging.LogRecord) -> str:
        pairs = [f"{name}={_quoted(value)}" for name, value in _fields(record).items()]
        head = " ".join([_time(record), record.levelname, _printable(record.getMessage()), *pairs])
        trace = [f"    {_printable(line)}" for line in _traceback(record).split("\n") if line]
        return "\n".join([head, *trace])


class JsonFormatter(logging.Formatter):
    """One ASCII object per line: `time level logger event`, the fields, `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        known: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        trace = _traceback(record)
        exception = {"exception": trace} if trace else {}
        # A field cannot take the place of one of these.
        return json.dumps(known | _fields(record) | exception | known, default=str)


def _time(record: logging.LogRecord) -> str:
    whole, milliseconds = divmod(int(record.created * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{milliseconds:03d}Z"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    request = request_id.get()
    fields: dict[str, object] = {"requestId": request} if request else {}
    return fields | getattr(record, "fields", {})


def _traceback(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(record.exc_info[1])) if record.exc_info else ""


def _quoted(value: object) -> str:
    plain = str(value)
    return plain if _BARE.fullmatch(plain) and plain.isprintable() else json.dumps(plain)


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
