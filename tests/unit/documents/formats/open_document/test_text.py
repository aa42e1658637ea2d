from io import BytesIO

import pytest
from office_files import open_document

from chatproxy.documents.formats.open_document.text import read
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError


def parts(body: str, **more: str) -> tuple[list[Part], list[Remark]]:
    reading = read(BytesIO(open_document("text", body, **more)))
    return list(reading.parts), list(reading.remarks)


def text(body: str, **more: str) -> str:
    return "\n\n".join([part.text for part in parts(body, **more)[0]])


def test_paragraphs_and_their_white_space() -> None:
    body = (
        '<text:p>a\n  b<text:s text:c="3"/>c<text:tab/>d<text:line-break/>e</text:p>'
        "<text:p/><text:p>f</text:p>"
    )
    assert text(body) == "a b   c\td\ne\n\nf"


def test_numbers_of_headings_and_lists_are_as_shown() -> None:
    outline = (
        "<text:outline-style>"
        '<text:outline-level-style text:level="1" style:num-format="1" style:num-suffix="."/>'
        '<text:outline-level-style text:level="2" style:num-format="1" text:display-levels="2"/>'
        "</text:outline-style>"
    )
    lists = (
        '<text:list-style style:name="L"><text:list-level-style-number text:level="1" style:num-format="a"'
        ' style:num-suffix=")" text:start-value="3"/>'
        '<text:list-level-style-number text:level="2" style:num-format="I"'
        ' style:num-prefix="(" style:num-suffix=")" text:display-levels="2"/></text:list-style>'
        '<text:list-style style:name="B">'
        '<text:list-level-style-bullet text:level="1" text:bullet-char="x"/></text:list-style>'
    )
    item = "<text:list-item><text:p>{}</text:p>{}</text:list-item>".format
    nested = f"<text:list>{item('inner', '')}</text:list>"
    body = (
        '<text:h text:outline-level="1">Rent</text:h><text:h text:outline-level="2">Due</text:h>'
        + f'<text:list text:style-name="L">{item("one", "") + item("two", nested)}</text:list>'
        + "<text:p>Between</text:p>"
        + f'<text:list text:style-name="L" text:continue-numbering="true">{item("three", "")}</text:list>'
        + f'<text:list text:style-name="B">{item("dot", "")}</text:list>'
        + f'<text:list text:style-name="L">{item("again", "")}</text:list>'
        + '<text:h text:outline-level="2">Paid</text:h><text:h text:outline-level="1">End</text:h>'
    )
    assert text(body, automatic=lists, styles=outline).replace("\n\n", "\n") == (
        "# 1. Rent\n## 1.1 Due\nc) one\nd) two\n  (d.I) inner\nBetween\ne)"
        " three\n- dot\nc) again\n## 1.2 Paid\n# 2. End"
    )


def test_a_number_that_the_file_has_is_taken() -> None:
    body = (
        '<text:list text:style-name="L"><text:list-item><text:number>§ 4</text:number><text:p>Cats</text:p>'
        "</text:list-item></text:list>"
    )
    assert text(body) == "§ 4 Cats"


def test_tables() -> None:
    cell = "<table:table-cell {}><text:p>{}</text:p></table:table-cell>".format
    row = "<table:table-row>{}</table:table-row>".format
    body = (
        "<table:table><table:table-header-rows>"
        + row(cell("", "City") + cell("", "") + cell("", "Rent"))
        + "</table:table-header-rows>"
        + row(cell('table:number-rows-spanned="2"', "Kiel") + cell("", "a") + cell("", "5"))
        + row("<table:covered-table-cell/>" + cell('table:number-columns-repeated="2"', "6"))
        + "</table:table><text:p>End</text:p>"
    )
    assert parts(body)[0] == [
        Part("City |  | Rent\nKiel | a | 5\nKiel | 6 | 6", repeated="City |  | Rent"),
        Part("End"),
    ]


