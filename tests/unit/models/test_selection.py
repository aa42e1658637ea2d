"""Which model answers, and why: every rule, every tie, every refusal, in tables."""

import re
from pathlib import Path
from typing import Any

import pytest
from cost import seconds

from chatproxy.errors import ChatError
from chatproxy.models import embedding, selection
from chatproxy.models.catalog import KnownModel
from chatproxy.models.purpose import Purpose
from chatproxy.models.selection import Need, rank
from chatproxy.store.records import Measurement

TEXTS = {".html", ".js", ".md", ".py", ".ts", ".yaml"}
ONLY = "the only one installed"
ONLY_CHAT = "the only one here that can chat"
LAST = "answered last in this session"
ASSUMED = "the largest general model that should be fast enough"
LARGEST = "the largest general model that is fast enough here"
ESTIMATED = "the largest general model that should be fast enough here"
ONE_OF = "one of the largest general models that should be fast enough"
LOADED = f"already loaded, and {ONE_OF}"


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
giant = known("giant", 70)
seer = known("seer", 4, "vision")
thinker = known("thinker", 4, "thinking")
both = known("both", 8, "vision", "thinking")
embedder = known("embedder", 0.02, capabilities=frozenset({"embedding"}))
cloud = known("cloud", 400, "vision", "thinking", remote=True, warm=True)
coder = known("coder", 8, purpose=Purpose.SPECIAL)
guard = known("guard", 8, purpose=Purpose.NO_CHAT)

