"""The rules by which a model is selected.

A name in the request takes precedence over the session's, and that over `DEFAULT_MODEL`. A named model is
used as it is, unless Ollama says that it cannot do what the message needs. If the name is "auto", chatproxy
selects.

A model is eligible if it completes text and runs on this machine; if it has vision, for a message with
images; if it can think, when thinking is requested; and if its window holds what cannot be left out (system
prompt, message, images) with room for an answer. An unknown window excludes no model, and neither does the
history, which can be shortened. How many tokens a text has is an estimate, though. So if no window seems
large enough, those that may be are tried, the largest first. A model of which Ollama does not say what it
can do is eligible only if no other one is, and one that runs elsewhere only if none here can chat at all:
what people write is not sent away because it has a picture.

Of the eligible models, the first by these rules is selected:

1. the model of the session's last answer, so that a conversation keeps its voice;
2. one that was made to converse, rather than for embeddings, function calls, guarding or drafts;
3. one that is loaded within a minute: minutes are too long a wait for the answer to a "Hello";
4. a general one, rather than a character or one for a subject such as code (`purpose`); a system prompt of
   its own makes any model a character beside another that has the same weights and none;
5. one that answers at a readable pace of 8 tokens a second;
6. of these, the largest. If that is not loaded, and one that is has three quarters of its size or more,
   that one, best of all if it is wholly in the fastest memory;
7. the one that would complete 200 tokens soonest, including the time to load it.

Each rule decides only among models that are equal by the rules before it; the name decides last. Times are
those measured here, or else estimated from what was measured of others by size (`pace`).

Where several hosts run Ollama, a model counts by these rules as it does on the host where it is fastest, of
those whose window is large enough. Of these, the host that is asked is the one that would be through with 200
tokens the soonest (`by_host`): after those who wait there, the load, and the prompt, which the host of the
session's last answer has evaluated already. If hosts have other weights by the same name, those of the last
answer come first.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, Self

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.models.catalog import KnownModel, Runner, canonical, listed
from chatproxy.models.hosts import Hosts
from chatproxy.models.pace import TYPICAL, Machine, Pace, pace_of
from chatproxy.models.purpose import Purpose
from chatproxy.store.records import PromptCount

AUTO: Final = "auto"
SUGGESTED: Final = "llama3.2"  # what to install first
READABLE: Final = 8.0  # tokens per second
LONGEST_LOAD: Final = 60.0  # seconds
PROMPT_SPEED: Final = 10.0  # by that of an answer: a prompt's tokens are evaluated many at once
AS_LARGE: Final = 0.75  # of the size of another model
_ACTIONS: Final = {"vision": "see images", "thinking": "think"}
_WITHOUT: Final = {"vision": "without images", "thinking": "without `think`"}


class Choice(Struct, frozen=True):
    """A model, and the reason why it was selected, for the reader."""

    model: KnownModel
    reason: str

    @classmethod
    def of(cls, model: KnownModel, reason: str) -> Self:
        """Return the choice of a model, whose host is named if there are several."""
        return cls(model, f"{reason}, on {model.host}" if model.host else reason)


class Need(Struct, frozen=True, kw_only=True):
    """What a message requires of a model.

    `least(model, window)` returns how many tokens cannot be left out, as far as can be told, including
    the reserve for an answer in a window of that many tokens. `surely` is how many these are for any model.
    `last_model` wrote the session's last answer.

    Where there are several hosts, `prompt(model)` is how many tokens the prompt has, `last` is what was
    counted of the one before it, and `wait(runner)` returns how many seconds others take first.
    """

    least: Callable[[KnownModel, int], int] = lambda model, window: 0
    surely: int = 0
    images: bool = False
    think: bool = False
    last_model: str | None = None
    prompt: Callable[[KnownModel], int] = lambda model: 0
    last: PromptCount | None = None
    wait: Callable[[Runner], float] = lambda runner: 0.0

    @property
    def capabilities(self) -> frozenset[str]:
        """What Ollama has to say that the model can do."""
        wanted = (("vision", self.images), ("thinking", self.think))
        return frozenset({"completion", *(name for name, is_wanted in wanted if is_wanted)})


class Candidate(Struct, frozen=True):
    """An eligible model, how fast it is here, and what it is made for beside the others."""

    model: KnownModel
    pace: Pace
    purpose: Purpose
    is_last: bool

    @property
    def is_soon(self) -> bool:
        """Whether it is loaded within a minute."""
        return self.pace.load <= LONGEST_LOAD

    @property
    def is_fast(self) -> bool:
        """Whether it is, and one can then read along."""
        return self.is_soon and self.pace.tokens_per_second >= READABLE

    @property
    def rank(self) -> tuple[bool, ...]:
        """Its place by rules 1 to 5; the lower, the better."""
        return (
            not self.is_last,
            self.purpose is Purpose.NO_CHAT,
            not self.is_soon,
            self.purpose is not Purpose.GENERAL,
            not self.is_fast,
        )

    @property
    def seconds(self) -> float:
        """How long a typical answer takes, to a tenth."""
        return round(self.pace.load + self.pace.answer, 1)


def named(requested: str | None, of_session: str | None, default: str) -> tuple[str, str] | None:
    """Return the name that takes precedence, and why; None if chatproxy selects."""
    for name, reason in (
        (requested, "named in the request"),
        (of_session, "this session's model"),
        (default, "the default here"),
    ):
        if name is not None:
            return None if name.lower() == AUTO else (name, reason)
    return None


def is_named(default: str) -> bool:
    """Return whether DEFAULT_MODEL names a model."""
    return named(None, None, default) is not None


async def for_plain_message(catalog: Hosts, default: str) -> KnownModel:
    """Return the model that would answer a message without wishes, where `default` is DEFAULT_MODEL.

    Waits until Ollama has described all models. Raises what a send would, and `upstream_…` errors.
    """
    models = await catalog.all(patient=True)
    if not is_named(default):
        return rank(models, Need())[0].model
    model = await catalog.find(default)
    await check_named(model, Need(), catalog)
    return model


async def check_named(model: KnownModel, need: Need, catalog: Hosts) -> None:
    """Raise `no_suitable_model` if Ollama has said that a named model cannot do what the message needs."""
    if not model.capabilities or need.capabilities <= model.capabilities:
        return
    lacking = need.capabilities - model.capabilities
    able = [other.name for other in await catalog.all() if need.capabilities <= other.capabilities]
    others = f"choose one of: {listed(able)}" if able else "install another one with `ollama pull`"
    without = " and ".join(_WITHOUT[name] for name in _WITHOUT if name in lacking)
    remedy = others if "completion" in lacking else f"send the message {without}, or {others}"
    raise ChatError("no_suitable_model", f"The model {model.name} cannot {_actions(lacking)}; {remedy}.")


def rank(models: Sequence[KnownModel], need: Need) -> list[Choice]:
    """Return the eligible models, best first, each as often as there are hosts that have it.

    Raises `no_models`, `no_suitable_model` or, if only the window is too small, `message_too_long`.
    """
    if any(model.host for model in models):
        return _ranked_by_host(models, need)
    return _ranked_by_rules(models, need)


def _ranked_by_host(models: Sequence[KnownModel], need: Need) -> list[Choice]:
    """Rank each model as it is on the host where it is fastest and fits; then, put those of each in order."""
    groups = {canonical(group[0].name): group for group in by_name(models)}
    size = Need(least=need.least, surely=need.surely)
    fastest = [by_host(group, size)[0] for group in groups.values()]
    return [
        Choice.of(model, choice.reason)
        for choice in _ranked_by_rules(fastest, need)
        for model in by_host(groups[canonical(choice.model.name)], need)
    ]


def by_name(models: Iterable[KnownModel]) -> list[list[KnownModel]]:
    """Return the models; where there are several hosts, those of one name together."""
    groups: dict[str, list[KnownModel]] = {}
    for model in models:
        groups.setdefault(canonical(model.name) if model.host else model.name, []).append(model)
    return list(groups.values())


def _ranked_by_rules(models: Sequence[KnownModel], need: Need) -> list[Choice]:
    if not models:
        raise ChatError(
            "no_models",
            f"No model is installed; type `ollama pull {SUGGESTED}` where Ollama runs, and try again.",
        )
    eligible = _eligible(models, need)
    possible = [model for model in eligible if not surely_too_long(model, need)]
    if not possible:
        largest = max(eligible, key=lambda model: model.window or 0)
        raise too_long(largest, need.least(largest, largest.window or 0))
    fitting = [model for model in possible if _fits(model, need)]
    if not fitting:
        reason = "the largest window here" if len(possible) > 1 else _only_reason(models, need)
        possible.sort(key=lambda model: (-(model.window or 0), model.name))
        return [Choice(model, reason) for model in possible]
    ranked = _ranked(_candidates(fitting, models, need))
    first = _reason(ranked, models, need)
    return [Choice(each.model, first if each is ranked[0] else "the next best") for each in ranked]


def by_host(models: Sequence[KnownModel], need: Need) -> list[KnownModel]:
    """Return one model, as several hosts have it, the host first that is through the soonest.

    Those whose window is too small come last.
    """
    if len(models) == 1:
        return [*models]
    fastest = max([model.tokens_per_second or 0.0 for model in models])

    def seconds(model: KnownModel) -> float:
        pace = pace_of(model)
        rate = pace.tokens_per_second if pace.measured or not fastest else fastest  # until it is measured
        is_evaluated = need.last is not None and (need.last.model, need.last.host) == (model.id, model.host)
        prompt = 0.0 if is_evaluated else need.prompt(model) / (PROMPT_SPEED * rate)
        return need.wait(model.runner) + pace.load + prompt + TYPICAL / rate

    def order(model: KnownModel) -> tuple[int, bool, bool, float, str]:
        lacks = (not _fits(model, need)) + surely_too_long(model, need)
        is_other = need.last is not None and need.last.model != model.id
        return lacks, model.is_failing, is_other, seconds(model), model.host

    return sorted(models, key=order)


def surely_too_long(model: KnownModel, need: Need) -> bool:
    """Return whether the window cannot hold the message, however the model counts its tokens."""
    return model.window is not None and need.surely > model.window


def too_long(model: KnownModel, needed: int) -> ChatError:
    """Return `message_too_long` for a message that needs so many tokens."""
    window = model.window or 0
    return ChatError(
        "message_too_long",
        f"The message needs about {needed} tokens, and the window of {model.name} holds {window}; "
        "shorten it, or raise OLLAMA_CONTEXT_LENGTH where Ollama runs.",
        neededTokens=needed,
        contextLength=window,
    )


def _eligible(models: Sequence[KnownModel], need: Need) -> list[KnownModel]:
    wanted = need.capabilities
    considered = _considered(models)
    eligible = [model for model in considered if model.is_described and wanted <= model.capabilities]
    eligible = eligible or [model for model in considered if not model.is_described]
    if not eligible:
        away = [model.name for model in models if model.remote and wanted <= model.capabilities]
        remedy = f"name one that runs elsewhere ({listed(away)})" if away else "name a model"
        raise ChatError(
            "no_suitable_model",
            f"None of the models here can {_actions(wanted)} ({listed([each.name for each in considered])}); "
            f"install one that can with `ollama pull`, or {remedy}.",
        )
    return eligible


def _considered(models: Sequence[KnownModel]) -> Sequence[KnownModel]:
    """Return the models that run here, unless none of these can chat: then also those that run elsewhere."""
    here = [model for model in models if not model.remote]
    return (
        here
        if any(not model.is_described or "completion" in model.capabilities for model in here)
        else models
    )


def _actions(capabilities: frozenset[str]) -> str:
    """Return what a model with these capabilities can do, for a sentence."""
    return " and ".join(_ACTIONS[name] for name in _ACTIONS if name in capabilities) or "chat"


def _fits(model: KnownModel, need: Need) -> bool:
    return model.window is None or need.least(model, model.window) <= model.window


def _candidates(
    fitting: Sequence[KnownModel], models: Sequence[KnownModel], need: Need
) -> Iterator[Candidate]:
    machine = Machine(models)
    general = [model for model in models if model.purpose is Purpose.GENERAL and not model.has_system]
    plain = {model.weights for model in general if model.weights}
    last = need.last_model and canonical(need.last_model)
    for model in fitting:
        is_character = model.has_system and model.weights in plain
        purpose = max(model.purpose, Purpose.SPECIAL) if is_character else model.purpose
        yield Candidate(model, machine.pace(model), purpose, canonical(model.name) == last)


def _ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return the candidates, best first."""
    ranked: list[Candidate] = []
    for _, equal in groupby(sorted(candidates, key=lambda each: each.rank), key=lambda each: each.rank):
        for rivals in _by_size(equal):
            ranked += sorted(rivals, key=_order)
    return ranked


