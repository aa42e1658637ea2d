from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from hostile_word_files import HOSTILE
from word_files import cell, docx, field, item, level, lists, p, packed, r, row, style, styled, table

from chatproxy.documents.chunks import SEPARATOR
from chatproxy.documents.extract import ExtractedText, extract
from chatproxy.documents.names import media_type
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError

DATA = Path(__file__).parents[3] / "data" / "documents"
DOCX = media_type("a.docx")


def extracted(content: bytes) -> ExtractedText:
    return extract(BytesIO(content), DOCX)


def text_of(body: str, /, **parts: str) -> str:
    return SEPARATOR.join([part.text for part in extracted(docx(body, None, "", **parts)).parts])


def lines_of(body: str, /, **parts: str) -> list[str]:
    return [line for line in text_of(body, **parts).split("\n") if line]


def refusal(content: bytes) -> tuple[str, str]:
    with pytest.raises(ChatError) as refused:
        extracted(content)
    return refused.value.code, refused.value.sentence


def test_a_document() -> None:
    assert text_of(p("Hello") + p("") + p("you")) == "Hello\n\nyou"
    text = "\n\n".join([part.text for part in extracted((DATA / "debian-faq.docx").read_bytes()).parts])
    assert "## 7.8. What is a Virtual Package?\n\nA virtual package" in text


# -- numbers

CLAUSES = (
    level(0, "decimal", "%1.")
    + level(1, "decimal", "%1.%2")
    + level(2, "lowerLetter", "(%3)")
    + level(3, "lowerRoman", "(%4)")
)
ARTICLES = (
    level(0, "upperRoman", "Article %1")
    + level(1, "decimalZero", "Section %1.%2", "<w:isLgl/>")
    + level(2, "upperLetter", "%3)", '<w:lvlRestart w:val="1"/>')
)


def test_clauses_are_numbered() -> None:
    places = [(0, 1), (1, 1), (2, 1), (2, 1), (3, 1), (1, 1), (2, 1), (0, 1), (2, 1), (1, 1)]
    body = "".join([item("x", at, number) for at, number in places])
    assert lines_of(body, numbering=lists(CLAUSES)) == [
        f"{number} x" for number in ("1.", "1.1", "(a)", "(b)", "(i)", "1.2", "(a)", "2.", "(a)", "2.2")
    ]


def test_articles_are_numbered() -> None:
    body = "".join([item("x", at) for at in (0, 1, 2, 1, 2, 0, 2, 1)])
    assert [line.removesuffix(" x") for line in lines_of(body, numbering=lists(ARTICLES))] == [
        *("Article I", "Section 1.01", "A)", "Section 1.02", "B)", "Article II", "A)", "Section 2.02"),
    ]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("upperLetter", ["Z", "AA"]),
        ("russianLower", ["ы", "э"]),
        ("ordinal", ["26th", "27th"]),
        ("cardinalText", ["Twenty-six", "Twenty-seven"]),
        ("ordinalText", ["Twenty-sixth", "Twenty-seventh"]),
        ("chineseCounting", ["二十六", "二十七"]),
        ("decimalEnclosedCircle", ["26", "27"]),
        ("unheardOf", ["26", "27"]),
        ("none", ["", ""]),
    ],
)
def test_formats_of_numbers(kind: str, expected: list[str]) -> None:
    definition = level(0, kind, "No. %1").replace('w:start w:val="1"', 'w:start w:val="26"')
    found = lines_of(item("x") * 2, numbering=lists(definition))
    assert found == [" ".join(["No.", *each.split(), "x"]) for each in expected]


def test_lists_that_count_on_or_start_over() -> None:
    more = '<w:num w:numId="8"><w:abstractNumId w:val="1"/></w:num>' + (
        '<w:num w:numId="9"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="0">'
        '<w:startOverride w:val="5"/></w:lvlOverride></w:num>'
    )
    body = item("a") + item("b", 0, 8) + item("c", 0, 9) + item("d", 1, 9) + item("e", 0, 9) + item("f")
    found = lines_of(body, numbering=lists(CLAUSES, more=more))
    assert found == ["1. a", "2. b", "5. c", "5.1 d", "6. e", "7. f"]


