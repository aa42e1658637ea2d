from io import BytesIO

import pytest

from chatproxy.documents.formats.rtf import read
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError


def parts(body: str, *, head: str = r"\ansi\ansicpg1252\deff0") -> tuple[list[Part], list[Remark]]:
    reading = read(BytesIO(f"{{\\rtf1{head} {body}}}".encode("latin-1")))
    return list(reading.parts), list(reading.remarks)


def text(body: str, **more: str) -> str:
    found, remarks = parts(body, **more)
    assert remarks == []
    return "\n\n".join([part.text for part in found])


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (r"one\par two\line three\tab four", "one\n\ntwo\nthree\tfour"),
        ("one\r\n two\\\nthree", "one two\n\nthree"),
        (r"\{a\}\\b\~c\_d\-e", "{a}\\b\u00a0c-de"),
        (r"caf\'e9 \emdash  \ldblquote x\rdblquote", "café — “x”"),
        (r"\u8364? \u8364\'80 \uc2\u233 ab\uc0\u233 c", "€ € \u00e9\u00e9c"),
        (r"{\uc0\u233}x \u-10179?\u-8704?", "éx 😀"),
        (r"{\upr{abc}{\*\ud{\u233?bc}}}", "ébc"),
        (r"\u-1279?", "fi"),
        (r"Rent {\strike $9\u48?0 }\striked1 x\striked0  $950", "Rent ~~$900 x~~ $950"),
        (r"10{\super 6} H{\sub 2}O x\up6 2\up0  y {\super 1}{\nosupersub 2}", "10⁶ H₂O x² y ¹2"),
        (r"a{\v hidden}b{\deleted gone}c\v x\v0 d", "abcd"),
        (r"{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}", "link"),
        (r"{\*\unknown not this}{\info{\title nor}}{\*\bkmkstart a}this", "this"),
        (r"{\listtext\pard 3.\tab}third{\pntext\f1\'B7\tab}", "3. third•"),
        (
            r"{\*\annotation comment}{\shp{\*\shpinst{\sp{\sn a}{\sv b}}{\shptxt boxed}}{\shprslt boxed}}",
            "boxed",
        ),
        (r"{\object{\*\objdata 00ff}{\result shown}}", "shown"),
    ],
)
def test_text(body: str, shown: str) -> None:
    assert text(body) == shown


def test_encodings_of_fonts() -> None:
    fonts = (
        r"{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset238 B;}{\f2\fcharset204{\*\falt x}C;}{\f3\fcharset128 D;}"
        r"{\f4\fcharset2 Symbol;}{\f5\cpg1253 E;}}"
    )
    body = fonts + r"\f0\'e9 {\f1\'b3} {\f2\'ff} {\f3\'93\'fa\'96\'7b\'83\'5c} {\f4\'b7} {\f5\'e6} \plain\'e9"
    assert text(body) == "é ł я 日本ソ • ζ é"


def test_encodings_of_documents() -> None:
    assert text(r"\'e9", head=r"\mac") == "È"
    assert text(r"\'82", head=r"\pca") == "é"
    assert text(r"\'ef\'f0", head=r"\ansi\ansicpg1251") == "пр"
    assert text(r"\'e9", head=r"\ansi\ansicpg99999") == "é"


def test_headings() -> None:
    styles = r"{\stylesheet{\s1\outlinelevel0 Titel;}{\s2 heading 2;}{\s3 Body;}}"
    body = styles + (
        r"\pard\s1 One\par\pard\s2 Two\par\pard\s3 text\par"
        r"\pard\outlinelevel2 Three\par\pard\outlinelevel9 end"
    )
    assert text(body) == "# One\n\n## Two\n\ntext\n\n### Three\n\nend"


def test_tables() -> None:
    row = r"\trowd{}\cellx1{}\cellx2\pard\intbl {}\cell {}\cell\row".format
    body = (
        "Before" + r"\par" + row(r"\trhdr", "", "City", "Rent") + row(r"\clvmgf", "", "Kiel", r"5\par EUR")
        + row(r"\clvmrg", "", "", "") + row("", r"\clmrg", "wide", "") + r"\pard After\par"
    )  # fmt: skip
    assert parts(body)[0] == [
        Part("Before"),
        Part("City | Rent\nKiel | 5 EUR\nKiel | \nwide", repeated="City | Rent"),
        Part("After"),
    ]


def test_notes_headers_and_footers() -> None:
    note = r"{\super\chftn{\footnote\pard\plain{\super\chftn} See\par below.}}"
    margins = r"{\header ACME\par}{\headerf ACME\par}{\footer Secret {\field{\*\fldinst PAGE}}\par}"
    body = margins + rf"Rent{note} is due{note}.\par End"
    assert text(body) == "ACME\n\nRent[^1] is due[^2].\n\n[^1] See below.\n\n[^2] See below.\n\nEnd\n\nSecret"


def test_pictures_are_said() -> None:
    body = "a{\\*\\shppict{\\pict\\pngblip 89504e47}}{\\nonshppict{\\pict 00}}{\\pict\\bin4 }}}}b}c"
    assert parts(body) == (
        [Part("ac")],
        [Remark("partial", "Pictures in the file are not read (2).")],
    )


def test_a_file_that_breaks_off() -> None:
    reading = read(BytesIO(rb"{\rtf1 Rent is {\b due"))
    assert list(reading.parts) == [Part("Rent is due")]
    assert reading.remarks == [Remark("partial", "The file breaks off before its end.")]


def test_what_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ChatError, match="not an RTF"):
        read(BytesIO(b"Hello"))
    with pytest.raises(ChatError, match="damaged"):
        read(BytesIO(b"{\\rtf1" + b"{" * 100_000))
    monkeypatch.setattr("chatproxy.documents.formats.rtf.MAX_TEXT", 10)
    with pytest.raises(ChatError, match="more than"):
        parts("x" * 11)
