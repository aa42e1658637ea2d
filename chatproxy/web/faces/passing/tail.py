r"""The end of a streamed body: whether it is the stream's own, and how many tokens it counts.

The framing does not say: Ollama ends the body of a failed answer as it ends that of a whole one. What says so
is the last line, of which only the first and the last bytes are kept. That is enough to tell a name in it
from the text of an answer, however long the line is: in JSON, each quote within a text follows a backslash,
so that `,"done":true` is never part of one.
"""

import re
from typing import Final

import msgspec

from chatproxy.ollama.lenient import DECODE_ERRORS

SIZE: Final = 512  # bytes
# Ollama ends a line with `done` and, if it is true, durations and counts. An error has no `done`.
_NDJSON_MARK: Final = re.compile(rb'[{,] ?"(?:done": ?(true|false)|(?:error|total_duration)":)')
_ERROR: Final = b'{"error":'
_COUNTS: Final = re.compile(rb'"total_duration":[0-9]+(?:,"[a-z_]+":[0-9]+)*\}\Z')
_DONE: Final = b"data: [DONE]"
# The last event of each API has its type first, or last, as Ollama sorts names; OpenAI's error has none.
_LAST_EVENT_BEGINS: Final = re.compile(
    rb'data: ?\{"(?:type": ?"(?:message_stop|error|response\.(?:completed|failed|incomplete))"|error": ?\{)'
)
_LAST_EVENT_ENDS: Final = re.compile(
    rb'"type": ?"(?:message_stop|error|response\.(?:completed|failed|incomplete))"\}[\r\n]{2,4}\Z'
)
_ERROR_BEGINS: Final = re.compile(rb'(?:data:\s*)?\{\s*"(?:error"|type"\s*:\s*"error")')
_ERROR_ENDS: Final = re.compile(rb'"type"\s*:\s*"response\.failed"\s*\}\s*\Z')
_TOKENS: Final = re.compile(
    rb'[{,] ?"(?:eval_count|completion_tokens|output_tokens)": ?([0-9]{1,9})(?![0-9])'
)


class Tail:
    """The end of a body, so far."""

    def __init__(self) -> None:
        self._new = b""  # what has come since the last look
        self._last = b""  # bytes of the body
        self._line = b""  # the first bytes of the last line that has any
        self._is_closed = False  # whether that line has its newline

    def feed(self, data: bytes) -> None:
        """Note what has come. It is looked at by the piece, because a look at each token costs too much."""
        self._new += data
        if len(self._new) >= SIZE:
            self._look()

    def _look(self) -> None:
        if not self._new:
            return
        data, self._new = self._new, b""
        self._last = data[-SIZE:] if len(data) >= SIZE else (self._last + data)[-SIZE:]
        text = data.rstrip(b"\r\n")
        if text:
            start = text.rfind(b"\n") + 1
            before = b"" if start or self._is_closed else self._line
            self._line = before if len(before) == SIZE else (before + text[start : start + SIZE])[:SIZE]
        self._is_closed = len(text) < len(data)

    @property
    def tokens(self) -> int:
        """The number of tokens of an answer that is whole; 0 if it does not say."""
        self._look()
        found = _TOKENS.findall(self._last)
        return int(found[-1]) if found else 0

    @property
    def is_error(self) -> bool:
        """Whether a stream that has its own end says there that it failed."""
        self._look()
        return bool(_ERROR_BEGINS.match(self._line) or _ERROR_ENDS.search(self._last))

    def is_last_line(self) -> bool:
        """Return whether NDJSON ends with the line that Ollama writes last, or with an error."""
        self._look()
        is_long = len(self._line) == SIZE
        end = self._last.rstrip() if is_long else self._line
        if not (self._is_closed or (self._may_be_closed(end) if is_long else _is_json(end))):
            return False
        if not end.endswith(b"}"):
            return False
        known = self._line + b"\n" + end if is_long else end
        marks = list(_NDJSON_MARK.finditer(known))
        return bool(marks) and marks[-1][1] != b"false"

    def _may_be_closed(self, end: bytes) -> bool:
        """Return whether a long line without its newline has all that Ollama writes."""
        return self._line.startswith(_ERROR) or bool(_COUNTS.search(end))

    def is_last_event(self) -> bool:
        """Return whether Server-Sent Events end with a last one, and with the empty line that ends it."""
        self._look()
        if not self._last.endswith((b"\n\n", b"\r\n\r\n")):
            return False
        if self._line == _DONE or _LAST_EVENT_BEGINS.match(self._line):
            return True
        return self._line.startswith(b"data:") and bool(_LAST_EVENT_ENDS.search(self._last))

    def before_line(self) -> bytes:
        """Return what has to stand between NDJSON so far and another line."""
        self._look()
        return b"" if self._last.endswith(b"\n") or not self._last else b"\n"

    def before_event(self) -> bytes:
        """Return what has to stand between Server-Sent Events so far and another event."""
        self._look()
        if self._last.endswith((b"\n\n", b"\r\n\r\n")) or not self._last:
            return b""
        return b"\n" if self._last.endswith(b"\n") else b"\n\n"


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except DECODE_ERRORS:
        return False
    return True
