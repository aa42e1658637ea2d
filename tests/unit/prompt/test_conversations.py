"""A conversation beside a model that counts each script in its own way: all that fits is told, turn by turn.

`Conversation` does what an answer does with a prompt and Ollama's counts, without the server. Its model has
any rate for each script, within what tokenizers have, and texts differ from it by some.
"""

import json
from collections.abc import Iterator
from functools import partial
from random import Random
from statistics import median
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatproxy.models.catalog import KnownModel
from chatproxy.models.tokens import USUAL, learned
from chatproxy.prompt.prompt import FittedPrompt, Prompt
from chatproxy.prompt.request import Send
from chatproxy.store.records import HistoryMessage, PromptCount

WINDOW: Final = 4096
RESERVE: Final = 1024
ALPHABETS: Final = {
    "latin": "etaoin shrdlu cmfwyp ",
    "digits": "0123456789 ",
    "cyrillic": "оеаинт сврлкм ",
    "greek": "αοιετσ νηυρπκ ",
    "han": "的一是不了人我在有他这中大来上",
    "thai": "นารกเงยลวม",
    "emoji": "😀🎉🚀🌍🍕",
    "code": "(){};=<>+ abcde \n_",
}
# Tokens for each character: from what the largest vocabularies take to what small ones do.
RATES: Final = {
    "latin": (0.19, 0.4),
    "digits": (0.34, 1.0),
    "cyrillic": (0.3, 0.6),
    "greek": (0.3, 0.8),
    "han": (0.55, 1.6),
    "thai": (0.5, 1.6),
    "emoji": (1.0, 3.0),
    "code": (0.3, 0.6),
}


class Tokenizer:
    """Counts what each script's characters take, in texts that differ from one another by a tenth."""

    def __init__(self, rates: dict[str, float], template: int) -> None:
        self._rates = {
            letter: rate for name, rate in rates.items() for letter in ALPHABETS[name] if letter != " "
        } | {" ": 0.1}
        self._template = template

    def count(self, messages: list[dict[str, Any]]) -> int:
        return self._template + sum(self._of(message["content"]) for message in messages)

    def _of(self, text: str) -> int:
        ease = 0.9 + 0.2 * Random(text).random()
        return 4 + round(ease * sum(self._rates.get(letter, 0.25) for letter in text))


class Conversation:
    def __init__(self, tokenizer: Tokenizer, model: str = "m") -> None:
        self.tokenizer = tokenizer
        self.model = KnownModel(name=model, window=WINDOW)
        self.counts: list[PromptCount] = []
        self.said: list[tuple[str, str, int]] = []  # questions, answers, and the answers' ids
        self.answers = 0
        self.refusals = 0  # of the latest answer

    def prompt(self, message: str) -> Prompt:
        history: list[HistoryMessage] = []
        for question, answer, number in self.said:
            said = partial(HistoryMessage, image_count=0, model="m")
            history.append(said(id=number - 1, role="user", content=question))
            history.append(said(id=number, role="assistant", content=answer))
        return Prompt(
            request=Send(message=message),
            system=None,
            images=(),
            earlier=len(history),
            counts=self.counts,
        ).with_history(history[::-1])

    def whole(self, message: str) -> int:
        """Return the tokens of everything that could be told."""
        texts = [*(text for turn in self.said for text in turn[:2]), message]
        return self.tokenizer.count([{"content": text} for text in texts])

    def ask(self, message: str, answer: str) -> FittedPrompt:
        """Send a message as `UpstreamCall` does, and return what was answered."""
        self.refusals = 0
        self.answers += 2
        for way in (Prompt.fit, Prompt.fit, Prompt.fit, Prompt.bare):
            fitted = way(self.prompt(message), self.model)
            tokens = self.tokenizer.count(json.loads(fitted.body)["messages"])
            self.counts = list(learned(self.counts, self.answers, self.model.id, fitted.size, tokens))
            if tokens <= WINDOW:
                self.said.append((message, answer, self.answers))
                return fitted
            self.refusals += 1
        raise AssertionError("not even the message alone fits")


def texts(random: Random, script: str, most: int) -> str:
    return "".join(random.choices(ALPHABETS[script], k=random.randint(1, most)))


tokenizers = st.builds(
    Tokenizer,
    st.fixed_dictionaries({name: st.floats(*ends) for name, ends in RATES.items()}),
    st.integers(0, 300),
)


@settings(deadline=None)
@given(
    tokenizer=tokenizers,
    seed=st.integers(0, 10**6),
    scripts=st.lists(st.sampled_from(sorted(ALPHABETS)), min_size=1, max_size=3, unique=True),
    turns=st.integers(2, 60),
    edits=st.booleans(),
)
def test_what_fits_is_told_and_no_answer_is_refused_often(
    tokenizer: Tokenizer, seed: int, scripts: list[str], turns: int, edits: bool
) -> None:
    random = Random(seed)
    for whole, fitted, refusals in talked(Conversation(tokenizer), random, scripts, turns, edits=edits):
        if whole + RESERVE <= WINDOW:
            assert (fitted.left_out, refusals) == (0, 0)
        assert refusals <= 2


