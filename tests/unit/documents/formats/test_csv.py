from io import BytesIO

import pytest
from cost import seconds

from chatproxy.documents.chunks import MAX_CHUNK, split
from chatproxy.documents.extract import extract
from chatproxy.documents.formats import csv
from chatproxy.documents.names import CSV


def chunks(table: str) -> list[str]:
    return [chunk.text for chunk in split(extract(BytesIO(table.encode()), CSV).parts)]


def rows(pattern: str, count: int = 400) -> str:
    """Return so many lines, each with its number in place of `#`."""
    return "\n".join([pattern.replace("#", str(number)) for number in range(count)])


@pytest.mark.parametrize(
    ("table", "headings"),
    [
        ("id,name,paid\n" + rows("#,Ada #,2026-01-05"), "id,name,paid"),
        ("Name;Betrag\n" + rows("Müller #;#,50"), "Name;Betrag"),
        ("name\tcity\t\n" + rows("Ada #\t\t"), "name | city |"),
        ("\tname\tcity\n" + rows("#\tAda #\tEly"), "| name | city"),
        ("name|note\n" + rows("Ada #|none, so far"), "name|note"),
        ("sep=|\nname|note\n" + rows("#|none"), "name|note"),
        ('"full, name","paid"\n' + rows('"Lovelace, #","#"'), '"full, name","paid"'),
        ('"of\nwhom",paid\n' + rows("Ada,#"), "of whom,paid"),
        ("\ufeffid,name\n" + rows("#,Ada"), "id,name"),
        ("Sales of May\n\nid,name,net\n" + rows("#,Ada,#.5"), "id,name,net"),
        ("Sales of May,,\n,,\nid,name,net\n" + rows("#,Ada,#.5"), "id,name,net"),
        ("Country,2019,2020\n" + rows("C#,5#,6#"), "Country,2019,2020"),
        ("Name,2023/24,2024/25\n" + rows("C#,5#,6#"), "Name,2023/24,2024/25"),
        ("Name,2024-01-31,01.05.\n" + rows("C#,5#,6#"), "Name,2024-01-31,01.05."),
        ("Name,City\n" + rows("Ada #,Ely #"), "Name,City"),
        ("id,size\n" + rows('#,5" wide'), "id,size"),
        ("id;note\r\n" + rows('#;"two\r\nlines"'), "id;note"),
    ],
)
def test_each_chunk_begins_with_the_headings(table: str, headings: str) -> None:
    first, *others = chunks(table)
    assert headings in first.split("\n")
    assert len(others) > 1
    assert {chunk.partition("\n")[0] for chunk in others} == {headings}


@pytest.mark.parametrize(
    "table",
    [
        rows("#,Ada,2026-01-05"),
        rows("Ada;12.50 €;yes"),
        rows("Ada,London"),
        rows("Room #,Floor #"),
        rows("2019,Berlin"),
        rows("10.0.0.#,5 ms"),
    ],
)
def test_a_first_row_that_is_like_the_others_is_not_repeated(table: str) -> None:
    found = chunks(table)
    assert len(found) > 1
    assert "\n".join(found) == table


def test_text_that_is_no_table() -> None:
    text = "Hello, this is a letter. It has commas, too.\n\nAnd one line without.\nYours, truly, Ada"
    assert chunks(text) == [text]


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('1,"two\nlines, and a ""quote""",', '1,"two lines, and a ""quote""",'),
        ('2,"left open', '2,"left open'),
        ("3,,", "3,,"),
        ("4,é", "4,é"),
        ("5,more,cells,than,others", "5,more,cells,than,others"),
    ],
)
def test_rows_are_lines(line: str, shown: str) -> None:
    table = f"id,note,paid\n{rows('#,text,', 9)}\n{line}\n{rows('#,text,', 9)}"
    (chunk,) = chunks(table)
    assert shown in chunk.split("\n")
    assert len(chunk.split("\n")) == 20


@pytest.mark.parametrize("table", ["id,name", "id,name\n1", ",\n1,2", "sep=;\nid;name"])
def test_tables_of_a_row(table: str) -> None:
    assert chunks(table) == [table.removeprefix("sep=;\n").removeprefix(",\n")]


def test_no_row_is_cut() -> None:
    found = chunks("id,note\n" + rows("#," + "x y. " * 20))
    assert {line.count(",") for chunk in found for line in chunk.split("\n")} == {1}
    assert sorted({int(line.split(",")[0]) for chunk in found for line in chunk.split("\n")[1:]}) == [
        *range(400)
    ]


def test_a_row_that_is_too_long_names_its_cells() -> None:
    long = "A long story. " * 200
    found = chunks(f"id,story,,paid\n1,short,,5\n2,{long},x,7\n3,short,,9")
    assert found[0] == "id,story,,paid\n1,short,,5"
    assert found[1].startswith("id: 2\nstory: A long story.")
    assert all(chunk.startswith("id: 2\nstory: A long") for chunk in found[1:-1])
    assert any("\n3: x\npaid: 7" in chunk for chunk in found)
    assert "id,story,,paid\n3,short,,9" in found[-1]


def test_a_wide_table_names_its_cells() -> None:
    names = [f"measure_{column}" for column in range(300)]
    table = "\n".join(
        [",".join(names), *[",".join(f"{row}.{column}" for column in range(300)) for row in (1, 2)]]
    )
    found = chunks(table)
    assert "\n".join(names[:50]) in found[0]
    assert "\n".join(names[-30:]) in found[3]
    for row in (1, 2):
        (chunk,) = [chunk for chunk in found if f"measure_217: {row}.217" in chunk.split("\n")]
        assert chunk.startswith(f"measure_0: {row}.0\n")


def test_a_wide_table_that_would_grow_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    table = ",".join([f"measure_{column}" for column in range(300)]) + "\n" + rows("#" + ",1" * 299, 9)
    monkeypatch.setattr(csv, "MAX_TEXT", 2 * len(table))
    found = chunks(table)
    assert all(len(chunk) <= MAX_CHUNK for chunk in found)
    assert not any(": 1" in chunk for chunk in found)
    assert sum(map(len, found)) < 2 * len(table)


@pytest.mark.parametrize("unit", ['"', '"\n', 'a,"', ",", "a,\n", "\t", '"a"b,', '"a\n,\n', "|\n"])
def test_time_grows_with_the_table(unit: str) -> None:
    def read(count: int) -> float:
        text = "id,name\n" + unit * count
        return seconds(lambda: [*csv.read(BytesIO(text.encode())).parts])

    assert read(8000) < 6 * max(read(4000), 0.005)


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    (chunk,) = chunks("name\tcount\nx|y\t2\nz\t3\n")
    assert chunk == "name | count\nx\\|y | 2\nz | 3"
