import json
from io import BytesIO
from typing import Any

import pytest
from cost import seconds

from chatproxy.documents.chunks import MAX_CHUNK, SEPARATOR, split
from chatproxy.documents.extract import extract
from chatproxy.documents.names import media_type


def text_of(content: str, name: str = "a.json") -> str:
    parts = extract(BytesIO(content.encode()), media_type(name)).parts
    return SEPARATOR.join([part.text for part in parts])


def chunks(content: str, name: str = "a.json") -> list[str]:
    return [chunk.text for chunk in split(extract(BytesIO(content.encode()), media_type(name)).parts)]


def test_a_value_is_indented() -> None:
    assert text_of('{"a":["b"]}') == '{\n "a": [\n  "b"\n ]\n}'


@pytest.mark.parametrize(
    "content",
    [
        '{\n  // strict\n  "compilerOptions": {"strict": true},\n}',
        '{"a": 1}\n{"a": 2}',
        '{"a": 1}{"a": 2}',
        '{"x": NaN, "y": [Infinity, -Infinity]}',
        "{'single': 1, unquoted: 0x1F, /* why */}",
        '{"cut": [1, 2',
        "{nonsense",
        "no JSON at all",
        "[" * 300,
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonc", "a.json5", "a.jsonl", "a.geojson", "a.har"])
def test_what_is_not_one_value_is_read_as_it_stands(name: str, content: str) -> None:
    assert text_of(content, name) == content


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"values": [float("nan"), {"a": 'comma, "quote" [bracket]'}] * 99}),
        "".join([json.dumps({"number": number}) for number in range(99)]),
        json.dumps([{"number": number} for number in range(99)])[:-5],
        "[" * 50_000,
        "]" * 5000,
        '{"a": "' + "left open, " * 200,
        "[1, /* comment, with [ */ 2], " * 99,
    ],
)
def test_a_long_line_is_broken_where_its_values_end(content: str) -> None:
    text = text_of(content)
    assert squeezed(text) == squeezed(content)
    assert text.count("\n") > len(content) / 200 or "left open" in content
    assert not any(line.endswith(" [bracket]") for line in text.split("\n"))


def test_records_that_are_long_lines() -> None:
    records = [{"number": number, "note": "word " * (100 if number % 2 else 1)} for number in range(9)]
    text = text_of("\n".join(map(json.dumps, records)), "a.jsonl")
    assert '{"number": 0, "note": "word "}\n{\n "number": 1,\n "note": "word word' in text


def test_pieces_say_which_keys_they_are_below() -> None:
    users = [
        {"name": f"Ada {number}", "address": {"city": "Ely", "street": "High Street"}} for number in range(50)
    ]
    found = chunks(json.dumps({"version": 1, "users": users, "rules": {"open": [*range(300)]}}))
    assert all(len(chunk) <= MAX_CHUNK for chunk in found)
    for chunk in found[1:]:
        assert chunk.startswith(('"users": [\n', '"rules": {\n  "open": [\n'))
    assert '\n  {\n   "name"' in found[1]


def notebook(**cell: Any) -> str:
    return json.dumps({"nbformat": 4, "metadata": {"kernel": "x"}, "cells": [cell]})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (notebook(cell_type="markdown", source=["# Rain\n", "It rains."]), "# Rain\nIt rains."),
        (notebook(cell_type="code", source="1 + 1", outputs=[]), "1 + 1"),
        (
            notebook(
                cell_type="code",
                source="plot()",
                outputs=[
                    {"output_type": "stream", "text": ["drawn\n", "now"]},
                    {"data": {"image/png": "iVBORw0KGgo" * 999, "text/plain": ["<Figure>"]}},
                    {"ename": "KeyError", "evalue": "'rain'"},
                ],
            ),
            "plot()\n\ndrawn\nnow\n\n<Figure>\n\nKeyError: 'rain'",
        ),
        (
            json.dumps({"nbformat": 3, "worksheets": [{"cells": [
                {"cell_type": "heading", "level": 2, "source": "Rain"}, {"cell_type": "code", "input": "1"},
            ]}]}),
            "## Rain\n\n1",
        ),
        (json.dumps({"nbformat": 4, "cells": 5}), '{\n "nbformat": 4,\n "cells": 5\n}'),
        ('{"nbformat": 4, "cells": [', '{"nbformat": 4, "cells": ['),
        (json.dumps({"nbformat": 4, "cells": [5, {"source": {}, "outputs": [5]}, {"source": "x"}]}), "x"),
    ],
)  # fmt: skip
def test_notebooks(content: str, text: str) -> None:
    assert text_of(content, "a.ipynb") == text


@pytest.mark.parametrize("unit", ["[", '"', '{"a":', "]", ",", "/*", '"\\', "{}", "\n["])
def test_time_grows_with_the_text(unit: str) -> None:
    def read(count: int) -> float:
        return seconds(lambda: text_of("{" + unit * count))

    assert read(20_000) < 6 * max(read(10_000), 0.01)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (r'"M\u00fcller \u5317\u4EAC"', '"Müller 北京"'),
        (r'"\ud83d\ude00\u00e9"', '"😀é"'),
        (r'"\n\u00fc \\\u00fc"', r'"\nü \\ü"'),
        *(
            (text, text)
            for text in (r'"\\u00fc"', r'"\u0022 \u005c \u001b \u2028 \ud83d \ude00"', r'"\u00f"')
        ),
    ],
)
def test_escapes_are_the_characters_that_they_stand_for(content: str, text: str) -> None:
    assert text_of(content) == text
    assert text_of(f"{content}\n{content}", "a.jsonl") == f"{text}\n{text}"
