from collections.abc import Sequence

import pytest

from chatproxy.documents.chunks import split
from chatproxy.documents.notation import tables
from chatproxy.documents.notation.tables import Cell, Table, parts_of
from chatproxy.documents.parts import Part
from chatproxy.errors import ChatError


def table(*rows: Sequence[str | Cell], caption: str = "") -> Table:
    made = Table(caption)
    for row in rows:
        made.add([cell if isinstance(cell, Cell) else Cell(cell) for cell in row])
    return made


def test_rows_are_lines_and_the_first_repeats() -> None:
    made = table(["Name", "Rent"], ["Ann\nBee", "1|2"], ["", "3"], caption="Rents")
    assert made.part() == Part("Rents\nName | Rent\nAnn Bee | 1\\|2\n | 3", repeated="Rents\nName | Rent")
    assert made.part(headings=0).repeated == "Rents"


@pytest.mark.parametrize("caption", ["", "Rents"])
def test_a_wide_table_names_its_cells(caption: str) -> None:
    names = [f"Column {column} name" for column in range(60)]
    rows = [[f"{row}.{column}" for column in range(60)] for row in range(1, 9)]
    found = [chunk.text for chunk in split([table(names, *rows, caption=caption).part()])]
    for row in range(1, 9):
        (chunk,) = [chunk for chunk in found if f"  Column 57 name: {row}.57" in chunk.split("\n")]
        assert f"Column 0 name: {row}.0" in chunk.split("\n")


def test_a_wide_table_that_would_grow_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_MAX_NAMED", 1000)
    names = ["a long name " * 10 for _ in range(9)]
    assert ": 1" not in table(names, ["1"] * 9).part().text


def test_columns_line_up() -> None:
    made = table(["a", "", "", "d"], ["1", "", "3"], ["", "", "", ""], ["", "", "3", "4"])
    assert made.part().text == "a |  | d\n1 | 3 | \n | 3 | 4"


@pytest.mark.parametrize(
    "rows",
    [[["only"]], [["one"], ["two"]], [["", "one"], ["", "two"]]],
)
def test_one_column_is_text(rows: list[list[str]]) -> None:
    part = table(*rows, caption="Title").part()
    assert part.text.split("\n\n") == ["Title", *[cell for row in rows for cell in row if cell]]
    assert not part.repeated


def test_cells_that_cover_rows_and_columns() -> None:
    made = table(
        [Cell("Year", rows=2), Cell("North", columns=2), Cell("South", columns=2)],
        ["in", "out", "in", "out"],
        ["2024", Cell("1", rows=2), "2", Cell("3", columns=2)],
        [Cell("2025", columns=1), "5", "6", "7"],
        [Cell("none", columns=5)],
    )
    assert made.part() == Part(
        "Year | North | North | South | South\n"
        "Year | in | out | in | out\n"
        "2024 | 1 | 2 | 3 | \n"
        "2025 | 1 | 5 | 6 | 7\n"
        "none",
        repeated="Year | North | North | South | South\nYear | in | out | in | out",
    )


def test_cells_that_go_on_with_the_one_above() -> None:
    made = table(["a", "b"], ["1", "2"], [Cell(None), "3"], [Cell(None), Cell(None)])
    assert made.part().text == "a | b\n1 | 2\n1 | 3\n1 | 3"


def test_a_title_across_the_table_is_above_its_headings() -> None:
    made = table([Cell("Rents", columns=2)], ["Name", "Rent"], ["Ann", "1"])
    assert made.part().repeated == "Rents\nName | Rent"


def test_covering_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_CELLS", 3000)
    made = table([Cell("a", columns=10**9), "b"])
    assert made.part(headings=0).text == "a | b"
    with pytest.raises(ChatError) as refused:
        table(*[[Cell("a", columns=999)]] * 4)
    assert refused.value.code == "too_large"


def test_a_table_is_a_part_of_its_own() -> None:
    made = Part("a | b")
    assert list(parts_of(["1", "2", made, made, "3"])) == [Part("1\n\n2"), made, made, Part("3")]