def test_what_is_shown_and_what_is_not() -> None:
    styles = (
        '<style:style style:family="text" style:name="up">'
        '<style:text-properties style:text-position="super 58%"/></style:style>'
        '<style:style style:family="text" style:name="above" style:parent-style-name="up"/>'
        '<style:style style:family="text" style:name="down">'
        '<style:text-properties style:text-position="-33% 58%"/></style:style>'
        '<style:style style:family="text" style:name="gone">'
        '<style:text-properties text:display="none"/></style:style>'
        '<style:style style:family="text" style:name="cycle" style:parent-style-name="cycle"/>'
    )
    body = (
        "<text:tracked-changes><text:changed-region><text:deletion><text:p>deleted</text:p></text:deletion>"
        "</text:changed-region></text:tracked-changes>"
        '<text:p>10<text:span text:style-name="above">6</text:span>'
        ' H<text:span text:style-name="down">2</text:span>'
        '<text:span text:style-name="gone">hidden</text:span><text:span text:style-name="cycle">O</text:span>'
        "<office:annotation><text:p>comment</text:p></office:annotation>"
        "<text:note><text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>See below.</text:p></text:note-body>"
        "</text:note><draw:frame><draw:text-box><text:p>Boxed</text:p></draw:text-box></draw:frame></text:p>"
        '<text:section text:display="none"><text:p>hidden</text:p></text:section>'
        "<text:section><text:p>Shown</text:p></text:section>"
        "<text:p><draw:frame><draw:image/></draw:frame></text:p>"
    )
    found, remarks = parts(body, automatic=styles)
    assert found == [Part("10⁶ H₂O[^1]\n\nBoxed\n\n[^1] See below.\n\nShown")]
    assert remarks == [Remark("partial", "Pictures in the file are not read (1).")]


def test_struck_text_is_marked() -> None:
    styles = (
        '<style:style style:family="text" style:name="old">'
        '<style:text-properties style:text-line-through-style="solid"/></style:style>'
    )
    body = '<text:p>Rent <text:span text:style-name="old">$900 </text:span>$950</text:p>'
    assert text(body, automatic=styles) == "Rent ~~$900~~ $950"


def test_headers_and_footers_once() -> None:
    page = (
        '<style:master-page style:name="{}"><style:header>'
        "<text:p>ACME <text:page-number>1</text:page-number></text:p>"
        "</style:header><style:footer><text:p>Secret</text:p></style:footer></style:master-page>"
    ).format
    assert text("<text:p>Text</text:p>", styles=page("a") + page("b")) == "ACME\n\nText\n\nSecret"


def test_fields_of_forms() -> None:
    body = (
        '<office:forms><form:form><form:text form:id="a" form:current-value="Ann"/><form:checkbox form:id="b"'
        ' form:label="Paid" form:current-state="checked"/><form:radio xml:id="c" form:label="No"/>'
        '<form:listbox form:id="d"><form:option form:label="x"/>'
        '<form:option form:label="y" form:current-selected="true"/>'
        '</form:listbox></form:form></office:forms><text:p>Name: <draw:control draw:control="a"/>,'
        ' <draw:control draw:control="b"/> <draw:control draw:control="c"/> <draw:control draw:control="d"/>'
        "</text:p>"
    )
    assert text(body) == "Name: Ann, ☒ Paid ☐ No y"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (open_document("spreadsheet", ""), "not an ODT"),
        (
            open_document(
                "text", "", manifest="<manifest:file-entry><manifest:encryption-data/></manifest:file-entry>"
            ),
            "locked",
        ),
        (open_document("text", "<text:p>Hello</text:p>")[:-50], "damaged"),
        (open_document("text", "<text:p>"), "damaged"),
        (open_document("text", "<text:section>" * 260 + "</text:section>" * 260), "damaged"),
    ],
)
def test_what_is_not_read(content: bytes, said: str) -> None:
    with pytest.raises(ChatError, match=said):
        list(read(BytesIO(content)).parts)


def test_cells_that_repeat_for_ever() -> None:
    cells = '<table:table-cell table:number-columns-repeated="9999999"><text:p>x</text:p></table:table-cell>'
    rows = f'<table:table-row table:number-rows-repeated="99999999">{cells}</table:table-row>'
    with pytest.raises(ChatError) as refused:
        parts(f"<table:table>{rows}</table:table>")
    assert refused.value.code == "too_large"
