from io import BytesIO

import pytest
from office_files import OFFICE, RELATIONS, packed, relations, row, xlsx

from chatproxy.documents.formats.office import sheets
from chatproxy.documents.formats.office.workbooks import read
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError


def parts(content: bytes) -> tuple[list[Part], list[Remark]]:
    reading = read(BytesIO(content))
    return list(reading.parts), list(reading.remarks)


def text(content: bytes) -> str:
    return "\n\n".join(part.text for part in parts(content)[0])


def refusal(content: bytes) -> ChatError:
    with pytest.raises(ChatError) as refused:
        parts(content)
    return refused.value


def test_each_sheet_is_a_table_below_its_name() -> None:
    content = xlsx(
        {"Rates": row("City", "Rent") + row("Berlin", 12.5) + row(None, 7), "Notes": row("Seen by Ann")}
    )
    assert parts(content) == (
        [
            Part("## Rates\nCity | Rent\nBerlin | 12.5\n | 7", repeated="## Rates\nCity | Rent"),
            Part("## Notes\nSeen by Ann"),
        ],
        [],
    )


def test_values_are_as_shown() -> None:
    cells = [
        '<c s="1"><v>0.125</v></c>',
        '<c s="2"><v>45356</v></c>',
        '<c s="3"><v>421</v></c>',
        "<c><v>0.30000000000000004</v></c>",
        "<c><v>4012888888881881</v></c>",
        '<c t="b"><v>1</v></c>',
        '<c t="e"><v>#N/A</v></c>',
        '<c t="str"><f>A1&amp;"x"</f><v>joined</v></c>',
        '<c t="d"><v>2024-03-05</v></c>',
        '<c t="s"><v>0</v></c>',
    ]
    strings = (
        "<si><r><t>10</t></r><r><rPr><vertAlign val='superscript'/></rPr><t>6</t></r><r><t> m_x000A_a</t></r>"
        "<rPh><t>pronounced</t></rPh></si>"
    )
    content = xlsx({"A": row(*cells)}, strings=strings, styles=["0.0%", "dd/mm/yyyy", "00000"])
    assert text(content) == (
        "## A\n12.5% | 2024-03-05 | 00421 | 0.3 | 4012888888881881"
        " | TRUE | #N/A | joined | 2024-03-05 | 10⁶ m a"
    )


def test_formulas_without_values_are_said() -> None:
    content = xlsx(
        {"A": row("Item", "Sum") + row("<c><f>SUM(A1:A2)</f></c>", '<c t="str"><f>""</f><v></v></c>')}
    )
    found, remarks = parts(content)
    assert found[0].text.endswith("=SUM(A1:A2) | ")
    assert [remark.message[:28] for remark in remarks] == ["The values of 1 formulas wer"]


def test_several_tables_on_a_sheet() -> None:
    sheet = (
        '<row r="1"><c r="B1" t="inlineStr"><is><t>Prices of 2024</t></is></c></row>'
        '<row r="3"><c r="B3" t="inlineStr"><is><t>Item</t></is></c>'
        '<c r="D3" t="inlineStr"><is><t>Price</t></is></c></row>'
        '<row r="4"><c r="B4" t="inlineStr"><is><t>Tea</t></is></c><c r="D4"><v>3</v></c></row>'
        '<row r="6"><c r="B6" t="inlineStr"><is><t>Milk</t></is></c><c r="D6"><v>4</v></c></row>'
        '<row r="9"><c r="A9" t="inlineStr"><is><t>Town</t></is></c>'
        '<c r="B9" t="inlineStr"><is><t>Shops</t></is></c></row>'
        '<row r="10"><c r="A10" t="inlineStr"><is><t>Rome</t></is></c><c r="B10"><v>2</v></c></row>'
    )
    heading = "## A\nPrices of 2024\nItem | Price"
    assert parts(xlsx({"A": sheet}))[0] == [
        Part(f"{heading}\nTea | 3", repeated=heading),
        Part("## A\nItem | Price\nMilk | 4", repeated="## A\nItem | Price"),
        Part("## A\nTown | Shops\nRome | 2", repeated="## A\nTown | Shops"),
    ]


def test_rows_that_stay_on_the_screen_are_headings() -> None:
    pane = '<sheetViews><sheetView><pane ySplit="2" state="frozen"/></sheetView></sheetViews>'
    rows = row("Year", 2023, 2024) + row("Quarter", 1, 1) + row("Rent", 5, 6)
    (found,) = parts(xlsx({"A": f"{pane}<sheetData>{rows}</sheetData>"}))[0]
    assert found.repeated == "## A\nYear | 2023 | 2024\nQuarter | 1 | 1"


def test_a_table_of_values_alone_has_no_heading() -> None:
    assert parts(xlsx({"A": row(1, 2) + row(3, 4)}))[0] == [Part("## A\n1 | 2\n3 | 4", repeated="## A")]


@pytest.mark.parametrize(
    "headings",
    [
        ("Region", "Q1", "Q2"),
        ("Item", "H1", "FY23"),
        ("Name", "Feb 2024", "Day 2"),
        ("Name", "2023/24", "2024-25"),
        ("Station", "CO2", "PM10"),
        ("Name", "2024-01-31", "29.02.2024"),
    ],
)
def test_headings_may_have_numbers(headings: tuple[str, str, str]) -> None:
    repeated = f"## A\n{' | '.join(headings)}"
    (found,) = parts(xlsx({"A": row(*headings) + row("North", 5, 6.5) + row("South", 7, 8)}))[0]
    assert found == Part(f"{repeated}\nNorth | 5 | 6.5\nSouth | 7 | 8", repeated=repeated)