def test_a_list_with_a_level_of_its_own() -> None:
    override = f'<w:lvlOverride w:ilvl="0">{level(0, "upperLetter", "[%1]")}</w:lvlOverride>'
    more = f'<w:num w:numId="9"><w:abstractNumId w:val="1"/>{override}</w:num>'
    assert lines_of(item("a", 0, 9), numbering=lists(CLAUSES, more=more)) == ["[A] a"]


def test_styles_have_numbers_and_levels() -> None:
    numbered = '<w:numPr><w:numId w:val="1"/></w:numPr>'
    styles = (
        style("H1", called="heading 1", paragraph=numbered)
        + style("H2", called="heading 2", based_on="H1")
        + style("Plain", based_on="H1", paragraph='<w:numPr><w:numId w:val="0"/></w:numPr>')
        + style("Top", called="Title")
        + style("Outline", paragraph='<w:outlineLvl w:val="2"/>')
    )
    clauses = CLAUSES.replace('"%1."', '"%1."/><w:pStyle w:val="H1"').replace(
        '"%1.%2"', '"%1.%2"/><w:pStyle w:val="H2"'
    )
    names = ("Top", "H1", "H2", "H2", "H1", "Plain", "Outline", "missing")
    body = "".join([styled("x", name) for name in names]) + p(
        "x", '<w:pStyle w:val="H1"/><w:numPr><w:numId w:val="0"/></w:numPr>'
    )
    assert lines_of(body, styles=styles, numbering=lists(clauses)) == [
        *("# x", "# 1. x", "## 1.1 x", "## 1.2 x", "# 2. x", "# x", "### x", "x", "# x"),
    ]


def test_a_list_by_way_of_a_style() -> None:
    linked = '<w:numStyleLink w:val="S"/>'
    styles = style("S", paragraph='<w:numPr><w:numId w:val="1"/></w:numPr>')
    assert lines_of(item("x", 0, 2), styles=styles, numbering=lists(CLAUSES, linked)) == ["1. x"]


def test_bullets_and_boxes() -> None:
    box = '<w:rPr><w:rFonts w:ascii="Wingdings"/></w:rPr>'
    bullets = (
        level(0, "bullet", "\uf0b7")
        + level(1, "bullet", "o")
        + level(2, "bullet", "\uf0a8").replace("</w:lvl>", f"{box}</w:lvl>")
    )
    body = item("x") + item("y", 1) + item("z", 2) + item("")
    assert text_of(body, numbering=lists(bullets)) == "- x\n  - y\n☐ z"


def test_long_items_are_paragraphs() -> None:
    text = text_of(item("a") + item("b" * 300) + item("c") + item("d"), numbering=lists(CLAUSES))
    assert text == f"1. a\n\n2. {'b' * 300}\n\n3. c\n4. d"


def test_numbers_stay_apart_from_what_is_not_there() -> None:
    """A paragraph that is joined with the next one, and one that is hidden, count as none."""
    deleted = '<w:rPr><w:del w:id="1"/></w:rPr>'
    numbered = '<w:numPr><w:numId w:val="1"/></w:numPr>'
    body = (
        p("joined ", numbered + deleted)
        + p("up", numbered)
        + p(r("x", "<w:vanish/>"), f"{numbered}<w:rPr><w:vanish/></w:rPr>")
        + p("next", numbered)
        + p("run in", f"{numbered}<w:rPr><w:vanish/><w:specVanish/></w:rPr>")
        + p("text")
    )
    assert lines_of(body, numbering=lists(CLAUSES)) == ["1. joined up", "2. next", "3. run in text"]