def talked(
    talk: Conversation, random: Random, scripts: list[str], turns: int, *, edits: bool
) -> Iterator[tuple[int, FittedPrompt, int]]:
    """Yield the tokens of each message with all before it, what was answered, and the refusals before."""
    for number in range(turns):
        script = scripts[number * len(scripts) // turns] if random.random() < 0.8 else random.choice(scripts)
        if edits and talk.said and random.random() < 0.15:  # a message is replaced
            del talk.said[random.randrange(len(talk.said)) :]
        message = texts(random, script, 300)
        yield talk.whole(message), talk.ask(message, texts(random, script, 600)), talk.refusals


def test_refusals_are_rare_and_windows_well_used() -> None:
    answers, refused, filled = 0, 0, []
    for seed in range(40):
        random = Random(seed)
        rates = {name: random.uniform(*ends) for name, ends in RATES.items()}
        talk = Conversation(Tokenizer(rates, random.randrange(300)))
        scripts = random.sample(sorted(ALPHABETS), 3)
        for whole, _, refusals in talked(talk, random, scripts, 60, edits=True):
            assert refusals <= 1
            answers += 1
            refused += refusals
            if whole + RESERVE > WINDOW:
                filled.append(talk.counts[-1].tokens / (WINDOW - RESERVE))
    assert refused < answers / 100
    assert median(filled) > 0.8


def test_one_that_is_answered_again_is_estimated_by_its_own_count() -> None:
    """Also after a refusal: what was refused once is not sent again."""
    talk = Conversation(Tokenizer({name: ends[1] for name, ends in RATES.items()}, 20))
    random = Random(3)
    talk.said = [(texts(random, "emoji", 300), texts(random, "han", 600), -2 * n) for n in range(9, 0, -1)]
    first = talk.ask("And then?", "So.")
    assert talk.refusals == 1
    talk.said.pop()
    again = talk.ask("And then?", "So it was.")
    assert (talk.refusals, again.left_out) == (0, first.left_out)


def test_counts_of_another_model_say_nothing() -> None:
    rates = {name: ends[1] for name, ends in RATES.items()}
    talk = Conversation(Tokenizer(rates, 20))
    random = Random(4)
    for _ in range(8):
        talk.ask(texts(random, "latin", 300), texts(random, "latin", 600))
    before = talk.prompt("And then?").estimate(talk.model)
    other = KnownModel(name="other", window=WINDOW)
    assert talk.prompt("And then?").estimate(other).rates == USUAL
    assert talk.prompt("And then?").estimate(other).counts == []
    talk.model, talk.tokenizer = other, Tokenizer({name: ends[0] for name, ends in RATES.items()}, 300)
    talk.ask("And then?", "So.")
    talk.said.pop()
    after = talk.prompt("And then?").estimate(KnownModel(name="m"))
    assert (after.counts, after.rates) == (before.counts, before.rates)


def test_what_another_session_says_changes_nothing() -> None:
    tokenizer = Tokenizer({name: ends[1] for name, ends in RATES.items()} | {"latin": 0.22}, 20)
    numbers, english = Conversation(tokenizer), Conversation(tokenizer)
    random = Random(1)
    for _ in range(10):
        assert english.ask(texts(random, "latin", 300), texts(random, "latin", 1500)).left_out == 0
        numbers.ask(" ".join(str(random.randrange(10**6)) for _ in range(25)), "Yes.")
    assert 2000 < english.whole("And then?") < WINDOW - RESERVE
    before = english.prompt("And then?").estimate(english.model)
    numbers.ask(" ".join(map(str, range(250))), "Yes.")
    assert english.prompt("And then?").estimate(english.model) == before
    assert english.ask("And then?", "So.").left_out == 0


@pytest.mark.parametrize("script", sorted(ALPHABETS))
@pytest.mark.parametrize("end", [0, 1])
def test_a_long_imported_conversation_is_refused_once(script: str, end: int) -> None:
    """It has no count of its own; what its first answer shows holds for the next ones."""
    talk = Conversation(Tokenizer({name: ends[end] for name, ends in RATES.items()}, 50))
    random = Random(2)
    talk.said = [(texts(random, script, 300), texts(random, script, 600), -2 * n) for n in range(200, 0, -1)]
    refusals = []
    for _ in range(20):
        fitted = talk.ask(texts(random, script, 200), texts(random, script, 600))
        refusals.append(talk.refusals)
        assert talk.counts[-1].tokens > (WINDOW - RESERVE) / 3, fitted.left_out
    assert sum(refusals[1:]) == 0, refusals
    assert refusals[0] <= 1
