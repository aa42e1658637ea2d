"""Pages and documents of Word that are made to keep a reader busy, and what it says of each.

`HOSTILE` has, by name, the file's name, its content, and words of the refusal; none if it is read.
"""

from collections.abc import Callable, Mapping
from typing import Final

from word_files import docx, field, item, level, lists, p, packed, r, styled, table

_LAUGHS: Final = '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;">]>'
_CELLS: Final = (
    "<w:tr><w:tc><w:tcPr><w:gridSpan w:val='1000'/></w:tcPr><w:p/></w:tc><w:tc><w:p/></w:tc></w:tr>"
)
_RESULT: Final = (
    "<w:r><w:fldChar w:fldCharType='begin'/><w:fldChar w:fldCharType='separate'/><w:t>x</w:t></w:r>"
)
_ENDS: Final = "</w:txbxContent></w:pict></w:r></w:p>"
_BOX: Final = "<w:pict><w:txbxContent>{}</w:txbxContent></w:pict>"


def _cycle_of_styles() -> bytes:
    styles = "".join(
        [
            f"<w:style w:styleId='{name}'><w:basedOn w:val='{other}'/></w:style>"
            for name, other in (("A", "B"), ("B", "A"), ("C", "C"))
        ]
    )
    return docx(styled("x", "A") + styled("y", "C"), styles=styles)


def _cycle_of_lists() -> bytes:
    styles = "<w:style w:styleId='S'><w:pPr><w:numPr><w:numId w:val='1'/></w:numPr></w:pPr></w:style>"
    return docx(item("x"), styles=styles, numbering=lists("<w:numStyleLink w:val='S'/>"))


def _chain_of_notes(number: int) -> bytes:
    marks = [p(f"<w:r><w:footnoteReference w:id='{n}'/></w:r>") for n in range(number + 1)]
    notes = [f"<w:footnote w:id='{n}'>{mark}</w:footnote>" for n, mark in enumerate(marks[1:])]
    return docx(marks[0], footnotes="".join(notes))


def _note_of_itself() -> bytes:
    mark = "<w:r><w:footnoteReference w:id='1'/></w:r>"
    return docx(p(mark * 5000), footnotes=f"<w:footnote w:id='1'>{p(mark)}</w:footnote>")


def _nested(before: str, after: str, number: int, inner: str = "") -> str:
    return before * number + inner + after * number


HOSTILE: Final[Mapping[str, tuple[str, Callable[[], bytes], str]]] = {
    "entities": ("a.docx", lambda: docx(p("&c;"), doctype=_LAUGHS), "damaged"),
    "an entity from elsewhere": (
        *("a.docx", lambda: docx(p("&b;"), doctype="<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>")),
        "damaged",
    ),
    "deep elements": ("a.docx", lambda: docx(_nested("<w:ins>", "</w:ins>", 5000)), "damaged"),
    "deep tables": (
        *("a.docx", lambda: docx(_nested("<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>", 80, p("x")))),
        "",
    ),
    "deep formulas": (
        "a.docx",
        lambda: docx(
            p(_nested("<m:oMath><m:rad><m:e>", "</m:e></m:rad></m:oMath>", 80, "<m:r><m:t>x</m:t></m:r>"))
        ),
        "",
    ),
    "deep text boxes": (
        *("a.docx", lambda: docx(_nested("<w:p><w:r><w:pict><w:txbxContent>", _ENDS, 60, p("x")))),
        "",
    ),
    "alternatives in alternatives": (
        "a.docx",
        lambda: docx(
            p(_nested("<mc:AlternateContent><mc:Choice>", "</mc:Choice></mc:AlternateContent>", 100, r("x")))
        ),
        "",
    ),
    "cells without number": (
        "a.docx",
        lambda: docx(table(_CELLS * 2000) + p("x")),
        "more than 2000000 cells",
    ),
    "a cell without end": ("a.docx", lambda: docx(table(_CELLS.replace("1000", "9" * 9)) + p("x")), ""),
    "a cycle of styles": ("a.docx", _cycle_of_styles, ""),
    "a cycle of lists": ("a.docx", _cycle_of_lists, ""),
    "a number without end": (
        "a.docx",
        lambda: docx(
            item("x"), numbering=lists(level(0, "lowerLetter", "%1" * 9999).replace("'1'", "'999999999'"))
        ),
        "",
    ),
    "numbers without end": (
        *("a.docx", lambda: docx(item("x") * 300, numbering=lists(level(0, "decimal", "%1" * 99999)))),
        "",
    ),
    "a note in itself": ("a.docx", _note_of_itself, ""),
    "notes in notes": ("a.docx", lambda: _chain_of_notes(5000), "damaged"),
    "fields without end": (
        *("a.docx", lambda: docx(p("<w:r><w:fldChar w:fldCharType='begin'/></w:r>" * 20_000) + p("x"))),
        "",
    ),
    "fields in fields": (
        "a.docx",
        lambda: docx(p(_RESULT * 5000)),
        "",
    ),
    "a formula without end": (
        *("a.docx", lambda: docx(p(field("EQ " + _nested("\\f(", ")", 9999, "1,2")) + r("x")))),
        "",
    ),
    "text boxes without number": (
        *("a.docx", lambda: docx(p(f"<w:r>{_BOX.format('<w:p/>') * 5000}</w:r>") + p("x"))),
        "",
    ),
    "a document in itself": (
        "a.docx",
        lambda: docx(p("x") + "<w:altChunk r:id='c'/>", chunks={"c": b"PK"}),
        "",
    ),
    "a main part outside": (
        "a.docx",
        lambda: packed(
            {
                "[Content_Types].xml": "",
                "_rels/.rels": "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'>"
                "<Relationship Id='a' Type='x/officeDocument' Target='../../../etc/passwd'/></Relationships>",
            }
        ),
        "not a DOCX",
    ),
    "open elements": ("a.html", lambda: b"<b>" * 20_000 + b"x", ""),
    "open lists": ("a.html", lambda: b"<ol reversed><li>" * 3000 + b"x", ""),
    "open tables": ("a.html", lambda: b"<table><tr><td>" * 2000 + b"x", ""),
    "columns without number": (
        *("a.html", lambda: b"<table>" + b"<tr><th colspan=9999 rowspan=9999>x" * 2100),
        "more than 2000000 cells",
    ),
    "ends without beginning": ("a.html", lambda: b"<div>" * 400 + b"</x>" * 5000 + b"x", ""),
    "frames in frames": ("a.html", lambda: b"<iframe srcdoc='<iframe srcdoc=&quot;x'>" * 2000 + b"x", ""),
}