# -- runs


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (
            r("10")
            + r("6", '<w:vertAlign w:val="superscript"/>')
            + r(" m")
            + r("2", '<w:position w:val="6"/>'),
            "10⁶ m²",
        ),
        (
            r("x")
            + r("n", '<w:vertAlign w:val="superscript"/>')
            + r("+1", '<w:vertAlign w:val="superscript"/>'),
            "xⁿ⁺¹",
        ),
        (r("H") + r("2", '<w:position w:val="-2"/><w:sz w:val="19"/>') + r("O"), "H₂O"),
        (
            r("Rent ")
            + r("$9", "<w:strike/>")
            + r("00 ", "<w:dstrike/>")
            + r("$950", '<w:strike w:val="0"/>'),
            "Rent ~~$900~~ $950",
        ),
        (r("H") + r("2", '<w:rStyle w:val="Low"/>') + r("O"), "H₂O"),
        (r("a") + r("b", '<w:position w:val="1"/>'), "ab"),
        (r("x") + r("2", '<w:vertAlign w:val="baseline"/><w:position w:val="9"/>'), "x2"),
        (r("all", '<w:vertAlign w:val="superscript"/>'), "all"),
        (
            r("3")
            + r("1", '<w:vertAlign w:val="superscript"/>')
            + r("/")
            + r("2", '<w:vertAlign w:val="subscript"/>'),
            "3½",
        ),
        (r("a ") + r("Great", "<w:caps/>") + r(" Small", "<w:smallCaps/>"), "a GREAT Small"),
        (
            r("a")
            + r("b", "<w:vanish/>")
            + r("c", '<w:vanish w:val="0"/>')
            + r("d", '<w:rStyle w:val="Unseen"/>'),
            "ac",
        ),
        ("<w:r><w:t> a </w:t></w:r><w:r><w:t>b</w:t></w:r>", "ab"),
        (
            "<w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/><w:t>d</w:t><w:softHyphen/></w:r>",
            "a\tb\nc-d",
        ),
        (
            "<w:r><w:sym w:font='Wingdings' w:char='F0FE'/><w:sym w:font='Symbol' w:char='F061'/></w:r>",
            "☑\N{GREEK SMALL LETTER ALPHA}",
        ),
        ("<w:r><w:sym w:font='Wingdings' w:char='F02F'/><w:sym w:font='Other' w:char='zz'/></w:r>", "•"),
        (r("\uf0b3 5", '<w:rFonts w:ascii="Symbol"/>'), "≥ 5"),
        (
            "<w:del>" + "<w:r><w:delText>gone</w:delText></w:r></w:del><w:ins>" + r("kept") + "</w:ins>",
            "kept",
        ),
        ("<w:moveFrom>" + r("from") + "</w:moveFrom><w:moveTo>" + r("to") + "</w:moveTo>", "to"),
        (
            "<w:hyperlink>" + r("link") + "</w:hyperlink><w:smartTag>" + r(" tag") + "</w:smartTag>",
            "link tag",
        ),
        (
            "<w:r><w:ruby><w:rt>"
            + r("かん")
            + "</w:rt><w:rubyBase>"
            + r("漢")
            + "</w:rubyBase></w:ruby></w:r>",
            "漢(かん)",
        ),
        ("<w:commentRangeStart/>" + r("a") + "<w:r><w:commentReference/></w:r>", "a"),
    ],
)
def test_runs(runs: str, expected: str) -> None:
    styles = style("Unseen", run="<w:vanish/>") + style("Low", run='<w:vertAlign w:val="subscript"/>')
    assert text_of(p(runs), styles=styles) == expected


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        (r("See clause ") + field("REF _Ref1 \\r \\h", r("2")), "See clause 2"),
        (field("IF " + "x", r("a")) + r("b"), "ab"),
        (field("A", field("B", r("inner"))), "inner"),
        (f"<w:fldSimple w:instr='REF x'>{r('3')}</w:fldSimple>", "3"),
        (field("FORMTEXT", r("Ann")), "Ann"),
        (field("FORMTEXT", form="<w:textInput><w:default w:val='Bob'/></w:textInput>"), "Bob"),
        (field("FORMCHECKBOX", form="<w:checkBox><w:checked/></w:checkBox>"), "☒"),
        (field("FORMCHECKBOX", form="<w:checkBox><w:default w:val='0'/></w:checkBox>"), "☐"),
        (
            field(
                "FORMDROPDOWN",
                form="<w:ddList><w:result w:val='1'/>"
                + "<w:listEntry w:val='a'/><w:listEntry w:val='b'/></w:ddList>",
            ),
            "b",
        ),
        (field('SYMBOL 254 \\f "Wingdings"'), "☑"),
        (field("MACROBUTTON NoMacro [Click here]"), "[Click here]"),
        (r("3") + field("EQ \\f(1,2)"), "3½"),
        (field("EQ \\r(3,x)"), "∛x"),
        (r("x") + field("EQ \\s\\up8(2)"), "x²"),
        (field("XE index") + r("a"), "a"),
        ("<w:r><w:fldChar w:fldCharType='begin'/></w:r>" + r("code"), ""),
    ],
)
def test_fields(runs: str, expected: str) -> None:
    assert text_of(p(runs) + p("after")) == f"{expected}\n\nafter".strip()


