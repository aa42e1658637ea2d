from io import BytesIO

import pytest

from chatproxy.documents.chunks import MAX_CHUNK, split
from chatproxy.documents.extract import extract
from chatproxy.documents.names import media_type
from chatproxy.documents.parts import Part


def parts(content: str, name: str = "a.md") -> list[Part]:
    return list(extract(BytesIO(content.encode()), media_type(name)).parts)


TABLE = "| city | rain |\n|---|--:|\n| Ely | 3 mm |\n| York | |"


@pytest.mark.parametrize(
    ("table", "headings"),
    [
        (TABLE, 2),
        ("city | rain\n--- | ---\nEly | 3", 2),
        ("| city |\n| - |\n| Ely |", 2),
        ("city | rain\n:-: | :-", 2),
    ],
)
def test_tables_of_markdown(table: str, headings: int) -> None:
    repeated = "\n".join(table.split("\n")[:headings])
    for name in ("a.md", "a.txt", "notes"):
        assert parts(f"# Rain\n\nBefore.\n\n{table}\n\nAfter.", name) == [
            Part("# Rain\n\nBefore."),
            Part(table, repeated=repeated),
            Part("After."),
        ]


@pytest.mark.parametrize(
    "text", [f"```\n{TABLE}\n```", "a | b\nc | d", "Title\n---", "a | b\n\n---|---", "|-|"]
)
def test_what_is_no_table(text: str) -> None:
    assert parts(text) == [Part(text)]


def test_a_table_after_fenced_code() -> None:
    assert [part.repeated for part in parts(f"~~~\na | b\n~~~\n{TABLE}")] == [
        "",
        "| city | rain |\n|---|--:|",
    ]


def test_tables_that_are_cut() -> None:
    rows = "\n".join([f"| Ely {number} | {number} mm. |" for number in range(200)])
    found = [chunk.text for chunk in split(parts(f"Rain:\n\n| city | rain |\n|---|---|\n{rows}\n\nThe end."))]
    assert all(chunk.startswith("| city | rain |\n|---|---|\n| Ely ") for chunk in found[1:])
    assert "".join(found).count("\n| Ely ") == 200
    assert found[-1].endswith("mm. |\n\nThe end.")


ENTRIES = [
    "2026-05-01 10:00:00,123 INFO Started. Ready now",
    "[2026-05-01T10:00:00Z] started. Ready",
    "May  1 10:00:00 host sshd[1]: Accepted. Ready",
    '127.0.0.1 - - [01/May/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5',
    "10:00:00.123 [main] INFO started. Ready",
    "[    0.000000] Linux version. Ready",
    "ERROR: it failed. Badly",
    '{"time": "now", "message": "It failed. Badly"}',
]


@pytest.mark.parametrize("entry", ENTRIES)
def test_entries_of_a_log_are_whole(entry: str) -> None:
    text = "\n".join([f"{entry} {number}" for number in range(100)])
    for name in ("a.log", "a.log.1", "out.txt"):
        found = [chunk.text for chunk in split(parts(text, name))]
        assert len(found) > 2
        assert "\n".join(found) == text


def test_a_stack_trace_stays_with_its_entry() -> None:
    entry = "2026-05-01 10:00:00 ERROR It failed\n" + "\tat a.b.C(C.java:1)\n" * 7
    found = [chunk.text for chunk in split(parts(entry * 50, "a.log"))]
    assert all(chunk.count("ERROR") * 7 == chunk.count("\tat") for chunk in found)
    (long,) = parts("2026-05-01 09:00:00 INFO Begun\n" + entry + "\tat a.b.C(C.java:1)\n" * 99, "a.log")
    _, *found = [chunk.text for chunk in split([long])]
    assert len(found) > 1
    assert all(chunk.startswith("2026-05-01 10:00:00 ERROR It failed\n\tat ") for chunk in found)


CODE = "\n\n".join(
    [
        f"class Shape{kind}:\n    sides = {kind}\n\n"
        + "\n\n".join(
            [
                f"    def area_{name}(self):\n        # Sum. Of all\n        return {name}"
                for name in range(30)
            ]
        )
        for kind in range(3)
    ]
)


@pytest.mark.parametrize("name", ["shapes.py", "shapes.py.bak"])
def test_a_piece_of_code_says_what_it_is_in(name: str) -> None:
    found = [chunk.text for chunk in split(parts(CODE, name))]
    assert all(len(chunk) <= MAX_CHUNK for chunk in found)
    for chunk in found:
        assert chunk.startswith("class Shape")
        assert "    def area_" in chunk.split("\n", 2)[1] or "sides" in chunk.split("\n", 2)[1]


def test_a_piece_of_yaml_says_what_it_is_below() -> None:
    text = "version: 1\nservices:\n" + "".join(
        [f"  web{n}:\n    image: a\n    ports:\n      - {n}\n" for n in range(99)]
    )
    found = [chunk.text for chunk in split(parts(text, "compose.yml"))]
    assert all(chunk.startswith("services:\n  web") for chunk in found[1:])


def test_a_log_for_a_terminal() -> None:
    lines = "\x1b[31mERROR\x1b[0m it \x1b[1;38;5;9mfailed\x1b[K\n\x1b]0;title\x07\x1b(BINFO done\n"
    assert parts(lines, "a.log") == [Part("ERROR it failed\nINFO done", lines=True)]
