"""The rules by which a model is selected.

A name in the request takes precedence over the session's, and that over `DEFAULT_MODEL`. A named model is
used as it is. If the name is "auto", chatproxy selects.

A model is eligible if it completes text and runs on this machine; if it has vision, for a message with
images; if it can think, when thinking is requested; and if its window holds what cannot be left out (system
prompt, message, images) with room for an answer. An unknown window excludes no model, and neither does the
history, which can be shortened. How many tokens a text has is an estimate, though. So if no window seems
large enough, those that may be are tried, the largest first. A model of which Ollama has not said yet what
it can do is eligible only if no other one is.

Of the eligible models, the first by these rules is selected:

1. the model of the session's last answer, so that a conversation keeps its voice;
2. for a demanding message (a prompt of over 2,000 tokens with its history, or one about a document), the
   largest that answers at a readable pace of 8 tokens a second, or whose pace is unknown;
3. a loaded model, and among those one that is wholly in the fastest memory;
4. the one that would complete 200 tokens soonest, as measured here, including the time to load it;
5. without measurements, the smallest.

Each rule decides only among models that are equal by the rules before it; the name decides last.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.models.catalog import KnownModel, canonical, listed

AUTO: Final = "auto"
DEMANDING: Final = 2000  # tokens in the prompt
READABLE: Final = 8.0  # tokens per second
TYPICAL: Final = 200  # tokens in an answer


class Choice(Struct, frozen=True):
    """A model, and the reason why it was selected, for the reader."""

    model: KnownModel
    reason: str


class Need(Struct, frozen=True, kw_only=True):
    """What a message requires of a model.

    `least(model, window)` returns how many tokens cannot be left out, by the model's own estimate, including
    the reserve for an answer in a window of that many tokens. `surely` is how many these are for any model.
    `whole` is the tokens of everything, roughly. `last_model` wrote the session's last answer.
    """

    least: Callable[[KnownModel, int], int] = lambda model, window: 0
    surely: int = 0
    whole: int = 0
    images: bool = False
    think: bool = False
    document: bool = False
    last_model: str | None = None


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


def rank(models: Sequence[KnownModel], need: Need) -> list[Choice]:
    """Return the eligible models, best first.

    Raises `no_models`, `no_suitable_model` or, if only the window is too small, `message_too_long`.
    """
    if not models:
        raise ChatError(
            "no_models", "No model is installed; type `ollama pull gemma3` where Ollama runs, and try again."
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
    ranked = sorted(fitting, key=lambda model: _order(model, need))
    reason_for = _reasons(fitting, models, need)
    return [Choice(model, reason_for(model)) for model in ranked]


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
    wanted = {"completion"} | ({"vision"} if need.images else set()) | ({"thinking"} if need.think else set())
    local = [model for model in models if not model.remote]
    eligible = [model for model in local if model.is_described and wanted <= model.capabilities]
    eligible = eligible or [model for model in local if not model.is_described]
    if not eligible:
        what = {"vision": "see images", "thinking": "think"}
        lacking = " and ".join(what[name] for name in sorted(wanted & what.keys(), reverse=True)) or "chat"
        raise ChatError(
            "no_suitable_model",
            f"None of the installed models can {lacking} ({listed([model.name for model in models])}); "
            "install one that can with `ollama pull`, or name a model.",
        )
    return eligible


def _fits(model: KnownModel, need: Need) -> bool:
    return model.window is None or need.least(model, model.window) <= model.window


def _order(model: KnownModel, need: Need) -> tuple[float | str, ...]:
    return (
        not _is_last(model, need),
        _is_demanding(need) and not _is_readable(model),
        -model.size if _is_demanding(need) and _is_readable(model) else 0.0,
        not model.warm,
        not (model.warm and model.in_memory),
        _seconds(model),
        model.size or float("inf"),
        model.name,
    )


def _is_last(model: KnownModel, need: Need) -> bool:
    return need.last_model is not None and canonical(need.last_model) == canonical(model.name)


def _is_demanding(need: Need) -> bool:
    return need.document or need.whole > DEMANDING


def _is_readable(model: KnownModel) -> bool:
    return model.tokens_per_second is None or model.tokens_per_second >= READABLE


def _seconds(model: KnownModel) -> float:
    """Return the seconds that a typical answer takes; infinity if the model was not measured."""
    if not model.tokens_per_second:
        return float("inf")
    load = 0.0 if model.warm else (model.measured.load_ms or 0.0) / 1000
    return load + TYPICAL / model.tokens_per_second


def _reasons(
    fitting: Sequence[KnownModel], models: Sequence[KnownModel], need: Need
) -> Callable[[KnownModel], str]:
    """Return a function that names the rule that ranked a model, in words for the reader."""
    fastest = max((other.tokens_per_second or 0.0 for other in models if not other.remote), default=0.0)
    only = _only_reason(models, need) if len(fitting) == 1 else None
    is_demanding = _is_demanding(need)

    def reason_for(model: KnownModel) -> str:
        if _is_last(model, need):
            return "answered last in this session"
        if only is not None:
            return only
        if is_demanding and _is_readable(model):
            return "the largest here that answers at a readable pace"
        if model.warm:
            return "already loaded"
        if model.tokens_per_second:
            what = "fastest installed here" if model.tokens_per_second >= fastest else "soonest here"
            return f"{what}: {model.tokens_per_second:.0f} tokens/s"
        return "the smallest installed"

    return reason_for


def _only_reason(models: Sequence[KnownModel], need: Need) -> str:
    chatting = [model for model in models if "completion" in model.capabilities and not model.remote]
    if need.images and any("vision" not in model.capabilities for model in chatting):
        return "needs images"
    if need.think and any("thinking" not in model.capabilities for model in chatting):
        return "needs thinking"
    if len(chatting) > 1:
        return "needs a large window"
    if not all(model.is_described for model in models):
        return "the only one that Ollama has described so far"
    return "the only one installed"