@pytest.mark.parametrize(
    ("control", "content", "expected"),
    [
        ("<w:text/>", "Ann", "Ann"),
        ("<w:dropDownList/>", "red", "red"),
        ("<w14:checkbox><w14:checked w14:val='1'/></w14:checkbox>", "☒", "☒"),
        ("<w14:checkbox><w14:checked w14:val='0'/></w14:checkbox>", "", "☐"),
        ("<w14:checkbox/>", "☐", "☐"),
    ],
)
def test_content_controls(control: str, content: str, expected: str) -> None:
    inner = f"<w:sdt><w:sdtPr>{control}</w:sdtPr><w:sdtContent>{r(content)}</w:sdtContent></w:sdt>"
    assert text_of(p(r("Field: ") + inner)) == f"Field: {expected}"


def test_content_controls_around_blocks_rows_and_cells() -> None:
    def control(content: str) -> str:
        return f"<w:sdt><w:sdtPr/><w:sdtContent>{content}</w:sdtContent></w:sdt>"

    body = control(p("block")) + table(
        row("a", "b"), control(f"<w:tr>{control(cell('1'))}{cell('2')}</w:tr>")
    )
    assert text_of(body) == "block\n\na | b\n1 | 2"


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("<m:sSup><m:e>x</m:e><m:sup>2</m:sup></m:sSup>", "x²"),
        ("<m:sSubSup><m:e>x</m:e><m:sub>i</m:sub><m:sup>2</m:sup></m:sSubSup>", "xᵢ²"),
        ("<m:sPre><m:sub>2</m:sub><m:sup>4</m:sup><m:e>He</m:e></m:sPre>", "₂⁴He"),
        ("<m:f><m:num>a+b</m:num><m:den>2</m:den></m:f>", "(a+b)/2"),
        ("<m:f><m:fPr><m:type m:val='noBar'/></m:fPr><m:num>n</m:num><m:den>k</m:den></m:f>", "n over k"),
        ("<m:rad><m:radPr/><m:deg/><m:e>x</m:e></m:rad>", "√x"),
        ("<m:rad><m:deg>n</m:deg><m:e>x+1</m:e></m:rad>", "ⁿ√(x+1)"),
        (
            "<m:nary><m:naryPr><m:chr m:val='∑'/></m:naryPr>"
            "<m:sub>i=1</m:sub><m:sup>n</m:sup><m:e>i</m:e></m:nary>",
            "∑_(i=1)^n i",
        ),
        ("<m:nary><m:sub>0</m:sub><m:sup>1</m:sup><m:e>f</m:e></m:nary>", "∫_0^1 f"),
        (
            "<m:d><m:dPr><m:begChr m:val='['/><m:endChr m:val=']'/></m:dPr><m:e>a</m:e><m:e>b</m:e></m:d>",
            "[a|b]",
        ),
        ("<m:func><m:fName>sin</m:fName><m:e>x</m:e></m:func>", "sin x"),
        ("<m:limLow><m:e>lim</m:e><m:lim>n</m:lim></m:limLow>", "lim_n"),
        ("<m:limUpp><m:e>x</m:e><m:lim>2</m:lim></m:limUpp>", "x²"),
        ("<m:acc><m:e>x</m:e></m:acc>", "x\u0302"),
        ("<m:bar><m:barPr><m:pos m:val='top'/></m:barPr><m:e>x</m:e></m:bar>", "x\u0304"),
        (
            "<m:m><m:mr><m:e>1</m:e><m:e>2</m:e></m:mr><m:mr><m:e>3</m:e><m:e>4</m:e></m:mr></m:m>",
            "[1, 2; 3, 4]",
        ),
        ("<m:eqArr><m:e>a=1</m:e><m:e>b=2</m:e></m:eqArr>", "a=1; b=2"),
        ("<m:borderBox><m:e>x</m:e></m:borderBox>", "x"),
    ],
)
def test_formulas(formula: str, expected: str) -> None:
    for name in ("e", "sub", "sup", "num", "den", "deg", "fName", "lim"):
        formula = formula.replace(f"<m:{name}>", f"<m:{name}><m:r><m:t>").replace(
            f"</m:{name}>", f"</m:t></m:r></m:{name}>"
        )
    assert text_of(p(f"<m:oMath>{formula}</m:oMath>")) == expected
    assert text_of(f"<m:oMathPara><m:oMath>{formula}</m:oMath></m:oMathPara>") == expected


