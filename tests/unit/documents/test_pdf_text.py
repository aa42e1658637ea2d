"""Text of a PDF as it was written: signs, units, raised and lowered text, fractions, words, directions."""

import pytest
from pdf_files import Pdf, lines, pdf, put, rule, turned
from reading import read_pdf

# ruff: noqa: RUF001 - the signs are meant


def said(*operators: str) -> str:
    return "\n\n".join([part.text for part in read_pdf(pdf("".join(operators))).parts])


@pytest.mark.parametrize(
    "text",
    [
        "3½ years, 4¼ %, ⅓ of it, ⅝, 1⅞",
        "10² m², 5×10³ N, 10⁻⁶, H₂O",
        "20 °C, 3 µm, 5 Ω, ± 2, 37 ℃, № 5",
        "“typed” ‘quotes’ – and — dashes … Acme™",
        "Größe, naïve, Łódź, Ærø, ŉ",
        "１２３ｆｕｌｌ　ｗｉｄｔｈ".replace("　", " "),
        "日本語の文章、「引用」。",
        "① ② Ⅳ ㎡ ㈱",
    ],
)
def test_signs_stay(text: str) -> None:
    assert said(put(50, 700, text)) == text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("ﬁnd the oﬀer, ﬂat, ﬃ, ﬄ, ﬆ", "find the offer, flat, ffi, ffl, st"),
        ("cafe\u0301 a\u030a", "café å"),
        ("co\u00adoperate", "cooperate"),
        ("5\u00a0kg 5\u202fkg", "5 kg 5 kg"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("⽇⽉", "日月"),
        ("\uf0b7 item", "• item"),
    ],
)
def test_forms_that_only_fonts_need(written: str, expected: str) -> None:
    assert said(put(50, 700, written)) == expected


def scripts(*pieces: tuple[str, float, float]) -> str:
    """Return operators that write pieces one behind the other: text, size, rise."""
    x, made = 50.0, ""
    for text, size, rise in pieces:
        made += put(x, 700 + rise, text, size)
        x += len(text) * size / 2
    return made


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (
            [("Area 10", 10, 0), ("6", 6, 4), (" m", 10, 0), ("2", 6, 4), (" in all", 10, 0)],
            "Area 10⁶ m² in all",
        ),
        ([("10", 10, 0), ("-3", 6, 4)], "10⁻³"),
        ([("10", 10, 0), ("−12", 6, 4), (" s", 10, 0)], "10⁻¹² s"),
        ([("H", 10, 0), ("2", 6, -2), ("O and CO", 10, 0), ("2", 6, -2)], "H₂O and CO₂"),
        ([("x", 10, 0), ("i", 7, -2), (" + y", 10, 0)], "xᵢ + y"),
        ([("T", 10, 0), ("max", 7, -2)], "T_(max)"),
        ([("e", 10, 0), ("ab+c", 7, 4)], "e^(ab+c)"),
        ([("the 1", 10, 0), ("st", 6, 4), (" floor", 10, 0)], "the 1st floor"),
        ([("Acme", 10, 0), ("TM", 6, 4)], "Acme™"),
        ([("2", 10, 0), ("3", 10, 4), (" = 8", 10, 0)], "2³ = 8"),
        ([("3", 10, 0), ("1", 6, 4), ("/", 10, 0), ("2", 6, 0), (" years", 10, 0)], "3½ years"),
        ([("5 ", 10, 0), ("5", 6, 4), ("⁄", 10, 0), ("16", 6, -2), (" in", 10, 0)], "5 ⁵⁄₁₆ in"),
        ([("NASA", 8, 0), (" and ", 10, 0), ("ESA", 8, 0)], "NASA and ESA"),
        ([("since 1998", 10, 0), ("3", 6, 4), (".", 10, 0)], "since 1998³."),
        ([("The tenant", 10, 0), ("3", 6, 4), (" pays", 10, 0)], "The tenant[^3] pays"),
    ],
)
def test_raised_and_lowered_text(pieces: list[tuple[str, float, float]], expected: str) -> None:
    assert said(scripts(*pieces)) == expected


def test_raised_text_that_is_written_elsewhere_in_the_file() -> None:
    text = (
        put(50, 700, "10")
        + put(63, 700, " m")
        + put(50, 650, "Other text")
        + put(60, 704, "6", 6)
        + put(73, 704, "2", 6)
    )
    assert said(text) == "10⁶ m²\n\nOther text"


