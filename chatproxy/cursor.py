"""A cursor: a position in the text of an answer, written `"<thinking>.<content>"` in code points.

After the terminal event, it ends in `.end` (`"0.128.end"`). Any process that has the text can serve any
cursor, because there is no log of events behind it.
"""

import re
from typing import Final, Self

from msgspec import Struct

from chatproxy.errors import ChatError

_FORM: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})(\.end)?", re.ASCII)


class Cursor(Struct, frozen=True, gc=False):
    """How many code points of thinking and content, and whether the terminal event, were received."""

    thinking: int = 0
    content: int = 0
    end: bool = False

    def __str__(self) -> str:
        return f"{self.thinking}.{self.content}.end" if self.end else f"{self.thinking}.{self.content}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the cursor written as `text`. Raises `invalid_cursor`."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise ChatError(
                "invalid_cursor",
                "The cursor is malformed; send the last one received, or none to start from the beginning.",
            )
        return cls(int(form[1]), int(form[2]), form[3] is not None)