# -- paragraphs apart


def test_text_boxes_are_read_once() -> None:
    box = f"<w:txbxContent>{p('In the box')}</w:txbxContent>"
    both = (
        f"<mc:AlternateContent><mc:Choice Requires='wps'><w:drawing><wps:txbx>{box}</wps:txbx></w:drawing>"
        f"</mc:Choice><mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback>"
        "</mc:AlternateContent>"
    )
    assert text_of(p(f"<w:r>{both}</w:r>" + r("beside"))) == "beside\n\nIn the box"
    assert text_of(p(f"<w:r><w:pict><v:textbox>{box}</v:textbox></w:pict></w:r>")) == "In the box"
    assert (
        text_of(p("<w:r><w:pict><v:shape><v:textpath string='DRAFT'/></v:shape></w:pict></w:r>")) == "DRAFT"
    )


def test_a_drop_capital_belongs_to_its_word() -> None:
    assert text_of(p("T", '<w:framePr w:dropCap="drop"/>') + p("he cat")) == "The cat"


def test_notes() -> None:
    def mark(kind: str, name: int, more: str = "") -> str:
        return f"<w:r><w:{kind}Reference w:id='{name}'{more}/></w:r>"

    own = "<w:r><w:footnoteReference w:id='3' w:customMarkFollows='1'/><w:t>*</w:t></w:r>"
    notes = "".join([f"<w:footnote w:id='{n}'>{p(f'Footnote {n}.')}</w:footnote>" for n in (1, 2, 3)])
    body = (
        p(r("In 1998") + mark("footnote", 1) + r(" and 1999") + mark("endnote", 1) + own)
        + p("next")
        + table(row("a", cell(p(r("b") + mark("footnote", 2)))), row("1", "2"))
        + p(r("last") + mark("footnote", 9))
    )
    assert lines_of(body, footnotes=notes, endnotes=f"<w:endnote w:id='1'>{p('Endnote.')}</w:endnote>") == [
        *(
            "In 1998[^1] and 1999[^i][^*]",
            "[^1] Footnote 1.",
            "[^*] Footnote 3.",
            "next",
            "a | b[^2]",
            "1 | 2",
        ),
        *("[^2] Footnote 2.", "last[^3]", "[^i] Endnote."),
    ]
    settings = "<w:endnotePr><w:numFmt w:val='upperLetter'/></w:endnotePr>"
    assert text_of(p(r("x") + mark("endnote", 1)), settings=settings) == "x[^A]"


