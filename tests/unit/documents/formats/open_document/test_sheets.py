from io import BytesIO

import pytest
from office_files import open_document

from chatproxy.documents.formats.open_document.sheets import read
from chatproxy.documents.parts import Part, Remark
from chatproxy.errors import ChatError


def parts(body: str, **more: str) -> tuple[list[Part], list[Remark]]:
    reading = read(BytesIO(open_document("spreadsheet", body, **more)))
    return list(reading.parts), list(reading.remarks)


def cell(text: str, more: str = "") -> str:
    return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"


def row(*cells: str, more: str = "") -> str:
    return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"


def table(name: str, *rows: str, style: str = "") -> str:
    return f'<table:table table:name="{name}" table:style-name="{style}">{"".join(rows)}</table:table>'


def test_sheets_with_values_as_shown() -> None:
    hidden = (
        '<style:style style:family="table" style:name="h">'
        '<style:table-properties table:display="false"/></style:style>'
    )
    date = 'office:value-type="date" office:date-value="2024-03-05T14:30:00"'
    first = table(
        "Rates",
        row(cell("City"), cell("Rate"), cell("From")),
        row(
            cell("Kiel"),
            cell("12,5 %", 'office:value-type="percentage" office:value="0.125"'),
            cell("05.03.24", date),
        ),
        row(
            '<table:table-cell office:value-type="float" office:value="0.30000000000000004"/>',
            cell("x"),
            cell("y"),
        ),
        row(
            cell("z<office:annotation><text:p>comment</text:p></office:annotation>"),
            '<table:table-cell table:formula="of:=SUM([.A1:.A2])"/>',
            '<table:table-cell table:number-columns-repeated="16381"/>',
        ),
        row(
            '<table:table-cell table:number-columns-repeated="16384"/>',
            more='table:number-rows-repeated="1048570"',
        ),
    )
    found, remarks = parts(first + table("Old", row(cell("secret")), style="h"), automatic=hidden)
    heading = "## Rates\nCity | Rate | From"
    lines = f"{heading}\nKiel | 12,5 % | 2024-03-05 14:30\n0.3 | x | y\nz | =SUM([.A1:.A2]) | "
    assert found == [Part(lines, repeated=heading), Part("## Old (hidden)\nsecret")]
    assert [remark.message[:27] for remark in remarks] == ["The values of 1 formulas we"]


def test_merged_cells_and_pictures() -> None:
    body = table(
        "A",
        row(cell("Region"), cell("City"), cell("Rent")),
        row(cell("North", 'table:number-rows-spanned="2"'), cell("Kiel"), cell("5")),
        row(
            "<table:covered-table-cell/>",
            cell("Bremen"),
            "<table:table-cell><draw:frame><draw:image/></draw:frame></table:table-cell>",
        ),
    )
    found, remarks = parts(body)
    assert found[0].text.endswith("North | Kiel | 5\nNorth | Bremen | ")
    assert remarks == [Remark("partial", "Charts and pictures are not read: there are some on A.")]


def test_rows_that_repeat() -> None:
    assert parts(table("A", row(cell("x"), cell("y"), more='table:number-rows-repeated="2"')))[0][0].text == (
        "## A\nx | y\nx | y"
    )
    with pytest.raises(ChatError) as refused:
        parts(
            table(
                "A",
                row(
                    cell("x", 'table:number-columns-repeated="16384"'),
                    more='table:number-rows-repeated="1048576"',
                ),
            )
        )
    assert refused.value.code == "too_large"


def test_what_is_no_spreadsheet() -> None:
    with pytest.raises(ChatError, match="not an ODS"):
        list(read(BytesIO(open_document("text", ""))).parts)