def _by_size(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """Yield those that rule 6 takes for equally large together, the largest first.

    Those that are not fast are all together, because only the time counts among them.
    """
    rivals: list[Candidate] = []
    for each in sorted(candidates, key=lambda each: -each.model.size):
        if rivals and each.is_fast and each.model.size < AS_LARGE * rivals[0].model.size:
            yield rivals
            rivals = []
        rivals.append(each)
    yield rivals


def _order(candidate: Candidate) -> tuple[float | str, ...]:
    """Return a key for the order among rivals."""
    model, by_size = candidate.model, candidate.is_fast
    return (
        by_size and not model.warm,
        by_size and not (model.warm and model.in_memory),
        -model.size if by_size else 0.0,
        candidate.seconds,
        model.name,
    )


def _reason(ranked: Sequence[Candidate], models: Sequence[KnownModel], need: Need) -> str:
    """Return why the first one is selected, in words for the reader."""
    first = ranked[0]
    if first.is_last:
        return "answered last in this session"
    if len(ranked) == 1:
        return _only_reason(models, need)
    kind = {Purpose.GENERAL: "general model", Purpose.SPECIAL: "chat model"}.get(first.purpose, "model")
    qualities = _qualities(len(ranked), models, need)
    alike = [each for each in ranked[1:] if each.purpose is first.purpose]
    if first.purpose is Purpose.GENERAL and not alike:
        return f"the only {kind}{qualities} here"
    pace = first.pace
    about = "" if pace.measured else "about "
    rate = "" if pace.assumed else f": {about}{pace.tokens_per_second:.0f} tokens/s"
    if not first.is_fast:
        limit = "of those that load within a minute" if first.is_soon else "here"
        return f"the soonest {kind}{qualities} {limit}{rate}"
    place = "" if pace.assumed else " here"
    if all(each.model.size < first.model.size for each in alike if each.is_fast):
        does = "is" if pace.measured else "should be"
        return f"the largest {kind}{qualities} that {does} fast enough{place}{rate}"
    does = "are" if pace.measured else "should be"
    loaded = "already loaded, and " if first.model.warm else ""
    return f"{loaded}one of the largest {kind}s{qualities} that {does} fast enough{place}{rate}"


def _qualities(fitting: int, models: Sequence[KnownModel], need: Need) -> str:
    """Return what the models that could be selected have, and others may not have."""
    words = {"vision": "vision", "thinking": "thinking", "window": "a large enough window"}
    considered = _considered(models)
    able = [model for model in considered if model.is_described and need.capabilities <= model.capabilities]
    wanted = need.capabilities | ({"window"} if fitting < len(able) else set())
    having = " and ".join(words[name] for name in words if name in wanted)
    described = " described so far" if able and not all(model.is_described for model in considered) else ""
    return (f" with {having}" if having else "") + described


def _only_reason(models: Sequence[KnownModel], need: Need) -> str:
    chatting = [model for model in _considered(models) if "completion" in model.capabilities]
    if need.images and any("vision" not in model.capabilities for model in chatting):
        return "needs images"
    if need.think and any("thinking" not in model.capabilities for model in chatting):
        return "needs thinking"
    if len(chatting) > 1:
        return "needs a large window"
    if len(models) == 1:
        return "the only one installed"
    if all(model.remote for model in chatting):
        return "the only one that can chat, elsewhere"
    if chatting and not all(model.is_described for model in models):
        return "the only one that Ollama has described so far"
    return "the only one here that can chat"
