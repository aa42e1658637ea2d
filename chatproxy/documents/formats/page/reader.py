"""Collects the text that a reader of a page sees, as the tags come."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final

from chatproxy.documents.formats.page import mathml
from chatproxy.documents.formats.page.tables import PageTable
from chatproxy.documents.formats.page.tags import (
    BARRIERS,
    ENDS,
    HEADINGS,
    INLINE,
    INPUTS_WITHOUT_TEXT,
    LINES,
    LISTS,
    PARTS_OF_TABLES,
    VOID,
    Mode,
    list_style,
    marks_note,
    mode_of,
    shift,
)
from chatproxy.documents.notation import numerals
from chatproxy.documents.notation.scripts import note, struck, subscript, superscript, with_fractions
from chatproxy.documents.notation.tables import PARAGRAPH
from chatproxy.documents.parts import Part

MAX_DEPTH: Final = 500  # open elements; what is deeper counts as text of these
_DEEPEST: Final = 8  # lists in lists that are indented
_LONGEST_MARK: Final = 20  # characters of a note's mark
_TICKS: Final = {False: "☐", True: "☒"}


@dataclass(slots=True)
class _Element:
    """An open element, and where its text begins in what has been written."""

    tag: str
    attributes: Mapping[str, str]
    mode: Mode
    start: int
    has_link: bool = False  # to a place in a page
    pieces: list[str] = field(default_factory=list)  # of a formula


@dataclass(slots=True)
class _List:
    """An open list: how its items are numbered, and where numbers stand that only its end tells."""

    marker: Callable[[int], str]
    number: int
    step: int
    places: list[int] | None


class PageReader(HTMLParser):
    """Reads a page into parts, with Markdown's `#` before headings and `-` before items of lists."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.has_text = False  # apart from the title
        self.scripts = self.frames = self.pictures = 0  # that were not read
        self._written: list[str | Part] = []
        self._open = [_Element("", {}, Mode.SHOWN, 0)]
        self._lists: list[_List] = []
        self._tables: list[PageTable] = []
        self._options: list[tuple[str, bool]] = []
        self._labelled: set[str] = set()  # ids of fields
        self._preformatted = 0
        self._at_marker = False  # behind it, where a paragraph that begins breaks no line

    def parts(self) -> list[Part]:
        """Return what has been read; the tables are parts of their own."""
        while len(self._open) > 1:
            self._end()
        parts, texts = [], []
        for each in [*self._written, Part("")]:
            if isinstance(each, str):
                texts.append(each)
                continue
            parts.append(Part(with_fractions("".join(texts))))
            parts.append(
                each._replace(text=with_fractions(each.text), repeated=with_fractions(each.repeated))
            )
            texts = []
        return [part for part in parts if part.text.strip()]

    # -- html.parser calls these

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._end_implied(tag)
        attributes = {name: value or "" for name, value in attrs}
        parent = self._open[-1]
        mode = mode_of(tag, attributes, parent.mode, parent.tag)
        shown = mode is not Mode.HIDDEN
        self.scripts += tag == "script"
        if tag in {"frame", "iframe"} and parent.mode is Mode.SHOWN:
            self._frame(tag, attributes)
        if shown:
            self._break(tag)
        if tag in VOID or len(self._open) > MAX_DEPTH:
            if shown:
                self._void(tag, attributes)
            return
        element = _Element(tag, attributes, mode, len(self._written))
        self._open.append(element)
        if shown:
            self._begin(element)

    def handle_endtag(self, tag: str) -> None:
        barriers = {"table"} if tag in PARTS_OF_TABLES or tag == "table" else BARRIERS
        for place in range(len(self._open) - 1, 0, -1):
            if self._open[place].tag == tag:
                while len(self._open) > place:
                    self._end()
                return
            if self._open[place].tag in barriers:
                return
        if tag in {"br", "p"} and self._open[-1].mode is Mode.SHOWN:
            self._break(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        element = self._open[-1]
        if element.mode is Mode.FORMULA and element.tag in mathml.LEAVES:
            element.pieces.append(re.sub(r"\s+", " ", data))
        elif element.mode is Mode.SHOWN:
            self._write(data)

    def unknown_decl(self, data: str) -> None:
        if data.startswith("CDATA["):  # of XHTML
            self.handle_data(data.removeprefix("CDATA["))

    # -- text

    def _write(self, text: str) -> None:
        text = text.replace("\xad", "")
        if not self._preformatted:
            text = re.sub(r"\s+", " ", text)
            if self._before()[-1:].isspace():
                text = text.lstrip()
        if text:
            self._written.append(text)
        if text.strip():
            self._at_marker = False
            self.has_text |= self._open[-1].tag != "title"

    def _before(self) -> str:
        """Return the text before what is written next; an empty one counts as a line's end."""
        last = self._written[-1] if self._written else "\n"
        return last if isinstance(last, str) else "\n"

    def _take(self, start: int) -> str:
        """Return what has been written from a place on, and remove it."""
        text = "".join([each if isinstance(each, str) else each.text for each in self._written[start:]])
        del self._written[start:]
        return text

    def _break(self, tag: str) -> None:
        if self._at_marker and tag != "br":
            return
        if tag == "br":
            self._written.append("\n")
        elif tag in LINES or (tag in LISTS and self._lists):
            self._written += [] if self._before().endswith("\n") else ["\n"]
        elif tag not in INLINE and tag not in PARTS_OF_TABLES and self._open[-1].mode is not Mode.FORMULA:
            self._written.append(PARAGRAPH)

    # -- elements

    def _end_implied(self, tag: str) -> None:
        """End the elements that end where this one begins."""
        ends, barriers = ENDS.get(tag, (frozenset[str](), frozenset[str]()))
        if not ends:
            if tag in INLINE or tag in VOID or self._open[-1].mode in {Mode.DRAWING, Mode.FORMULA}:
                return
            ends, barriers = frozenset({"p"}), BARRIERS
        outermost = 0
        for place in range(len(self._open) - 1, 0, -1):
            if self._open[place].tag in barriers:
                break
            if self._open[place].tag in ends:
                outermost = place
        while outermost and len(self._open) > outermost:
            self._end()

    def _begin(self, element: _Element) -> None:
        tag, attributes = element.tag, element.attributes
        if tag in HEADINGS:
            self._written.append("#" * int(tag[1]) + " ")
            self._at_marker = True
        elif tag in LISTS:
            self._lists.append(_list(tag, attributes))
        elif tag == "li":
            self._item(attributes)
        elif tag == "table":
            is_layout = attributes.get("role", "").lower() in {"none", "presentation"}
            if self._tables:
                self._tables[-1].is_layout = True
            self._tables.append(PageTable(is_layout))
        elif self._tables and tag in PARTS_OF_TABLES:
            table = self._tables[-1]
            if tag not in {"td", "th", "caption"}:
                table.end_row()
            if tag in {"thead", "tbody", "tfoot"}:
                table.in_head, table.in_foot = tag == "thead", tag == "tfoot"
        elif tag in {"pre", "textarea"}:
            self._preformatted += 1
            if tag == "textarea":
                self._label(attributes)
        elif tag == "q":
            self._written.append("“")
        elif tag == "a" and "#" in attributes.get("href", ""):
            for each in self._open:
                each.has_link = True
        elif tag == "label":
            self._labelled.add(attributes.get("for", ""))
        elif tag == "select":
            self._label(attributes)
            self._options = []
        if tag in HEADINGS and self._tables:
            self._tables[-1].is_layout = True

    def _end(self) -> None:
        """End the innermost element."""
        element = self._open.pop()
        tag, attributes = element.tag, element.attributes
        if element.mode is Mode.HIDDEN:
            return
        if element.mode is Mode.FORMULA:
            self._end_formula(element)
        elif shifted := shift(tag, attributes):
            self._end_shifted(element, shifted)
        elif tag in HEADINGS:
            text = " ".join(self._take(element.start).split())
            self._written += [text] if text.strip("# ") else []
        elif tag in LISTS and self._lists:
            self._end_list(self._lists.pop())
        elif tag == "li" and self._lists:
            self._lists[-1].number += self._lists[-1].step
        elif tag == "table" and self._tables:
            written = self._tables.pop().written()
            self._written += [PARAGRAPH, *([written] if isinstance(written, Part) else written)]
        elif tag in PARTS_OF_TABLES and self._tables:
            self._end_part_of_table(element)
        elif tag in {"pre", "textarea"}:
            self._preformatted -= 1
            self._written += [" "] if tag == "textarea" else []
        elif tag == "q":
            self._written.append("”")
        elif tag == "del":
            self._take(element.start)
        elif tag in {"s", "strike"}:
            self._written.append(struck(self._take(element.start)))
        elif tag in {"rt", "rtc"} and (text := self._take(element.start).strip()):
            self._written.append(f"({text})")
        elif tag == "a" and marks_note(attributes):
            self._written.append(note(self._take(element.start)))
        elif tag == "option":
            text = self._take(element.start).strip() or attributes.get("label", "")
            self._options.append((text, "selected" in attributes))
        elif tag == "select":
            self._end_choice(attributes)
        elif tag in {"button", "text"}:
            self._written.append(" ")
        if tag in HEADINGS or tag == "li":
            self._at_marker = False
        self._break(tag)

    def _void(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "img" and (alt := " ".join(attributes.get("alt", "").split())):
            self._write(f"[{alt}]" if re.search(r"\w\w", alt) else alt)
        elif tag == "img":
            self.pictures += "alt" not in attributes
        elif tag == "input":
            self._input(attributes.get("type", "text").strip().lower(), attributes)

    def _input(self, kind: str, attributes: Mapping[str, str]) -> None:
        if kind in {"checkbox", "radio"}:
            self._write(f" {_TICKS['checked' in attributes]} ")
            self._label(attributes)
        elif kind not in INPUTS_WITHOUT_TEXT and (value := attributes.get("value", "").strip()):
            self._label(attributes)
            self._write(f" {value} ")

    def _label(self, attributes: Mapping[str, str]) -> None:
        """Write what a field is called if no <label> says so."""
        label = attributes.get("aria-label", "")
        is_labelled = attributes.get("id") in self._labelled or any(
            each.tag == "label" for each in self._open
        )
        if not label and not is_labelled:
            label = attributes.get("placeholder", "") or attributes.get("title", "")
        if label.strip():
            self._write(f" {label.strip()}: ")

    def _frame(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "iframe" and attributes.get("srcdoc") and len(self._open) <= MAX_DEPTH:
            inner = PageReader()
            inner.feed(attributes["srcdoc"])
            inner.close()
            for part in inner.parts():
                self._written += [PARAGRAPH, part]
            self.has_text |= inner.has_text
        else:
            self.frames += 1

    def _item(self, attributes: Mapping[str, str]) -> None:
        if not self._lists:
            return
        inner = self._lists[-1]
        if re.fullmatch(r"\s*[-+]?\d{1,9}\s*", attributes.get("value", "")):
            inner.number = int(attributes["value"])
        if inner.places is not None:
            inner.places.append(len(self._written))
        marker = inner.marker(inner.number)
        if marker:
            self._written.append("  " * min(len(self._lists) - 1, _DEEPEST) + marker + " ")
            self._at_marker = True

    def _end_list(self, ended: _List) -> None:
        """Write the numbers of a list that counts down to 1."""
        for number, place in enumerate(reversed(ended.places or ()), start=1):
            if place < len(self._written) and isinstance(written := self._written[place], str):
                self._written[place] = written.replace("0", str(number), 1)

    def _end_shifted(self, element: _Element, shifted: str) -> None:
        text = self._take(element.start)
        within = [element, *[each for each in self._open if each.tag == "a"]]
        is_mark = element.has_link or any(
            marks_note(each.attributes) or "#" in each.attributes.get("href", "") for each in within
        )
        if shifted == "sub":
            self._written.append(subscript(text))
        elif is_mark and 0 < len(text.strip()) <= _LONGEST_MARK:
            self._written.append(note(text))
        else:
            self._written.append(superscript(text, self._before()))

    def _end_formula(self, element: _Element) -> None:
        written = mathml.written(element.tag, element.pieces, element.attributes)
        parent = self._open[-1]
        if parent.mode is Mode.FORMULA:
            parent.pieces.append(written)
            return
        around = [PARAGRAPH] if element.attributes.get("display") == "block" else []
        self._written += around
        self._write(written.strip() or element.attributes.get("alttext", ""))
        self._written += around

    def _end_choice(self, attributes: Mapping[str, str]) -> None:
        """Write the option that is shown, or all of a list."""
        self._written.append(" ")
        if "multiple" in attributes or attributes.get("size", "1").strip() not in {"", "0", "1"}:
            self._write("; ".join([f"{_TICKS[selected]} {text}" for text, selected in self._options]))
        elif self._options:
            self._write(
                next((text for text, selected in reversed(self._options) if selected), self._options[0][0])
            )
        self._written.append(" ")

    def _end_part_of_table(self, element: _Element) -> None:
        table = self._tables[-1]
        if element.tag in {"td", "th"}:
            content: Sequence[str | Part] = self._written[element.start :]
            del self._written[element.start :]
            table.cell(element.tag, element.attributes, content)
        elif element.tag == "caption":
            table.caption = " ".join(self._take(element.start).split())
        else:
            table.end_row()
            if element.tag in {"thead", "tfoot"}:
                table.in_head = table.in_foot = False


def _list(tag: str, attributes: Mapping[str, str]) -> _List:
    kind = list_style(attributes)
    if kind == "none":
        return _List(lambda _: "", 1, 1, None)
    if tag != "ol":
        return _List(lambda _: "-", 1, 1, None)
    numeral = numerals.HTML.get(kind or "", str)
    start = attributes.get("start", "").strip()
    number = int(start) if re.fullmatch(r"[-+]?\d{1,9}", start) else None
    if "reversed" in attributes:
        if number is None:  # from as many as there are items
            return _List(lambda _: "0.", 0, 0, [])
        return _List(lambda each: f"{numeral(each)}.", number, -1, None)
    return _List(lambda each: f"{numeral(each)}.", 1 if number is None else number, 1, None)
