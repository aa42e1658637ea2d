"""What the stand-in says, and that it understands what the page offers."""

import re
from pathlib import Path

import pytest

from chatproxy.command.demo import DemoRequest, script
from chatproxy.command.demo_answers import Trick, answer_to, split_material, tricks_of
from chatproxy.ollama.wire import ChatMessage
from chatproxy.prompt.passages import quoted
from chatproxy.store.records import Source

STATIC = Path(__file__).parents[3] / "chatproxy" / "static"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Show me some code", ["\n\n```python\n"]),
        ("Draw a table", ["|:-----|:-"]),
        ("What is the formula?", ["\n\n$$"]),
        ("Show me everything", ["```python", "|:-----|", "$$", "1. Words"]),
        ("Write a long story", ["## 1. ", "## 9. "]),
        ("Hello", ["| Hello | 5 | olleH |", "second tab"]),
    ],
)
def test_an_answer_has_what_is_asked_for(question: str, expected: list[str]) -> None:
    answer = answer_to(question, 0, 0)
    assert [text for text in expected if text not in answer] == []
    assert answer.startswith("You wrote about **")
    assert answer.endswith("without `--demo`.")


def test_the_page_offers_tricks_that_it_knows() -> None:
    source = (STATIC / "page" / "first-use.js").read_text(encoding="utf-8")
    found = re.search(r"const TRICKS = \[(.*?)\];", source, re.DOTALL)
    assert found
    tricks = [tricks_of(message) for message in re.findall(r'"([^"]+)"', found[1])]
    assert Trick.NONE not in tricks
    assert len(set(tricks)) == len(tricks) >= 5
    (sentence,) = {tricks_of(message) for message in ("Hello", "codec", "slowpoke")}
    assert sentence == Trick.NONE


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "ja", "zh"])
def test_it_goes_on_where_the_page_asks_it_to(language: str) -> None:
    """Again and again, whatever the earlier answers were cut at."""
    source = (STATIC / "texts" / f"{language}.js").read_text(encoding="utf-8")
    found = re.search(r'continueMessage: "(.*)"', source)
    assert found
    whole = answer_to("Show me everything", 0, 0)
    messages = [ChatMessage("user", "Show me everything")]
    for end in (100, 101, 500):
        said = "".join(message.content for message in messages if message.role == "assistant")
        messages += [ChatMessage("assistant", whole[len(said) : end]), ChatMessage("user", found[1])]
    words = script(DemoRequest("demo:latest", messages), thinks=False)
    assert "".join(word["content"] for word in words) == whole[500:]
    messages = [ChatMessage("user", "Hello"), ChatMessage("assistant", "Else"), ChatMessage("user", found[1])]
    words = script(DemoRequest("demo:latest", messages), thinks=False)
    assert words[0]["content"] == "You"


def test_an_answer_quotes_the_passages_of_a_prompt() -> None:
    texts = ("Bees dance.", "They dance\nin the dark, " + "and on " * 40)
    sources = [
        Source(document_id=1, title="Bees", chunk=number, snippet=text, score=1.0)
        for number, text in enumerate(texts)
    ]
    passages, question = split_material(f"{quoted(sources)}\n\nWhy do they dance?")
    assert question == "Why do they dance?"
    assert passages[0] == ("1", "Bees dance.")
    assert passages[1][1].startswith("They dance in the dark, and on ")
    answer = answer_to(question, 0, 0, passages)
    assert "> Bees dance. [1]" in answer
    assert split_material("Hello") == ([], "Hello")
