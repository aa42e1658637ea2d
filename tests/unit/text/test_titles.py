"""What a conversation is called."""

import pytest

from chatproxy.text.titles import LENGTH, PICTURE, title


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("Why are there rainbows?", "Why are there rainbows?"),
        ("```python\nprint('hello')\n```\nWhat does this print?", "What does this print?"),
        ("```python\nprint('hello')\n```", "print('hello')"),
        ("---\n***\n===\nTranslate this", "Translate this"),
        ("# Plan\nMake it shorter", "Plan"),
        ("> - [ ] 1. **Buy** `milk`", "Buy milk"),
        ("Dear Sir,\n\nI write to you.", "I write to you."),
        ("Hello", "Hello"),
        ("Hi there!\nWhat is SQL?", "What is SQL?"),
        ("Hi there! What is SQL?", "What is SQL?"),
        ("Guten Tag,\nwas ist das?", "Was ist das?"),
        ("Sehr geehrte Damen und Herren,\nich frage", "Ich frage"),
        ("Bonjour, comment ça marche ?", "Comment ça marche ?"),
        ("Hola!\n¿Qué es esto?", "¿Qué es esto?"),
        ("Hide the window, please", "Hide the window, please"),
        ("Hello world program in C", "Hello world program in C"),
        ("See [the manual](https://example.org/a_b) first", "See the manual first"),
        ("![A cat](cat.png)\n", "A cat"),
        ("<think>Hm.</think>What now?", "What now?"),
        ("<p>Text</p>", "Text"),
        ("snake_case and 2*3*4 in __init__", "snake_case and 2*3*4 in init"),
        ("今天讨论了部署方案", "今天讨论了部署方案"),
        ("x" * 200, "x" * (LENGTH - 1) + "…"),
        ("word " * 40, "word " * 14 + "word word…"),
        ("  \n\t Tell   me \r\nsecond line", "Tell me"),
        ("Hello you\nsecond line", "Second line"),
        ("Hey, étude or prelude?", "Étude or prelude?"),
        ("Hola, «¿qué es esto?»", "«¿Qué es esto?»"),
        ("Hi, don't e-mail me", "Don't e-mail me"),
        ("Hi! iPhone or Android?", "iPhone or Android?"),
        ("Hi, `npm` fails", "npm fails"),
        ("Hi, os.path.join fails", "os.path.join fails"),
        ("Hi, https://example.org is down", "https://example.org is down"),
        ("Hi, x = 3?", "x = 3?"),
        ("Hi, ßx", "ßx"),
        ("what can you do?", "what can you do?"),
        ("Hello world program in C\nplease", "Hello world program in C"),
        ("你好\uff0c请翻译", "请翻译"),
        ("one\u2028two", "one"),
        ("x" * LENGTH, "x" * LENGTH),
        ("a " + "x" * LENGTH, "a…"),
        ("x" * (LENGTH - 1) + " y", "x" * (LENGTH - 1) + "…"),
        ("😀" * 100, "😀" * (LENGTH - 1) + "…"),
        ("?!", "?!"),
        (" \n ", None),
        ("", None),
    ],
)
def test_title(content: str, expected: str | None) -> None:
    assert title(content) == expected


def test_pictures_alone_are_called_so() -> None:
    assert title("", 2) == title("...", 1) == PICTURE
    assert title("Who is this?", 1) == "Who is this?"


def test_a_document_alone_gives_its_name() -> None:
    assert title("?", 0, "report.pdf") == "report.pdf"
    assert title("What does it say?", 0, "report.pdf") == "What does it say?"
