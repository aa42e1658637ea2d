"""Plain text, Markdown, source code and logs."""

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from chatproxy.documents.encodings import decode
from chatproxy.documents.formats.content import is_binary, no_text
from chatproxy.documents.parts import GUESSED, Part, Reading, Remark, invalid

# A line of cells, the line that makes it the heading of a table (GFM, 4.10), and all lines of cells after it.
_TABLE: Final = re.compile(
    r"^(?P<heading>[^\n|]*+\|[^\n]*+)\n"
    r"(?P<rule>[ \t]*+\|?(?:[ \t]*+:?-++:?[ \t]*+\|)++(?:[ \t]*+:?-++:?)?[ \t]*+)(?:\n[^\n|]*+\|[^\n]*+)*+$",
    re.MULTILINE,
)
_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
# How an entry of a log begins.
_ENTRY: Final = re.compile(
    r"^(?:\[?\d{4}[-/]\d\d[-/]\d\d[T ,]|\[?\d\d[:/.]\d\d[:/.]\d\d|\[?[A-Z][a-z]{2} {1,2}\d{1,2} \d\d:\d\d"
    r"|(?:\S+ ){1,3}\[\d\d/[A-Z][a-z]{2}/\d{4}|\[ *\d+\.\d{6}\]|\{\""
    r"|\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL)\b)"
)
# Control sequences, strings such as a window's title, and the other escape sequences (ECMA-48).
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|[\]PX^_][^\x07\x1b\n]*+(?:\x07|\x1b\\)|[ -/]++[0-~]|[0-Z\\^-~])"
)
_NULS: Final = re.compile(r"\x00+")
_LOOKED_AT: Final = 200  # lines, to see whether a text is a log


class Text(NamedTuple):
    """The text of a file, and a remark if its encoding was guessed."""

    text: str
    remarks: Sequence[Remark] = ()


def read(file: BinaryIO, encoding: str | None = None) -> Reading:
    """Return the text as it is; tables of Markdown's are parts."""
    text, remarks = decoded(file, encoding)
    text = unified(text)
    if is_log(text):
        return Reading([Part(text, lines=True)], remarks)
    return Reading(_parts(text), remarks)


def read_lines(file: BinaryIO, encoding: str | None = None) -> Reading:
    """Return text that is written line by line, as source code is."""
    text, remarks = decoded(file, encoding)
    return Reading([Part(unified(text), lines=True)], remarks)


def decoded(file: BinaryIO, encoding: str | None = None) -> Text:
    """Return the text of a file.

    Raises `unsupported_media_type` for binary data, and `invalid` if it is not in the encoding.
    """
    data = file.read()
    found = None if is_binary(data) else decode(data, encoding)
    if found is None and encoding is not None and decode(data) is not None:
        raise invalid(f"The file is not in {encoding}; name another encoding, or none.")
    if found is None:
        raise no_text(data)
    if found.alternative is None:
        return Text(found.text)
    return Text(
        found.text,
        [
            Remark(
                GUESSED,
                f"It was read as {found.encoding}, but {found.alternative} is as likely;"
                f" if letters are wrong, send it again with ?encoding={found.alternative}.",
            )
        ],
    )


def unified(text: str) -> str:
    r"""Return text whose lines all end with `\n`, without what only moves or colours it on a terminal."""
    text = _ESCAPES.sub("", text) if "\x1b" in text else text
    return _NULS.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))


def is_log(text: str) -> bool:
    """Return whether most lines that are not indented begin as entries of a log do."""
    lines = [line for line in text[: _LOOKED_AT * 200].split("\n")[:_LOOKED_AT] if line[:1].strip()]
    return len(lines) > 1 and sum(map(bool, map(_ENTRY.match, lines))) * 2 > len(lines)


def _parts(text: str) -> Iterator[Part]:
    """Yield the tables of a text, and what is between them. In fenced code is no table."""
    start = fences = counted = 0
    for table in _TABLE.finditer(text):
        fences += len(_FENCE.findall(text, counted, table.start()))
        counted = table.start()
        if fences % 2:
            continue
        yield Part(text[start : table.start()])
        yield Part(table[0], repeated=f"{table['heading']}\n{table['rule']}")
        start = table.end()
    yield Part(text[start:])