def test_stacked_fractions() -> None:
    inline = (
        put(50, 700, "3")
        + put(56, 704, "5", 6)
        + rule(56, 702.5, 3)
        + put(56, 697, "8", 6)
        + put(61, 700, " cups")
    )
    assert said(inline) == "3⅝ cups"
    full = (
        put(50, 650, "x = ")
        + put(72, 657, "a+b")
        + rule(72, 653, 15)
        + put(77, 643, "2")
        + put(88, 650, " cm")
    )
    assert said(full) == "x = (a+b)/2 cm"


def test_an_index_and_an_exponent_on_one_letter() -> None:
    assert (
        said(put(50, 700, "x") + put(55, 704, "2", 6) + put(55, 697, "1", 6) + put(59, 700, "+1")) == "x₁²+1"
    )


def test_marks_of_notes_are_apart_from_what_is_before_them() -> None:
    text = scripts(("built in 1998", 10, 0), ("3", 6, 4), (" for rent", 10, 0), ("4", 6, 4))
    notes = put(50, 100, "3", 5) + put(53, 97, "As the land register says.", 8)
    notes += put(50, 88, "4", 5) + put(53, 85, "In euros.", 8)
    assert said(text, notes).split("\n\n") == [
        "built in 1998[^3] for rent[^4]",
        "[^3] As the land register says.\n[^4] In euros.",
    ]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("The agree-", "ment ends."), "The agreement ends."),
        (("A soft hy\u00ad", "phen."), "A soft hyphen."),
        (("A 3-", "room flat"), "A 3-room flat"),
        (("An e-", "mail"), "An e-mail"),
        (("The Smith-", "Jones family"), "The Smith-Jones family"),
        (("A well-", "known one, as well-known as any"), "A well-known one, as well-known as any"),
        (("Haupt-", "und Nebensatz"), "Haupt- und Nebensatz"),
        (("from 1990-", "2000 on"), "from 1990-2000 on"),
    ],
)
def test_hyphens_at_the_ends_of_lines(parts: tuple[str, ...], expected: str) -> None:
    assert said(lines(50, 700, *parts)) == expected


def test_words_without_spaces_between_them() -> None:
    kerned = "BT /F 10 Tf 1 0 0 1 50 700 Tm [<00540068>-20<0065>-300<0065006e0064>] TJ ET\n"
    assert said(kerned) == "The end"
    spaced = "BT /F 10 Tf 3 Tc 1 0 0 1 50 700 Tm <005400490054004c0045> Tj ET\n"
    assert said(spaced) == "TITLE"
    words = put(50, 700, "One") + put(67, 700, "word") + put(90, 700, "each")
    assert said(words) == "One word each"


def test_text_that_is_drawn_twice_is_there_once() -> None:
    assert said(put(50, 700, "Bold text") + put(50.3, 700, "Bold text")) == "Bold text"


def test_accents_that_are_drawn_over_letters() -> None:
    accent = put(50, 700, "Universit") + put(95, 700, "´") + put(95, 700, "e") + put(100, 700, " libre")
    assert said(accent) == "Université libre"


def reversed_text(x: float, y: float, text: str) -> str:
    """Return operators that write text from right to left, a character at a time, as it is seen."""
    return "".join([put(x - 5 * number, y, letter) for number, letter in enumerate(text)])


@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם",
        "מרחק 123 קילומטר",
        "مرحبا بالعالم",
        "السعر 12.50 يورو",
        "(בסוגריים)",
    ],
)
def test_from_right_to_left(text: str) -> None:
    """What is seen from left to right has numbers as they are, and all else turned round."""
    assert said(seen(text)) == text


def seen(text: str) -> str:
    """Return operators that write a right-to-left text in the order in which it is seen."""
    import re

    shown = "".join(
        [each if each[0].isdigit() else each[::-1] for each in reversed(re.findall(r"[\d.]+|[^\d]+", text))]
    )
    shown = shown.translate(str.maketrans("()", ")("))
    return put(50, 700, shown)


def test_text_in_other_directions() -> None:
    page = Pdf()
    page.page(
        turned((0, 1, -1, 0, 300, 100), "A page that is turned")
        + turned((0, 1, -1, 0, 312, 100), "Second line"),
        "/Rotate 90",
    )
    page.page(put(50, 700, "Level text of a page") + turned((0, 1, -1, 0, 30, 100), "Up the side"))
    page.page(turned((-1, 0, 0, -1, 300, 100), "Upside down") + turned((-1, 0, 0, -1, 300, 112), "and more"))
    assert [part.text for part in read_pdf(page.written()).parts] == [
        "A page that is turned\nSecond line",
        "Level text of a page\n\nUp the side",
        "Upside down\nand more",
    ]