CHOICES = [
    # who can answer at all
    ("one model is the one", [small], Need(), "small", ONLY),
    ("also if it runs elsewhere", [cloud], Need(), "cloud", ONLY),
    (
        "one elsewhere, if none here can chat",
        [embedder, cloud],
        Need(),
        "cloud",
        "the only one that can chat, elsewhere",
    ),
    ("one that is not described", [known("old", is_described=False)], Need(), "old", ONLY),
    ("embedding is not answering", [embedder, small], Need(), "small", ONLY_CHAT),
    ("nothing is sent elsewhere unasked", [cloud, small], Need(), "small", ONLY_CHAT),
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
    (
        "of several that see, the largest",
        [both, seer, known("blind", 9)],
        Need(images=True),
        "both",
        "the largest general model with vision that should be fast enough",
    ),
    (
        "a window that is too small rules out",
        [known("narrow", 1, window=4096), known("wide", 8, window=32768)],
        needing(4000),
        "wide",
        "needs a large window",
    ),
    (
        "of several windows that are large enough, the largest model",
        [known("narrow", 9, window=4096), known("wide", 8, window=32768), known("b", 1, window=32768)],
        needing(4000),
        "wide",
        "the largest general model with a large enough window that should be fast enough",
    ),
    (
        "a window that just holds it is enough",
        [known("narrow", 8, window=4096), known("wide", 1, window=32768)],
        needing(3072),
        "narrow",
        ASSUMED,
    ),
    (
        "an unknown window rules nobody out",
        [large, known("wide", 1, window=32768)],
        needing(9000),
        "large",
        ASSUMED,
    ),
    (
        "the trained window rules nobody out",
        [known("narrow", 8, expected_window=512), small],
        needing(9000),
        "narrow",
        ASSUMED,
    ),
    (
        "where none seems large enough the largest decides",
        [known("a", 1, window=4096, warm=True), known("b", 1, window=16384), known("c", 1, window=8192)],
        needing(20000, surely=1000),
        "b",
        "the largest window here",
    ),
    ("also where it is the only one", [known("a", 1, window=4096)], needing(3073), "a", ONLY),
    (
        "one that is not described is only asked if no other can be",
        [known("new", 8, capabilities=frozenset(), is_described=False), small],
        Need(),
        "small",
        "the only one that Ollama has described so far",
    ),
    (
        "and the reason is not that it is the largest of all",
        [known("new", 9, capabilities=frozenset(), is_described=False), small, large],
        Need(),
        "large",
        "the largest general model described so far that should be fast enough",
    ),
    (
        "of those that are not described, the largest",
        [
            known(name, size, capabilities=frozenset(), is_described=False)
            for name, size in (("a", 1), ("b", 8))
        ],
        Need(),
        "b",
        ASSUMED,
    ),
    # 1: the session's last model
    ("the last one stays", [small, large], Need(last_model="small"), "small", LAST),
    ("also where another is warm", [small, warm_large], Need(last_model="small"), "small", LAST),
    ("also where it does not chat", [small, guard], Need(last_model="guard"), "guard", LAST),
    ("also where it takes minutes", [small, giant], Need(last_model="giant"), "giant", LAST),
    (
        "names match in any case",
        [known("Small:latest", 1), large],
        Need(last_model="small"),
        "Small:latest",
        LAST,
    ),
    (
        "another tag is another model",
        [known("small:1b", 1), large],
        Need(last_model="small"),
        "large",
        ASSUMED,
    ),
    ("one that is gone is not waited for", [small, large], Need(last_model="gone"), "large", ASSUMED),
    (
        "one that runs elsewhere does not qualify",
        [small, cloud],
        Need(last_model="cloud"),
        "small",
        ONLY_CHAT,
    ),
    # 2: one that converses
    ("no guard", [guard, small], Need(), "small", "the only general model here"),
    (
        "even before a giant",
        [guard, giant],
        Need(),
        "giant",
        "the only general model here",
    ),
    (
        "a guard if there is nothing else",
        [guard, known("b", 1, purpose=Purpose.NO_CHAT)],
        Need(),
        "guard",
        "the largest model that should be fast enough",
    ),
    # 3: one that is loaded within a minute
    ("no giant", [giant, small], Need(), "small", ASSUMED),
    (
        "unless it is loaded",
        [known("giant", 70, warm=True, rate=9.0), small],
        Need(),
        "giant",
        f"{LARGEST}: 9 tokens/s",
    ),
    (
        "a coder sooner than a giant",
        [coder, giant],
        Need(),
        "coder",
        "the largest chat model that should be fast enough",
    ),
    (
        "of giants the one that is soonest",
        [giant, known("b", 60)],
        Need(),
        "b",
        "the soonest general model here",
    ),
    (
        "a minute is not minutes",
        [known("a", 8, rate=20.0, load_ms=60_000.0), known("b", 1, rate=50.0)],
        Need(),
        "a",
        f"{LARGEST}: 20 tokens/s",
    ),
    (
        "more than one may be",
        [known("a", 8, rate=20.0, load_ms=60_001.0), known("b", 1, rate=50.0)],
        Need(),
        "b",
        f"{LARGEST}: 50 tokens/s",
    ),
    # 4: a general one
    ("no coder", [coder, small], Need(), "small", "the only general model here"),
    (
        "no character beside the same weights without one",
        [known("a", 1, weights="w", has_system=True), known("b", 1, weights="w")],
        Need(),
        "b",
        "the only general model here",
    ),
    (
        "but one that has weights of its own",
        [known("a", 8, weights="v", has_system=True), known("b", 1, weights="w")],
        Need(),
        "a",
        ASSUMED,
    ),
    (
        "the only one that sees is not the only one",
        [known("a", 1, "vision"), known("b", 8, "vision", purpose=Purpose.SPECIAL), large],
        Need(images=True),
        "a",
        "the only general model with vision here",
    ),
    # 5: a readable pace
    (
        "8 tokens a second are readable",
        [small, known("b", 8, rate=8.0)],
        Need(),
        "b",
        f"{LARGEST}: 8 tokens/s",
    ),
    ("less is not", [small, known("b", 8, rate=7.9)], Need(), "small", f"{ESTIMATED}: about 63 tokens/s"),
    (
        "where none is readable, the soonest",
        [known("a", 8, rate=3.0), known("b", 1, rate=2.0, warm=True)],
        Need(),
        "a",
        "the soonest general model of those that load within a minute: 3 tokens/s",
    ),
    (
        "loading counts",
        [known("a", 8, rate=3.0, load_ms=50_000.0), known("b", 1, rate=2.0, warm=True)],
        Need(),
        "b",
        "the soonest general model of those that load within a minute: 2 tokens/s",
    ),
    (
        "a readable one of unknown size before one that crawls",
        [known("a", 0, rate=9.0), known("b", 8, rate=2.0, warm=True)],
        Need(),
        "a",
        f"{LARGEST}: 9 tokens/s",
    ),
    (
        "what runs elsewhere says nothing",
        [small, large, known("cloud", 8, remote=True, rate=1.0)],
        Need(),
        "large",
        ASSUMED,
    ),
    # 6: the largest, or a loaded one that is about as large
    ("the largest", [large, small], Need(), "large", ASSUMED),
    ("though another is loaded", [large, warm_small], Need(), "large", ASSUMED),
    ("a loaded one of three quarters", [large, known("b", 6, warm=True)], Need(), "b", LOADED),
    ("not of less", [large, known("b", 5.9, warm=True)], Need(), "large", ASSUMED),
    ("of equally large ones a loaded one", [known("a", 8), known("b", 8, warm=True)], Need(), "b", LOADED),
    (
        "of loaded ones that in the fastest memory",
        [known("a", 8, warm=True), known("b", 7, warm=True, in_memory=True)],
        Need(),
        "b",
        LOADED,
    ),
    (
        "of loaded ones the largest",
        [known("a", 7, warm=True), warm_large],
        Need(),
        "large",
        ASSUMED,
    ),
    ("one of unknown size is not the largest", [known("a", 0), small], Need(), "small", ASSUMED),
    # 7: the soonest, and at last the name
    (
        "of equally large ones the soonest",
        [known("a", 8, rate=10.0), known("b", 8, rate=20.0)],
        Need(),
        "b",
        "one of the largest general models that are fast enough here: 20 tokens/s",
    ),
    (
        "with the time to load it",  # 5 + 200 / 40 against 1 + 200 / 25
        [known("a", 8, rate=40.0, load_ms=5000.0), known("b", 8, rate=25.0, load_ms=1000.0)],
        Need(),
        "b",
        "one of the largest general models that are fast enough here: 25 tokens/s",
    ),
    ("of equal ones the first by name", [known("b"), known("a")], Need(), "a", ONE_OF),
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
        ([small, cloud], Need(images=True), "no_suitable_model", "can see images (small); install one that"),
        ([small, cloud], Need(images=True), "no_suitable_model", "name one that runs elsewhere (cloud)"),
        ([small], Need(images=True), "no_suitable_model", "or name a model."),
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
    models = [guard, coder, giant, small, known("slow", 9, rate=5.0), known("c", 4, warm=True), large]
    ranked = rank(models, Need(last_model="coder"))
    assert [choice.model.name for choice in ranked] == [
        "coder",
        "c",
        "small",
        "large",
        "slow",
        "giant",
        "guard",
    ]


def test_time_is_linear_in_the_number_of_models() -> None:
    few, many = [
        [
            known(f"m{each}", each % 70, rate=float(1 + each % 50) if each % 2 else None)
            for each in range(number)
        ]
        for number in (500, 4000)
    ]
    eightfold = seconds(lambda: rank(many, Need())) / seconds(lambda: rank(few, Need()))
    assert eightfold < 32  # quadratic would be 64


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


def test_one_model_is_suggested_everywhere() -> None:
    root = Path(__file__).parents[3]
    files = [root / "README.md", root / "compose.yaml"]
    for folder in ("chatproxy", "deploy", "docs", "examples"):
        files += [path for path in (root / folder).rglob("*.*") if path.suffix in TEXTS]
    lines = [re.findall(r"ollama pull ([\w.:/-]+)", path.read_text(encoding="utf-8")) for path in files]
    names = [name for found in lines for name in found if name != embedding.SUGGESTED]
    assert names.count(selection.SUGGESTED) == len(names) > 4
