"""The conversations in a file, cut out of its JSON as it arrives, without holding the file.

A file is an array of objects, or objects one after another (one alone, or one a line). Each is found by its
brackets alone; whether what is in it is valid shows when it is decoded.
"""

import re
from collections.abc import Iterator
from typing import Final

from chatproxy.errors import ChatError

MAX_BYTES: Final = 32 * 1024 * 1024  # of one conversation
MAX_TOKENS: Final = 1_000_000  # of one conversation, which take memory and time when they are decoded

# A text, which may go on beyond the piece; its end is empty then, or half an escape. Or a mark.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("|\\?\Z)|[\[\]{},]', re.DOTALL)
_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+("|\\?\Z)', re.DOTALL)
_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"
_BOM: Final = b"\xef\xbb\xbf"
_WHAT: Final = "send conversations.json of ChatGPT's export, or an export of Open WebUI or chatproxy"
_BEGINNINGS: Final = (
    (b"PK", "This is a zip file; unpack it, and send the conversations.json that is in it."),
    (b"\x1f\x8b", "This is a compressed file; unpack it, and send the JSON file that is in it."),
    (b"<", f"This is a web page, not JSON; {_WHAT}."),
    (b"\xff\xfe", "This is not UTF-8; save the file in UTF-8 and send it again."),
    (b"\xfe\xff", "This is not UTF-8; save the file in UTF-8 and send it again."),
)


def not_json(why: str) -> ChatError:
    """Return the error for a file that cannot be read from here on; `why` ends without a full stop."""
    return ChatError("malformed", f"{why}; {_WHAT}.")


class Elements:
    """Cuts a file into its objects. `held` is how many bytes are kept for the one that is not complete."""

    def __init__(self) -> None:
        self._element = bytearray()
        self._size = 0  # of the element, with what is not kept of one that is too large
        self._tokens = 0
        self._depth = 0
        self._in_text = False
        self._rest = b""  # half an escape, or the beginning of the file
        self._is_array: bool | None = None  # None: nothing has come
        self._ended = False
        self._position = 0  # in the file, of the current piece

    @property
    def held(self) -> int:
        """The number of bytes that are kept."""
        return len(self._element)

    def feed(self, piece: bytes) -> Iterator[bytearray | None]:
        """Yield each object that ends in this piece; None for one that is too large.

        Raises `malformed` where the file is not what it should be; nothing can be read after that.
        """
        data = self._rest + piece
        self._rest = b""
        if self._position == 0:
            if any(beginning.startswith(data) for beginning in (_BOM, *[known for known, _ in _BEGINNINGS])):
                self._rest = data  # which may go on like that, or be nothing
                return
            data = self._checked_beginning(data)
        yield from self._scan(data)
        self._position += len(data)

    def end(self) -> None:
        """Raise `malformed` unless the file is complete."""
        if self._position == 0:
            rest, self._rest = self._checked_beginning(self._rest), b""
            for _ in self._scan(rest):  # which has no object, as it is the beginning of something else
                pass
        if self._is_array is None:
            raise not_json("The file is empty")
        if self._depth or self._in_text or (self._is_array and not self._ended):
            raise not_json("The file ends in the middle, so the rest is missing")

    @staticmethod
    def _checked_beginning(data: bytes) -> bytes:
        text = data.removeprefix(_BOM).lstrip()
        for beginning, sentence in _BEGINNINGS:
            if text.startswith(beginning):
                raise ChatError("malformed", sentence)
        return data.removeprefix(_BOM)

    def _scan(self, data: bytes) -> Iterator[bytearray | None]:
        start = at = 0  # what is before `start` is done with; tokens are sought from `at` on
        if self._in_text:
            found = _REST.match(data)
            assert found is not None
            at = self._end_text(found, data)
        for token in _TOKEN.finditer(data, at):
            mark = data[token.start()]
            if self._depth == 0:
                self._check_gap(data[start : token.start()])
                if mark == ord("{") and not self._ended:
                    self._is_array = bool(self._is_array)
                    self._depth, self._tokens, self._size = 1, 0, 0
                    start = token.start()
                else:
                    self._between(mark)
                    start = token.end()
                continue
            self._tokens += 1
            if mark == ord('"'):
                self._end_text(token, data)
            elif mark in _OPENING:
                self._depth += 1
            elif mark in _CLOSING:
                self._depth -= 1
                if self._depth == 0:
                    self._keep(data[start : token.end()])
                    yield self._take()
                    start = token.end()
        kept = data[start : len(data) - len(self._rest)]
        if self._depth:
            self._keep(kept)
        else:
            self._check_gap(kept)

    def _end_text(self, found: re.Match[bytes], data: bytes) -> int:
        """Note whether a text ends in this piece; return where it does."""
        self._in_text = found[1] != b'"'
        self._rest = found[1] if self._in_text else b""
        return found.end()

    def _check_gap(self, gap: bytes) -> None:
        if gap.strip():
            raise not_json(
                f"After byte {self._position} of the file there is something other than conversations"
            )

    def _between(self, mark: int) -> None:
        """Take a mark between objects."""
        if mark == ord("[") and self._is_array is None:
            self._is_array = True
        elif mark == ord("]") and self._is_array and not self._ended:
            self._ended = True
        elif mark != ord(",") or not self._is_array or self._ended:
            raise not_json(
                f"After byte {self._position} of the file there is something other than conversations"
            )

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_BYTES or self._tokens > MAX_TOKENS:
            self._element.clear()
            self._size = MAX_BYTES + 1
        else:
            self._element += data

    def _take(self) -> bytearray | None:
        element, self._element = self._element, bytearray()
        return element if self._size <= MAX_BYTES else None