def test_headers_and_footers_once() -> None:
    section = (
        "<w:sectPr><w:headerReference w:type='default' r:id='header1'/>"
        "<w:headerReference w:type='first' r:id='header2'/><w:headerReference w:type='even' r:id='header3'/>"
        "<w:footerReference r:id='footer1'/>{}</w:sectPr>"
    )
    parts = {"header1": p("Acme"), "header2": p("Letter"), "header3": p("Acme"), "footer1": p("Page 1")}
    body = p("one", section.format("")) + p("two") + section.format("<w:titlePg/>")
    assert text_of(body, **parts) == "Acme\n\nLetter\n\none\n\ntwo\n\nPage 1"
    assert text_of(p("one") + section.format(""), **parts) == "Acme\n\none\n\nPage 1"
    parts["header3"] = p("Even")
    settings = "<w:evenAndOddHeaders/>"
    assert text_of(p("one") + section.format(""), settings=settings, **parts).startswith(
        "Acme\n\nEven\n\none"
    )


# -- tables


def test_tables() -> None:
    styles = style("C", called="caption")
    body = (
        styled("Table 1: Rents", "C")
        + table(
            row("Name", cell("Rent", "<w:gridSpan w:val='2'/>")),
            row(cell("Ann", "<w:vMerge w:val='restart'/>"), cell(p("1") + p("2")), ""),
            row(cell("", "<w:vMerge/>"), "3|", "4"),
            row("gone", properties="<w:del/>"),
            row("5", "6", properties="<w:gridBefore w:val='1'/>"),
        )
        + p("after")
    )
    heading = "Table 1: Rents\nName | Rent | Rent"
    assert extracted(docx(body, styles=styles)).parts == [
        Part(f"{heading}\nAnn | 1 2 |\nAnn | 3\\| | 4\n | 5 | 6", repeated=heading),
        Part("after"),
    ]


def test_rows_that_are_headings() -> None:
    header = "<w:tblHeader/>"
    body = table(row("a", "b", properties=header), row("c", "d", properties=header), row("1", "2"))
    assert extracted(docx(body)).parts[0].repeated == "a | b\nc | d"
    assert extracted(docx(table(row("a", "1"), row("b", "2")))).parts[0].repeated == ""
    assert extracted(docx(table(row("a", "Q1"), row("b", "2")))).parts[0].repeated == "a | Q1"


def test_tables_that_are_layout() -> None:
    styles = style("H1", called="heading 1")
    assert text_of(table(row(cell(styled("Name", "H1") + p("text")))), styles=styles) == "# Name\n\ntext"
    long = "word " * 300
    assert text_of(table(row(cell(p("side")), cell(p(long))))) == f"side\n\n{long.strip()}"


def test_a_table_in_a_table() -> None:
    inner = table(row("c", "d"), row("1", "2"))
    assert text_of(table(row("a", "b"), row("x", cell(inner + p(""))))) == "a | b\nx | c, d; 1, 2"


# -- what cannot be read, or is of another kind


def picture(width: int = 1, height: int = 1, described: str = "") -> str:
    return (
        f"<w:r><w:drawing><wp:inline><wp:extent cx='{width}' cy='{height}'/><wp:docPr descr='{described}'/>"
        "<a:blip/></wp:inline></w:drawing></w:r>"
    )


def test_pictures() -> None:
    assert text_of(p(r("See") + picture(described="A &amp; B"))) == "See [A & B]"
    few = extracted(docx(p(r("See") + picture() + picture())))
    assert few.remarks == [Remark("partial", "2 pictures without a description could not be read.")]
    text = p("word " * 100)
    assert not extracted(docx(text + p(picture()))).remarks
    scan = extracted(docx(text + p(picture(7_000_000, 9_000_000))))
    assert scan.remarks == [Remark("partial", "1 picture without a description could not be read.")]
    header = docx("<w:sectPr><w:headerReference r:id='header1'/></w:sectPr>" + p("x"), header1=p(picture()))
    assert not extracted(header).remarks