@pytest.mark.parametrize(
    "first", [("Berlin", "€12.50", "ab-1"), ("Berlin", "2024-01-31", "5 kg"), ("Berlin", "EUR 12", "yes")]
)
def test_a_first_row_that_is_like_the_others_is_no_heading(first: tuple[str, str, str]) -> None:
    others = [tuple(cell.replace("1", number) for cell in first) for number in "27"]
    (found,) = parts(xlsx({"A": "".join([row(*each) for each in (first, *others)])}))[0]
    assert found.repeated == "## A"


def test_merged_cells_stand_in_each_row() -> None:
    rows = row("Region", "City", "Rent") + row("North", "Kiel", 5) + row(None, "Bremen", 6) + row(1, 2, 3)
    merged = '<mergeCells><mergeCell ref="A2:A3"/><mergeCell ref="A4:C4"/></mergeCells>'
    found = text(xlsx({"A": f"<sheetData>{rows}</sheetData>{merged}"}))
    assert found.endswith("North | Kiel | 5\nNorth | Bremen | 6\n1 | 2 | 3")


def test_headings_of_two_rows() -> None:
    rows = row("Year", "North") + row(None, "in", "out") + row(2024, 1, 2) + row(2025, 3, 4)
    merged = '<mergeCells><mergeCell ref="A1:A2"/><mergeCell ref="B1:C1"/></mergeCells>'
    (found,) = parts(xlsx({"A": f"<sheetData>{rows}</sheetData>{merged}"}))[0]
    assert found.repeated == "## A\nYear | North | North\nYear | in | out"


def test_hidden_sheets_are_marked_and_comments_left_out() -> None:
    content = xlsx({"A": row("x", "y") + row(1, 2), "B": row("secret")}, states={"B": "veryHidden"})
    assert text(content).endswith("## B (hidden)\nsecret")


def test_charts_and_pictures_are_said_and_shapes_read() -> None:
    drawing = (
        f'<xdr:wsDr xmlns:xdr="x" xmlns:a="{OFFICE}/drawingml/2006/main">'
        "<a:p><a:r><a:t>Shaped</a:t></a:r></a:p></xdr:wsDr>"
    )
    more = {
        "xl/worksheets/_rels/sheet1.xml.rels": relations(("drawing", "../drawings/drawing1.xml")),
        "xl/drawings/drawing1.xml": drawing,
        "xl/drawings/_rels/drawing1.xml.rels": relations(("image", "../media/image1.png")),
        "xl/media/image1.png": "",
    }
    found, remarks = parts(xlsx({"A": row("x", 1)}, more=more))
    assert found[-1].text == "## A\nShaped"
    assert remarks == [Remark("partial", "Charts and pictures are not read: there are some on A.")]


def test_days_of_a_workbook_that_counts_from_1904() -> None:
    content = xlsx(
        {"A": row('<c s="1"><v>43894</v></c>')}, styles=["yyyy-mm-dd"], settings='<workbookPr date1904="1"/>'
    )
    assert text(content) == "## A\n\n2024-03-05"


def test_a_strict_workbook() -> None:
    ns = "http://purl.oclc.org/ooxml"
    content = packed(
        {
            "[Content_Types].xml": "",
            "_rels/.rels": relations(("officeDocument", "book.xml")).replace(
                RELATIONS, f"{ns}/officeDocument/relationships"
            ),
            "book.xml": f'<workbook xmlns="{ns}/spreadsheetml/main"'
            f' xmlns:r="{ns}/officeDocument/relationships">'
            '<sheets><sheet name="A" r:id="rId1"/></sheets></workbook>',
            "_rels/book.xml.rels": relations(("worksheet", "/sheet.xml")),
            "sheet.xml": f'<worksheet xmlns="{ns}/spreadsheetml/main">'
            f"<sheetData>{row(7)}</sheetData></worksheet>",
        }
    )
    assert text(content) == "## A\n\n7"


def test_what_is_no_workbook() -> None:
    word = packed(
        {"[Content_Types].xml": "", "_rels/.rels": relations(("officeDocument", "a.xml")), "a.xml": "<a/>"}
    )
    assert refusal(word).code == "unsupported_media_type"
    assert "not an XLSX" in str(refusal(word))
    assert "damaged" in str(refusal(xlsx({"A": "<row><c r='nonsense'/></row>"})))
    assert "damaged" in str(refusal(xlsx({"A": row('<c t="s"><v>5</v></c>')})))
    assert "damaged" in str(refusal(xlsx({"A": "<row>"})))


@pytest.mark.parametrize(
    "sheet",
    [
        "".join(f'<row r="{n}"><c r="{"ABCDEFGHIJ"[n % 10]}{n}"><v>1</v></c></row>' for n in range(1, 99)),
        row(*range(99)),
        f"<sheetData>{row('a', 'b') * 40}</sheetData><mergeCells>"
        + '<mergeCell ref="A1:B40"/>' * 3
        + "</mergeCells>",
    ],
)
def test_too_many_cells(sheet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_CELLS", 90)
    assert refusal(xlsx({"A": sheet})).code == "too_large"


def test_too_much_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_TEXT", 90)
    strings = f"<si><t>{'x' * 10}</t></si>"
    assert refusal(xlsx({"A": row('<c t="s"><v>0</v></c>') * 10}, strings=strings)).code == "too_large"
