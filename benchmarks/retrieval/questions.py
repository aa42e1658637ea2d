"""The questions, and the halves into which they are divided.

Search terms and chunks are tuned on one half. The other one is never looked at: its figures say how good the
search is. The questions of `tests/data/retrieval` are divided by lot, which is a hash of each; the older ones
were divided when they were written.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

DATA: Final = Path(__file__).parents[2] / "tests" / "data"
RETRIEVAL: Final = DATA / "retrieval"  # ten documents in six languages
DOCUMENTS: Final = DATA / "documents"  # longer ones, which others wrote
DIALOGUES: Final = DATA / "dialogues"

# Where the answer is, about the document as a whole, and not answered by it.
Kind = Literal["place", "whole", "absent"]


@dataclass(frozen=True)
class Question:
    """A question about a document, with the phrase that the right chunk holds if its kind is "place".

    `group` is the row of the table that it counts in. `earlier` are those before it, newest first.
    """

    document: Path
    text: str
    kind: Kind
    group: str
    held_out: bool
    phrase: str = ""
    earlier: Sequence[str] = ()


LANGUAGES: Final = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "ja": "Japanese",
    "zh": "Chinese",
}
ACROSS: Final = "in another language than the document"
LONG: Final = "long documents, English and German"
TURNS: Final = ("", "second questions of a dialogue", "third questions of a dialogue")
WHOLE: Final = "about the whole document"
ABSENT: Final = "not answered by the document"


def read_all() -> list[Question]:
    """Return all questions, those about one document after each other."""
    found = [*_of_retrieval(), *_of_documents(), *_of_dialogues()]
    return sorted(found, key=lambda each: each.document)


def _of_retrieval() -> Iterator[Question]:
    for each in _read(RETRIEVAL / "questions.json"):
        document, language = each["document"], each["language"]
        group = LANGUAGES[language] if f".{language}." in document else ACROSS
        group = {"whole": WHOLE, "absent": ABSENT}.get(each["kind"], group)
        lot = sha256(f"{document} {each['question']}".encode()).digest()[0] % 2 == 1
        yield Question(
            RETRIEVAL / document, each["question"], each["kind"], group, lot, each.get("phrase", "")
        )


def _of_documents() -> Iterator[Question]:
    for name in ("questions", "held-out"):
        for each in _read(DOCUMENTS / f"{name}.json"):
            document, held_out = DOCUMENTS / each["document"], name == "held-out"
            yield Question(document, each["question"], "place", LONG, held_out, each["phrase"])


def _of_dialogues() -> Iterator[Question]:
    for name in ("tuned", "held-out"):
        for each in _read(DIALOGUES / f"{name}.json"):
            document = DIALOGUES / each["document"]
            document = document if document.exists() else DOCUMENTS / each["document"]
            earlier: list[str] = []
            for group, (question, phrase) in zip(TURNS, each["turns"], strict=True):
                if group:
                    yield Question(
                        document, question, "place", group, name == "held-out", phrase, tuple(earlier)
                    )
                earlier.insert(0, question)


def _read(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return found