def test_objects_of_other_programs() -> None:
    thing = (
        "<w:r><w:object><v:shape><v:imagedata/></v:shape><o:OLEObject ProgID='Equation.3'/></w:object></w:r>"
    )
    found = extracted(docx(p("x" * 300) + p(thing)))
    assert found.remarks == [Remark("partial", "1 embedded object (Equation) could not be read.")]


def test_charts() -> None:
    points = "<c:pt idx='0'><c:v>{}</c:v></c:pt>"
    said = [
        f"<c:{tag}>{points.format(text)}</c:{tag}>"
        for tag, text in (("tx", "Rent"), ("cat", "2024"), ("val", "5"))
    ]
    series = f"<c:ser>{''.join(said)}</c:ser>"
    content = docx(p("<w:r><w:drawing><c:chart r:id='chart'/></w:drawing></w:r>"), chunks={"chart": b""})
    with ZipFile(BytesIO(content)) as archive:
        files: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    space = 'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'
    files["word/chart"] = f"<c:chartSpace {space}><c:chart>{series}</c:chart></c:chartSpace>"
    assert "2024 | 5" in extracted(packed(files)).parts[0].text


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (b"<html><p>10<sup>6</sup>", "10⁶"),
        (b"MIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<p>10<sup>6</sup>", "10⁶"),
        (b"plain", "plain"),
        (docx(p("inner")), "inner"),
        (b"{\\rtf1 inner}", "inner"),
    ],
)
def test_documents_in_the_document(chunk: bytes, expected: str) -> None:
    body = p("a") + "<w:altChunk r:id='chunk'/>" + p("b")
    parts = extracted(docx(body, chunks={"chunk": chunk})).parts
    assert [part.text for part in parts] == ["a", expected, "b"]


def test_documents_in_the_document_that_are_not_read() -> None:
    inner = docx(p("deep"))
    for _ in range(5):
        inner = docx("<w:altChunk r:id='chunk'/>" + p("x"), chunks={"chunk": inner})
    remark = Remark("partial", "A document that is embedded in this one could not be read.")
    assert extracted(inner).remarks == [remark]


def test_the_strict_kind_is_read() -> None:
    content = docx(p("Hello"))
    with ZipFile(BytesIO(content)) as archive:
        files: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    main = files["word/document.xml"]
    assert isinstance(main, bytes)
    files["word/document.xml"] = main.replace(
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        b"http://purl.oclc.org/ooxml/wordprocessingml/main",
    )
    assert extracted(packed(files)).parts == [Part("Hello")]


def test_a_package_that_does_not_say_what_is_in_it() -> None:
    content = docx(p("Hello"))
    with ZipFile(BytesIO(content)) as archive:
        files: dict[str, str | bytes] = {
            name: archive.read(name) for name in archive.namelist() if not name.endswith(".rels")
        }
    assert extracted(packed(files)).parts == [Part("Hello")]


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (docx("<nonsense"), "damaged"),
        (docx(p("x"))[:-30], "damaged"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "password"),
        (OLE + b"Word.Document.8", "older kind"),
        (docx(p("x"), doctype="<!DOCTYPE a [<!ENTITY b 'c'>]>"), "damaged"),
        (docx(""), "no text"),
    ],
)
def test_files_of_no_use(content: bytes, words: str) -> None:
    code, sentence = refusal(content)
    assert code == "invalid"
    assert words in sentence


@pytest.mark.parametrize(("name", "made", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files(name: str, made: Callable[[], bytes], words: str) -> None:
    content = BytesIO(made())
    if not words:
        assert extract(content, media_type(name)).parts
        return
    with pytest.raises(ChatError, match=words):
        extract(content, media_type(name))


def test_files_of_another_kind() -> None:
    for content in (b"Hello", packed({"other": ""}), packed({"[Content_Types].xml": ""})):
        assert refusal(content)[0] == "unsupported_media_type"
