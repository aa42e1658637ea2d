"""JSON, and what is nearly JSON: with comments, NaN, several values one after another, or cut off."""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import msgspec

from chatproxy.documents.formats.text import decoded, unified
from chatproxy.documents.parts import Part, Reading

_LONG: Final = 400  # characters of a line that is given more lines
_MOST_INDENT: Final = 40
# Strings and comments, within which no line ends, what begins and ends values, and all else.
_TOKEN: Final = re.compile(
    r'"(?:[^"\\\n]|\\.)*+"?|//[^\n]*+|/\*(?:[^*]|\*(?!/))*+(?:\*/)?|[\[{]|[\]}]|,|[^"/\[\]{},]++|/'
)
# What stands for a character that needs no escape: no control, quotation mark, backslash or lone surrogate.
_ESCAPED: Final = re.compile(
    r"(?<!\\)(?P<pairs>(?:\\\\)*+)"
    r"(?P<escapes>(?:\\u(?:d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"
    r"|(?!00[01][0-9a-f]|0022|005c|007f|00[89][0-9a-f]|d[89a-f]|202[89]|feff)[0-9a-f]{4}))++)",
    re.IGNORECASE,
)


def read(file: BinaryIO, encoding: str | None = None) -> Reading:
    """Return a value with a line for each of its values, and a notebook as its cells.

    What is not one value is text as it stands, but for lines that are very long.
    """
    text, remarks = decoded(file, encoding)
    text = unified(text)
    if '"nbformat"' in text and (cells := _cells(text)):
        return Reading(cells, remarks)
    return Reading([Part(_unescaped(_formatted(text)), lines=True)], remarks)


def _unescaped(text: str) -> str:
    r"""Return text with the characters that `\\uXXXX` stands for."""
    return _ESCAPED.sub(lambda found: found["pairs"] + _characters(found["escapes"]), text)


def _characters(escapes: str) -> str:
    units = "".join(chr(int(code, 16)) for code in escapes.lower().split("\\u")[1:])
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


def _formatted(text: str) -> str:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)  # `format` stops at the end of a value
        return msgspec.json.format(text, indent=1)
    except (msgspec.DecodeError, RecursionError):
        lines = text.split("\n")
    if len(lines) == 1:
        return text if len(text) <= _LONG else _broken(text)
    return "\n".join([line if len(line) <= _LONG else _formatted(line) for line in lines])


def _broken(text: str) -> str:
    """Return text with lines that end where its values do."""
    written, depth = [""], 0
    for token in _TOKEN.findall(text):
        if written[-1][-1:].isspace():
            token = token.lstrip()
        if not token:
            continue
        if token in "]}":
            depth = max(0, depth - 1)
            written.append(_line_end(depth) + token)
        elif token in "[{":
            between = _line_end(depth) if written[-1][-1:] in {"]", "}"} else ""  # values one after another
            depth += 1
            written.append(between + token + _line_end(depth))
        else:
            written.append(token + _line_end(depth) if token == "," else token)
    return "".join(written)


def _line_end(depth: int) -> str:
    return "\n" + " " * min(depth, _MOST_INDENT)


# -- notebooks of Jupyter, https://nbformat.readthedocs.io


def _cells(text: str) -> list[Part]:
    """Return the cells of a notebook with the text that they put out; none if it is no notebook."""
    try:
        notebook = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return []
    sheets = _list(notebook, "worksheets") or [notebook]  # before version 4
    return [part for sheet in sheets for cell in _list(sheet, "cells") for part in _parts(cell)]


def _parts(cell: Any) -> Iterator[Part]:
    is_code = _get(cell, "cell_type") == "code"
    level = _get(cell, "level")
    source = _text(_get(cell, "source") or _get(cell, "input"))
    yield Part(
        f"{'#' * level} {source}" if isinstance(level, int) and 0 < level < 7 else source, lines=is_code
    )
    for output in _list(cell, "outputs"):
        data = _get(output, "data") or output
        error = [_text(_get(output, name)) for name in ("ename", "evalue")]
        shown = [_text(_get(data, name)) for name in ("text", "text/plain", "text/markdown", "text/latex")]
        yield Part("\n".join([*filter(None, shown), ": ".join(filter(None, error))]), lines=True)


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any, name: str) -> list[Any]:
    found = _get(value, name)
    return found if isinstance(found, list) else []


def _text(value: Any) -> str:
    """Return what a notebook has as a text or as a list of its lines."""
    lines = value if isinstance(value, list) else [value]
    return "".join([line for line in lines if isinstance(line, str)])
