"""The order in which a PDF is read: columns, notes, tables, and what pages repeat."""

from pathlib import Path

import pytest
from pdf_files import Pdf, lines, pdf, put, rule
from reading import read_pdf

DATA = Path(__file__).parents[2] / "data" / "documents"
LEFT = [
    "The first column begins here and",
    "goes on for a while with words that",
    "fill its lines, as those of a paper",
    "do, until its end has come at last.",
]
RIGHT = [
    "The second column is beside it and",
    "says something else, which must not",
    "be mixed with what is to the left of",
    "it, line by line, as it often is.",
]
THIRD = [
    "A third column stands to the right",
    "of both, in the same type, and it is",
    "as long as the others are, so that",
    "three columns fill this whole page.",
]


def said(*pages: str) -> list[str]:
    return [part.text for part in read_pdf(pdf(*pages)).parts]


def in_turns(*columns: tuple[float, float, list[str]]) -> str:
    """Return operators that write the first line of each column, then the second."""
    return "".join([put(x, y - 12 * number, texts[number]) for number in range(4) for x, y, texts in columns])


@pytest.mark.parametrize("shift", [0, 5])
def test_two_columns_below_a_heading(shift: float) -> None:
    heading = put(120, 740, "A heading across both of the columns", 14)
    page = heading + in_turns((50, 700, LEFT), (300, 700 - shift, RIGHT)) + put(50, 600, "x" * 90)
    assert said(page)[0].split("\n\n") == [
        "A heading across both of the columns",
        "\n".join(LEFT),
        "\n".join(RIGHT),
        "x" * 90,
    ]


def test_three_columns() -> None:
    page = in_turns((30, 700, LEFT), (225, 700, RIGHT), (420, 700, THIRD))
    assert said(page)[0].split("\n\n") == ["\n".join(LEFT), "\n".join(RIGHT), "\n".join(THIRD)]


def test_a_bar_beside_the_text() -> None:
    page = in_turns((200, 700, LEFT)) + lines(
        50, 698, "Opening hours", "Monday to Friday", "nine to five", "by arrangement", size=8, leading=10
    )
    assert said(page)[0].split("\n\n") == [
        "Opening hours\nMonday to Friday\nnine to five\nby arrangement",
        "\n".join(LEFT),
    ]


def test_notes_come_after_the_text_of_their_page() -> None:
    left = [*LEFT[:3], "do, as was said."]
    page = in_turns((50, 700, left), (300, 700, RIGHT)) + put(130, 668, "1", 6)
    page += put(50, 640, "1", 4) + put(52, 637, "A note below the first column.", 7)
    assert said(page)[0].split("\n\n") == [
        "\n".join(left) + "[^1]",
        "\n".join(RIGHT),
        "[^1] A note below the first column.",
    ]


def test_lists_with_marks_far_from_their_text() -> None:
    page = (
        put(50, 700, "1.")
        + put(80, 700, "The tenant pays the rent")
        + put(80, 688, "on the first of the month.")
    )
    page += put(50, 676, "(a)") + put(80, 676, "in advance") + put(50, 664, "•") + put(80, 664, "in euros")
    page += put(50, 652, "4.2") + put(80, 652, "Nothing else")
    assert said(page) == [
        "1. The tenant pays the rent\non the first of the month.\n"
        "(a) in advance\n• in euros\n4.2 Nothing else"
    ]


def table(
    y: float, *rows: tuple[str, ...], columns: tuple[float, ...] = (50, 200, 300), leading: float = 14
) -> str:
    return "".join(
        [
            put(x, y - leading * number, cell)
            for number, row in enumerate(rows)
            for x, cell in zip(columns, row, strict=False)
            if cell
        ]
    )


def test_a_table_by_the_places_of_its_cells() -> None:
    rows = ("Flat", "Rooms", "Rent"), ("North", "3", "900"), ("South", "", "750"), ("Attic", "2", "")
    page = put(
        50, 740, "The rents of this house, which hold until the end of the next year, are as follows."
    ) + table(710, *rows)
    before, found, after = read_pdf(
        pdf(page + put(50, 640, "All of them are paid in advance, on the first day of the month, in euros."))
    ).parts
    assert found.text == "Flat | Rooms | Rent\nNorth | 3 | 900\nSouth |  | 750\nAttic | 2 |"
    assert found.repeated == "Flat | Rooms | Rent"
    assert (before.text[:9], after.text[:11]) == ("The rents", "All of them")


def test_cells_of_several_lines_between_lines_of_a_table() -> None:
    cells = table(
        700,
        ("Flat", "Rent", "Remark"),
        ("North", "900", "with a garden"),
        ("", "", "and a cellar"),
        ("South", "750", "none"),
    )
    ruled = "".join([rule(45, y, 400) for y in (712, 697, 669, 655)])
    (found,) = read_pdf(pdf(cells + ruled)).parts
    assert found.text == "Flat | Rent | Remark\nNorth | 900 | with a garden and a cellar\nSouth | 750 | none"


