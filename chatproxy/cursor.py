"""A cursor: a position in the text of an answer, as `"<thinking>.<answer>"` in code points.

`.end` is added once the reader has been told how the answer ended (`"0.128.end"`). Any process that
has the text can serve any cursor: no log of events is behind it.
"""

import re
from typing import Final, Self

from msgspec import Struct

from chatproxy.errors import ChatError

_FORM: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,15})(\.end)?", re.ASCII)


class Cursor(Struct, frozen=True, gc=False):
    thinking: int = 0
    content: int = 0
    end: bool = False

    def __str__(self) -> str:
        return f"{self.thinking}.{self.content}.end" if self.end else f"{self.thinking}.{self.content}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises `invalid_cursor` for anything of another form."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise ChatError(
                "invalid_cursor",
                "The cursor is malformed; send the last one received, or none to start from the beginning.",
            )
        return cls(int(form[1]), int(form[2]), form[3] is not None)
