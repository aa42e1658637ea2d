"""RTF: what a reader of the page sees.

striprtf shows text that is hidden or was deleted, and leaves out exponents and footnotes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import BinaryIO, Final

from chatproxy.documents.archives import read_whole
from chatproxy.documents.notation.scripts import note, struck, subscript, superscript
from chatproxy.documents.notation.tables import MAX_COLUMNS, Cell, Table, parts_of
from chatproxy.documents.parts import MAX_TEXT, PARTIAL, Part, Reading, Remark, damaged, too_long, wrong_type

_WHAT: Final = "RTF"
_START: Final = b"{\\rtf"
_MAX_DEPTH: Final = 1000  # groups
_TOKEN: Final = re.compile(
    rb"\\(?P<word>[A-Za-z]{1,32})(?P<value>-?[0-9]{1,10})? ?|\\'(?P<hex>[0-9A-Fa-f]{2})|\\(?P<sign>[^A-Za-z])"
    rb"|(?P<brace>[{}])|(?P<text>[^\\{}\r\n]+)|[\r\n]+|.",
    re.DOTALL,
)
# By \fcharset. The others are in the encoding of the document.
_CHARSETS: Final[Mapping[int, str]] = {
    **{
        77: "mac_roman",
        128: "cp932",
        129: "cp949",
        130: "johab",
        134: "gb18030",
        136: "cp950",
        161: "cp1253",
    },
    **{
        162: "cp1254",
        163: "cp1258",
        177: "cp1255",
        178: "cp1256",
        186: "cp1257",
        204: "cp1251",
        222: "cp874",
    },
    **{238: "cp1250", 254: "cp437", 255: "cp850"},
}
_SYMBOLS: Final = 2  # the charset of fonts with signs of their own
_DOCUMENT: Final[Mapping[str, str]] = {"ansi": "cp1252", "mac": "mac_roman", "pc": "cp437", "pca": "cp850"}
_CHARACTERS: Final[Mapping[str, str]] = {
    **{"tab": "\t", "line": "\n", "lbr": "\n", "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’"},  # noqa: RUF001
    **{"ldblquote": "“", "rdblquote": "”", "bullet": "•", "emspace": " ", "enspace": " ", "qmspace": " "},
    **{"zwj": "\u200d", "zwnj": "\u200c", "nestcell": " ", "nestrow": "\n", "softline": " "},
}
_SIGNS: Final[Mapping[bytes, str]] = {b"~": "\u00a0", b"_": "-", b"\t": "\t", b"-": ""}
_PARAGRAPH_ENDS: Final = frozenset({"par", "sect", "page", "column"})
# Groups that are not the text of the document, or are there in another form, too.
_SKIPPED: Final = frozenset(
    {
        *("colortbl", "info", "annotation", "atnid", "atnauthor", "atndate", "atnref", "fldinst"),
        *(
            "nonshppict",
            "shprslt",
            "objdata",
            "objclass",
            "objname",
            "bkmkstart",
            "bkmkend",
            "datafield",
            "sp",
        ),
        *(
            "nonesttables",
            "filetbl",
            "listtable",
            "listoverridetable",
            "revtbl",
            "rsidtbl",
            "generator",
            "xe",
            "tc",
        ),
        *(
            "themedata",
            "template",
            "private",
            "pnseclvl",
            "formfield",
            "ftnsep",
            "ftnsepc",
            "aftnsep",
            "aftnsepc",
        ),
        *("ftncn", "aftncn"),
    }
)
# Groups that the star before them marks as new since 1987, and that hold text all the same.
_STARRED_TEXT: Final = frozenset({"shpinst", "shptxt", "ud", "moMath", "moMathPara", "footnote", "shppict"})
_HEADERS: Final = frozenset({"header", "headerl", "headerr", "headerf"})
_FOOTERS: Final = frozenset({"footer", "footerl", "footerr", "footerf"})
_LIGATURES: Final = str.maketrans(
    dict(zip("ﬀﬁﬂﬃﬄﬅﬆ", ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
)
_HEADING: Final = re.compile(rb"\s*heading ([1-9])", re.IGNORECASE)
_OWN_SIGNS: Final = re.compile("[\uf000-\uf0ff]")  # of fonts like Symbol and Wingdings, mostly bullets


def read(file: BinaryIO) -> Reading:
    """Return the text, with headers before and footers behind it, each once."""
    data = file.read()
    start = data[:64].lstrip(b"\xef\xbb\xbf \r\n")
    if not start.startswith(_START):
        raise wrong_type("an RTF")
    with read_whole(_WHAT):
        reader = _Reader(data)
        reader.run()
        return Reading(list(reader.parts()), reader.remarks())


@dataclass(slots=True)
class _State:
    """What a group inherits from the one around it."""

    flow: "_Flow"
    skipped: bool = False
    table: str = ""  # "fonts" or "styles", in whose table it is
    marks: bool = False  # in what an item of a list begins with
    encoding: str = ""  # of the font; empty is the document's
    symbols: bool = False
    hidden: bool = False
    deleted: bool = False
    struck: bool = False
    shift: str = ""  # "super" or "sub"
    fallback: int = 1  # characters that stand for one in Unicode

    @property
    def silent(self) -> bool:
        return self.skipped or self.hidden or self.deleted


@dataclass(slots=True, eq=False)
class _Flow:
    """Text that runs on: the document, a header, a note."""

    blocks: list[str | Part] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)  # of the paragraph
    struck: set[int] = field(default_factory=set)  # which pieces are struck through
    lines: list[str] = field(default_factory=list)  # of the cell, before the paragraph
    notes: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    table: Table | None = None
    headings: int = 0
    in_table: bool = False
    level: int = 0  # of the heading that the paragraph is
    merged: list[tuple[bool, bool]] = field(
        default_factory=list
    )  # of each cell, with the left one, the upper one
    next_merged: tuple[bool, bool] = (False, False)
    heading_row: bool = False

    def end_paragraph(self) -> None:
        text = self._taken()
        if self.in_table:
            self.lines.append(text)
            return
        self.end_table()
        if text:
            self.blocks.append(f"{'#' * self.level} {text}" if self.level else text)
        self.blocks += self.notes
        self.notes = []

    def end_cell(self) -> None:
        if len(self.cells) >= MAX_COLUMNS:
            raise damaged(_WHAT)
        self.cells.append("\n".join([*self.lines, self._taken()]))
        self.lines = []

    def end_row(self) -> None:
        cells: list[Cell] = []
        for place, text in enumerate(self.cells):
            left, above = self.merged[place] if place < len(self.merged) else (False, False)
            if left and cells:
                cells[-1] = cells[-1]._replace(columns=cells[-1].columns + 1)
            else:
                cells.append(Cell(None if above else text))
        if self.table is None:
            self.table, self.headings = Table(), 0
        self.table.add(cells)
        self.headings += self.heading_row
        self.cells = []

    def end_table(self) -> None:
        if self.table is not None:
            self.blocks.append(self.table.part(self.headings or None))
            self.table = None

    def end(self) -> list[str | Part]:
        if self.cells or self.lines:
            self.end_cell()
            self.end_row()
        self.in_table = False
        self.end_paragraph()
        return [block for block in self.blocks if block]

    def _taken(self) -> str:
        text = ""
        for is_struck, run in groupby(range(len(self.pieces)), key=self.struck.__contains__):
            said = "".join([self.pieces[place] for place in run])
            text += struck(said) if is_struck else said
        self.pieces, self.struck = [], set()
        return text.strip()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.pictures = 0
        self._data = data
        self._flow = _Flow()
        self._headers: list[_Flow] = []
        self._footers: list[_Flow] = []
        self._encoding = "cp1252"
        self._fonts: dict[int, tuple[str, bool]] = {}
        self._font = 0
        self._default_font = 0
        self._levels: dict[int, int] = {}  # of headings, by style
        self._style = 0
        self._state = _State(self._flow)
        self._stack: list[_State] = []
        self._pending = bytearray()  # text in the encoding of the state
        self._left_out = 0  # characters that stand for one in Unicode
        self._starred = False
        self._notes = 0
        self._size = 0

    def run(self) -> None:
        """Read the file to its end."""
        position = self._data.index(b"{")
        while position < len(self._data):
            token = _TOKEN.match(self._data, position)
            assert token is not None  # the last alternative takes any byte
            position = token.end()
            kind = token.lastgroup
            if kind == "text":
                self._text(token["text"])
            elif kind == "hex":
                self._text(bytes([int(token["hex"], 16)]))
            elif kind == "brace":
                if token["brace"] == b"{":
                    self._begin()
                elif not self._stack:
                    break
                else:
                    self._end()
            elif kind == "sign":
                self._sign(token["sign"])
            elif token["word"]:
                word = token["word"].decode()
                value = int(token["value"]) if token["value"] else None
                if word == "bin":
                    position += max(value or 0, 0)
                else:
                    self._word(word, value)
        self._flush()

    def parts(self) -> Iterator[Part]:
        """Yield the document between its headers and footers."""
        yield from _margins(self._headers)
        yield from parts_of(self._flow.end())
        yield from _margins(self._footers)

    def remarks(self) -> list[Remark]:
        """Return what could not be read."""
        found = []
        if self._stack:
            found.append(Remark(PARTIAL, "The file breaks off before its end."))
        if self.pictures:
            found.append(Remark(PARTIAL, f"Pictures in the file are not read ({self.pictures})."))
        return found

    def _begin(self) -> None:
        self._flush()
        if len(self._stack) >= _MAX_DEPTH:
            raise damaged(_WHAT)
        self._stack.append(self._state)
        self._state = replace(self._state)
        self._starred = False
        self._left_out = 0

    def _end(self) -> None:
        self._flush()
        ended, self._state = self._state, self._stack.pop()
        self._left_out = 0
        if ended.flow is not self._state.flow and ended.flow not in [*self._headers, *self._footers]:
            blocks = ended.flow.end()
            said = " ".join([block if isinstance(block, str) else block.text for block in blocks])
            self._state.flow.notes.append(" ".join(said.split()))

    def _text(self, text: bytes) -> None:
        if self._left_out:
            left_out = min(self._left_out, len(text))
            self._left_out -= left_out
            text = text[left_out:]
        if not self._state.skipped:
            self._pending += text

    def _sign(self, sign: bytes) -> None:
        if sign == b"*":
            self._starred = True
        elif sign in b"\\{}":
            self._text(sign)
        elif sign in b"\r\n":
            self._word("par", None)
        elif self._left_out:
            self._left_out -= 1
        else:
            self._write(_SIGNS.get(sign, ""))

    def _flush(self) -> None:
        """Decode what has come: a character may be of several bytes."""
        if not self._pending:
            return
        data, self._pending = bytes(self._pending), bytearray()
        state = self._state
        if state.table:
            self._named(data)
            return
        if state.symbols:
            self._write(data.decode("latin-1").replace("\xb7", "•"))
        else:
            self._write(data.decode(state.encoding or self._encoding, "replace"))

    def _named(self, name: bytes) -> None:
        """Take the name of a style: those of headings are the same in all languages."""
        found = _HEADING.match(name)
        if found and self._state.table == "styles":
            self._levels.setdefault(self._style, _level(int(found[1]) - 1))

    def _write(self, text: str) -> None:
        self._flush()
        state = self._state
        if state.silent or state.table or not text:
            return
        self._size += len(text)
        if self._size > MAX_TEXT:
            raise too_long()
        pieces = state.flow.pieces
        text = _OWN_SIGNS.sub("•" if state.marks else "", text).translate(_LIGATURES)
        if state.marks:
            text = text.replace("\t", " ").replace("·", "•")
        elif state.shift == "super":
            text = superscript(text, pieces[-1] if pieces else "")
        elif state.shift == "sub":
            text = subscript(text)
        if state.struck:
            state.flow.struck.add(len(pieces))
        pieces.append(text)

    def _word(self, word: str, value: int | None) -> None:
        if word == "u":
            self._flush()
            self._unicode(value or 0)
            return
        self._flush()
        if self._left_out and word in _CHARACTERS:
            self._left_out -= 1
            return
        starred, self._starred = self._starred, False
        if self._state.skipped and word != "ud":
            return
        if self._group(word, starred):
            return
        if word in _CHARACTERS:
            self._write(_CHARACTERS[word])
        elif word in _PARAGRAPH_ENDS:
            if not self._state.silent:
                self._state.flow.end_paragraph()
        else:
            self._set(word, value)
            self._table(word)

    def _unicode(self, value: int) -> None:
        if self._left_out:
            return
        code = value & 0xFFFF
        pieces = self._state.flow.pieces
        if 0xDC00 <= code < 0xE000 and pieces and 0xD800 <= ord(pieces[-1][-1:] or " ") < 0xDC00:
            high = ord(pieces[-1][-1])
            pieces[-1] = pieces[-1][:-1] + chr(0x10000 + ((high - 0xD800) << 10) + code - 0xDC00)
        else:
            self._write(chr(code))
        self._left_out = self._state.fallback

    def _group(self, word: str, starred: bool) -> bool:
        """Begin what a group is, if the word says that; return whether it did."""
        state = self._state
        if word in {"footnote", *_HEADERS, *_FOOTERS}:
            state.flow = _Flow()
            if word in _HEADERS:
                self._headers.append(state.flow)
            elif word in _FOOTERS:
                self._footers.append(state.flow)
            state.shift = ""
        elif word == "pict":
            self.pictures += not state.silent
            state.skipped = True
        elif word in {"listtext", "pntext"}:
            state.marks = True
        elif word == "fonttbl":
            state.table = "fonts"
        elif word == "stylesheet":
            state.table = "styles"
        elif word == "upr":  # the same twice; what follows in Unicode is taken
            state.skipped = True
        elif word == "ud":
            state.skipped = self._stack[-2].skipped if len(self._stack) > 1 else False
        elif word in _SKIPPED or (starred and word not in _STARRED_TEXT):
            state.skipped = True
        else:
            return starred
        return True

    def _set(self, word: str, value: int | None) -> None:
        """Change how text is read and shown."""
        state = self._state
        on = value != 0
        match word:
            case "ansi" | "mac" | "pc" | "pca":
                self._encoding = _DOCUMENT[word]
            case "ansicpg":
                self._encoding = _known(f"cp{value}") or self._encoding
            case "deff":
                self._default_font = value or 0
            case "f":
                self._font = value or 0
                if not state.table:
                    state.encoding, state.symbols = self._fonts.get(self._font, ("", False))
            case "fcharset" if state.table == "fonts":
                self._fonts[self._font] = (_CHARSETS.get(value or 0, ""), value == _SYMBOLS)
            case "cpg" if state.table == "fonts":
                self._fonts[self._font] = (_known(f"cp{value}") or "", False)
            case "uc":
                state.fallback = min(max(1 if value is None else value, 0), 10)
            case "v":
                state.hidden = on
            case "deleted":
                state.deleted = on
            case "strike" | "striked":
                state.struck = on
            case "super" | "sub":
                state.shift = word if on else ""
            case "up" | "dn":
                state.shift = {"up": "super", "dn": "sub"}[word] if on else ""
            case "nosupersub":
                state.shift = ""
            case "plain":
                state.hidden = state.deleted = state.struck = False
                state.shift = ""
                state.encoding, state.symbols = self._fonts.get(self._default_font, ("", False))
            case "pard":
                state.flow.in_table = False
                state.flow.level = 0
            case "intbl":
                state.flow.in_table = True
            case "s":
                self._style = value or 0
                state.flow.level = self._levels.get(self._style, 0)
            case "outlinelevel" if state.table:
                self._levels[self._style] = _level(value)
            case "outlinelevel":
                state.flow.level = _level(value)
            case "chftn":
                self._footnote_mark()

    def _footnote_mark(self) -> None:
        state = self._state
        if state.silent:
            return
        in_note = state.flow is not self._flow
        self._notes += not in_note
        state.flow.pieces.append(note(str(self._notes)) + " " * in_note)

    def _table(self, word: str) -> None:
        flow = self._state.flow
        match word:
            case "trowd":
                flow.merged, flow.next_merged, flow.heading_row = [], (False, False), False
            case "trhdr":
                flow.heading_row = True
            case "clmrg":
                flow.next_merged = (True, flow.next_merged[1])
            case "clvmrg":
                flow.next_merged = (flow.next_merged[0], True)
            case "cellx":
                flow.merged.append(flow.next_merged)
                flow.next_merged = (False, False)
            case "cell":
                flow.end_cell()
            case "row":
                flow.end_row()


def _margins(flows: list[_Flow]) -> Iterator[Part]:
    texts = [
        "\n".join([block if isinstance(block, str) else block.text for block in flow.end()]) for flow in flows
    ]
    yield from (Part(text) for text in dict.fromkeys(texts) if text)


def _level(outline: int | None) -> int:
    """Return how many `#` a heading has; from 9 on, \\outlinelevel says that a paragraph is none."""
    return min(outline + 1, 6) if outline is not None and 0 <= outline < 9 else 0


def _known(encoding: str) -> str | None:
    try:
        "".encode(encoding)
    except LookupError:
        return {"cp936": "gb18030", "cp10000": "mac_roman", "cp708": "iso8859_6"}.get(encoding)
    return encoding