def test_a_line_of_a_cell_that_is_nearer_than_the_next_row() -> None:
    cells = table(
        700,
        ("Flat", "Rent", "Remark"),
        ("North", "900", "with a garden"),
        ("South", "750", "none"),
        leading=30,
    )
    (found,) = read_pdf(pdf(cells + put(300, 659, "and a cellar"))).parts
    assert found.text == "Flat | Rent | Remark\nNorth | 900 | with a garden and a cellar\nSouth | 750 | none"


def test_a_file_of_chromium() -> None:
    """It is tagged, and says which cells are headings, and how many rows and columns each covers."""
    parts = read_pdf((DATA / "tagged.pdf").read_bytes()).parts
    before, found, after = [part.text for part in parts]
    assert before.split("\n\n") == [
        "Rates and areas",
        "The area is 10⁶ m², of H₂O, 5×10⁻³, 3½ and ⅝; the 1st “office” is fine.",  # noqa: RUF001
        "Rents",
    ]
    long = "Bo who has a name that goes on over more than one line of the cell, as names of companies may do"
    assert found.split("\n") == [
        "Name | Rent | Rent",
        "Name | 2024 | 2025",
        "Anna |  | 5",
        f"{long} | 1 | 2",
        f"{long} | none |",
    ]
    assert parts[1].repeated == "Name | Rent | Rent\nName | 2024 | 2025"
    left, right = after.split("\n\n")
    assert (left[:11], left[-18:]) == ("Left column", "and so it goes on.")
    assert (right[:16], right[-10:]) == ("Second paragraph", "than this.")


def test_a_table_that_goes_on_has_its_headings_on_each_page() -> None:
    first = table(700, ("Flat", "Rooms", "Rent"), ("North", "3", "900"), ("South", "2", "750"))
    second = table(700, ("East", "3", "800"), ("West", "1", "500"))
    parts = read_pdf(pdf(first, second)).parts
    assert [part.repeated for part in parts] == ["Flat | Rooms | Rent"] * 2
    assert parts[1].text == "Flat | Rooms | Rent\nEast | 3 | 800\nWest | 1 | 500"


def test_heads_and_feet_are_there_once() -> None:
    text = ["The rent is due.", "The deposit is paid back.", "Nobody may smoke.", "It ends in May."]
    pages = [
        put(50, 780, "Lease of 12 May") + put(50, 500, said_here) + put(50, 488, "Clause 7 holds.")
        + put(280, 30, f"Page {number} of 4")
        for number, said_here in enumerate(text, start=1)
    ]  # fmt: skip
    assert said(*pages) == [
        "Lease of 12 May\n\nThe rent is due.\nClause 7 holds.\n\nPage 1 of 4",
        *[f"{each}\nClause 7 holds." for each in text[1:]],
    ]


def test_numbers_of_pages_in_other_forms() -> None:
    def page(foot: str, said_here: str) -> str:
        return put(50, 700, said_here) + put(280, 30, foot)

    for feet in (
        ["iii", "iv", "v"],
        ["- 7 -", "- 8 -", "- 9 -"],
        ["Seite 1", "Seite 2", "Seite 3"],
        ["Report | 41", "Report | 42", "Report | 43"],
    ):
        found = said(*[page(foot, f"Text {each}") for foot, each in zip(feet, "abc", strict=True)])
        assert found == [f"Text a\n\n{feet[0]}", "Text b", "Text c"]


def test_numbers_that_are_none_of_pages_stay() -> None:
    pages = [
        put(50, 780, f"Invoice {number}") + put(50, 700, f"Total: {number * 7} euros")
        for number in (101, 102, 103)
    ]
    assert said(*pages) == [f"Invoice {n}\n\nTotal: {n * 7} euros" for n in (101, 102, 103)]


def test_paragraphs() -> None:
    page = put(50, 740, "A heading", 14) + lines(50, 700, *LEFT) + lines(50, 640, *RIGHT)
    assert said(page) == ["\n\n".join(["A heading", "\n".join(LEFT), "\n".join(RIGHT)])]


def test_a_heading_of_two_lines_is_one() -> None:
    page = lines(50, 740, "3. What the tenant has to", "pay for", size=16, leading=19) + lines(50, 690, *LEFT)
    assert said(page)[0].startswith("3. What the tenant has to pay for\n\nThe first column")


def test_vertical_writing() -> None:
    page = Pdf()
    page.page(
        put(500, 700, "縦書きの文章は、", font="Vertical")
        + put(480, 700, "右から左へ読む。", font="Vertical")
    )
    assert [part.text for part in read_pdf(page.written()).parts] == ["縦書きの文章は、\n右から左へ読む。"]
