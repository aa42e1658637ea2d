"""Which model answers, and why: every rule, every tie, every refusal, in tables."""

from time import process_time
from typing import Any

import pytest

from chatproxy.errors import ChatError
from chatproxy.models import selection
from chatproxy.models.catalog import KnownModel
from chatproxy.models.selection import Need, rank
from chatproxy.store.records import Measurement

LOADED = "already loaded"
LARGEST = "the largest here that answers at a readable pace"
SMALLEST = "the smallest installed"
ONLY = "the only one installed"
LAST = "answered last in this session"


def known(name: str, billions: float = 1, *can: str, **more: Any) -> KnownModel:
    """`rate` and `load_ms` are its measurements."""
    measured = Measurement(
        digest=name, tokens_per_second=more.pop("rate", None), load_ms=more.pop("load_ms", None)
    )
    capabilities = more.pop("capabilities", frozenset({"completion", *can}))
    return KnownModel(name=name, size=billions * 1e9, capabilities=capabilities, measured=measured, **more)


def needing(tokens: int, **more: Any) -> Need:
    """A message of about so many tokens, for which a quarter of the window is kept free."""
    return Need(least=lambda model, window: tokens + window // 4, **more)


def surely(tokens: int) -> Need:
    """A message that has that many tokens for any model."""
    return needing(tokens, surely=tokens)


small, large = known("small", 1), known("large", 8)
warm_small, warm_large = known("small", 1, warm=True), known("large", 8, warm=True)
fast, slow = known("fast", 8, rate=41.4), known("slow", 1, rate=5.0)
seer = known("seer", 4, "vision")
thinker = known("thinker", 4, "thinking")
both = known("both", 8, "vision", "thinking")
embedder = known("embedder", 0.02, capabilities=frozenset({"embedding"}))
cloud = known("cloud", 400, "vision", "thinking", remote=True, warm=True)
demanding = Need(whole=2001)

CHOICES = [
    # who can answer at all
    ("one model is the one", [small], Need(), "small", ONLY),
    ("embedding is not answering", [embedder, small], Need(), "small", ONLY),
    ("nothing is sent elsewhere unasked", [cloud, small], Need(), "small", ONLY),
    ("images need a model that sees", [small, seer], Need(images=True), "seer", "needs images"),
    ("also where another one is warm", [warm_small, seer], Need(images=True), "seer", "needs images"),
    (
        "also where another one was last",
        [small, seer],
        Need(images=True, last_model="small"),
        "seer",
        "needs images",
    ),
    ("thinking needs a model that thinks", [small, thinker], Need(think=True), "thinker", "needs thinking"),
    (
        "both need one that does both",
        [seer, thinker, both],
        Need(images=True, think=True),
        "both",
        "needs images",
    ),
    ("of several that see, the smallest", [both, seer, small], Need(images=True), "seer", SMALLEST),
    (
        "a window that is too small rules out",
        [known("narrow", 1, window=4096), known("wide", 8, window=32768)],
        needing(4000),
        "wide",
        "needs a large window",
    ),
    (
        "a window that just holds it is enough",
        [known("narrow", 1, window=4096), known("wide", 8, window=32768)],
        needing(3072),
        "narrow",
        SMALLEST,
    ),
    (
        "an unknown window rules nobody out",
        [small, known("wide", 8, window=32768)],
        needing(9000),
        "small",
        SMALLEST,
    ),
    (
        "the trained window rules nobody out",
        [known("narrow", 1, expected_window=512), large],
        needing(9000),
        "narrow",
        SMALLEST,
    ),
    (
        "history rules nobody out",
        [known("narrow", 1, window=4096, warm=True), known("wide", 8, window=32768)],
        needing(10, whole=1999),
        "narrow",
        LOADED,
    ),
    (
        "where none seems large enough the largest decides",
        [known("a", 1, window=4096, warm=True), known("b", 1, window=16384), known("c", 1, window=8192)],
        needing(20000, surely=1000),
        "b",
        "the largest window here",
    ),
    ("also where it is the only one", [known("a", 1, window=4096)], needing(3073), "a", ONLY),
    # 1: the session's last model
    ("the last one stays", [small, large], Need(last_model="large"), "large", LAST),
    ("also where another is warm", [warm_small, large], Need(last_model="large"), "large", LAST),
    ("also where another is larger", [small, large], Need(last_model="small", whole=5000), "small", LAST),
    (
        "names match in any case",
        [small, known("Large:latest", 8)],
        Need(last_model="large"),
        "Large:latest",
        LAST,
    ),
    (
        "another tag is another model",
        [small, known("large:8b", 8)],
        Need(last_model="large"),
        "small",
        SMALLEST,
    ),
    ("one that is gone is not waited for", [small, large], Need(last_model="gone"), "small", SMALLEST),
    ("one that runs elsewhere does not qualify", [small, cloud], Need(last_model="cloud"), "small", ONLY),
    # 2: a demanding message
    ("a long prompt gets the largest", [warm_small, large], demanding, "large", LARGEST),
    ("2,000 tokens are not long", [warm_small, large], Need(whole=2000), "small", LOADED),
    ("a document is demanding", [warm_small, large], Need(document=True), "large", LARGEST),
    ("8 tokens a second are readable", [small, known("large", 8, rate=8.0)], demanding, "large", LARGEST),
    ("less is not", [small, known("large", 8, rate=7.9)], demanding, "small", LARGEST),
    ("of equally large ones a warm one", [known("a", 8), known("b", 8, warm=True)], demanding, "b", LARGEST),
    (
        "of equally large and cold ones the soonest",
        [known("a", 8, rate=10.0), known("b", 8, rate=20.0)],
        demanding,
        "b",
        LARGEST,
    ),
    (
        "where none is readable, a warm one",
        [known("a", 8, rate=3.0), known("b", 1, rate=2.0, warm=True)],
        demanding,
        "b",
        LOADED,
    ),
    (
        "a readable one of unknown size before one that crawls",
        [known("a", 0), known("b", 8, rate=2.0, warm=True)],
        demanding,
        "a",
        LARGEST,
    ),
    # 3: a warm one
    ("a warm one", [small, warm_large], Need(), "large", LOADED),
    (
        "also where a cold one is faster",
        [warm_large, known("a", 1, rate=100.0, load_ms=100)],
        Need(),
        "large",
        LOADED,
    ),
    (
        "of warm ones that in the fastest memory",
        [warm_small, known("large", 8, warm=True, in_memory=True)],
        Need(),
        "large",
        LOADED,
    ),
    (
        "of warm ones the soonest",
        [known("a", 1, warm=True, rate=10.0), known("b", 8, warm=True, rate=20.0)],
        Need(),
        "b",
        LOADED,
    ),
    (
        "of warm ones one that was measured",
        [warm_small, known("b", 8, warm=True, rate=20.0)],
        Need(),
        "b",
        LOADED,
    ),
    ("of warm ones the smallest", [warm_small, warm_large], Need(), "small", LOADED),
    # 4: the soonest through
    ("the fastest", [fast, slow], Need(), "fast", "fastest installed here: 41 tokens/s"),
    (
        "loading counts",  # 5 + 200 / 40 against 0 + 200 / 21
        [known("a", 1, rate=40.0, load_ms=5000.0), known("b", 1, rate=21.0)],
        Need(),
        "b",
        "soonest here: 21 tokens/s",
    ),
    (
        "but not for a warm one",
        [known("a", 1, rate=40.0, load_ms=5000.0, warm=True), known("b", 1, rate=21.0, warm=True)],
        Need(),
        "a",
        LOADED,
    ),
    (
        "one that was measured before one that was not",
        [small, fast],
        Need(),
        "fast",
        "fastest installed here: 41 tokens/s",
    ),
    (
        "a faster one may be unable",
        [known("a", 1, rate=40.0), known("b", 1, "vision", rate=21.0), seer],
        Need(images=True),
        "b",
        "soonest here: 21 tokens/s",
    ),
    (
        "what runs elsewhere is not here",
        [fast, slow, known("cloud", 400, remote=True, rate=90.0)],
        Need(),
        "fast",
        "fastest installed here: 41 tokens/s",
    ),
    (
        "of equally fast ones the smallest",
        [known("a", 8, rate=20.0), known("b", 1, rate=20.0)],
        Need(),
        "b",
        "fastest installed here: 20 tokens/s",
    ),
    # 5: the smallest, and at last the name
    ("the smallest", [large, small], Need(), "small", SMALLEST),
    ("one of unknown size is not the smallest", [known("a", 0), small, large], Need(), "small", SMALLEST),
    ("of equally small ones the first by name", [known("b"), known("a")], Need(), "a", SMALLEST),
]


@pytest.mark.parametrize(
    ("models", "need", "expected", "reason"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES]
)
@pytest.mark.parametrize("turned", [False, True], ids=["", "listed the other way round"])
def test_who_answers(models: list[KnownModel], need: Need, expected: str, reason: str, turned: bool) -> None:
    first = rank(models[::-1] if turned else models, need)[0]
    assert (first.model.name, first.reason) == (expected, reason)


@pytest.mark.parametrize(
    ("models", "need", "code", "words"),
    [
        ([], Need(), "no_models", "ollama pull"),
        ([embedder], Need(), "no_suitable_model", "can chat (embedder)"),
        ([cloud], Need(), "no_suitable_model", "can chat (cloud)"),
        ([small, cloud], Need(images=True), "no_suitable_model", "can see images (small, cloud)"),
        ([seer], Need(think=True), "no_suitable_model", "can think (seer)"),
        (
            [seer, thinker],
            Need(images=True, think=True),
            "no_suitable_model",
            "can see images and think (seer, thinker)",
        ),
        ([known("a", window=4096)], surely(4097), "message_too_long", "window of a holds 4096"),
    ],
)
def test_nobody_can_answer(models: list[KnownModel], need: Need, code: str, words: str) -> None:
    with pytest.raises(ChatError) as refused:
        rank(models, need)
    assert refused.value.code == code
    assert words in refused.value.sentence


def test_too_long_names_the_numbers_of_the_largest_window() -> None:
    models = [known("a", window=4096), known("b", window=16384), known("c", window=8192)]
    with pytest.raises(ChatError) as refused:
        rank([*models, known("unseeing", window=99999, capabilities=frozenset())], surely(20000))
    assert refused.value.details == {"neededTokens": 20000 + 4096, "contextLength": 16384}


def test_those_who_come_after_the_first_are_in_order_too() -> None:
    models = [small, known("b", 2, rate=20.0), known("c", 4, warm=True), known("d", 8)]
    ranked = rank(models, Need(last_model="d"))
    assert [choice.model.name for choice in ranked] == ["d", "c", "b", "small"]


def test_time_is_linear_in_the_number_of_models() -> None:
    def seconds(number: int) -> float:
        models = [known(f"m{each}", each % 70, rate=float(1 + each % 50)) for each in range(number)]
        start = process_time()
        rank(models, Need())
        return process_time() - start

    seconds(100)
    assert seconds(4000) < 4 * 8 * seconds(500)  # eight times the models; quadratic would be 64


@pytest.mark.parametrize(
    ("requested", "of_session", "default", "expected"),
    [
        ("a", "b", "c", ("a", "named in the request")),
        (None, "b", "c", ("b", "this session's model")),
        (None, None, "c", ("c", "the default here")),
        ("auto", "b", "c", None),
        (None, "AUTO", "c", None),
        (None, None, "auto", None),
        ("a", "auto", "auto", ("a", "named in the request")),
    ],
)
def test_which_name_counts(
    requested: str | None, of_session: str | None, default: str, expected: tuple[str, str] | None
) -> None:
    assert selection.named(requested, of_session, default) == expected
