"""Which model answers.

The request's model, else the session's, else `DEFAULT_MODEL`, named as Ollama itself matches names
(any case, `:latest` implied). Where all of these come to "auto": the first installed that can chat.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.ollama.client import Model, Ollama

AUTO: Final = "auto"


class Choice(Struct, frozen=True):
    model: str
    reason: str


def canonical(name: str) -> str:
    name = name.lower()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


async def choose(ollama: Ollama, *, requested: str | None, of_session: str | None, default: str) -> Choice:
    """Raises `model_not_found`, `no_models`, `no_suitable_model`, or what kept Ollama from answering."""
    for name, reason in (
        (requested, "named in the request"),
        (of_session, "this session's model"),
        (default, "the default here"),
    ):
        if name is not None:
            break
    assert name is not None
    if canonical(name) == canonical(AUTO):
        return await _first_that_can_chat(ollama)
    return Choice(await _installed(ollama, name), reason)


async def _installed(ollama: Ollama, name: str) -> str:
    """The name as Ollama spells it. Where the list cannot be read, it is tried all the same."""
    try:
        models = await ollama.tags()
    except ChatError:
        return name
    for model in models:
        if canonical(model.name) == canonical(name):
            return model.name
    raise ChatError(
        "model_not_found",
        f"The model {name} is not installed; type `ollama pull {name}` or choose one of: {_names(models)}.",
        installed=[model.name for model in models],
    )


async def _first_that_can_chat(ollama: Ollama) -> Choice:
    models = await ollama.tags()
    if not models:
        raise ChatError(
            "no_models", "No model is installed; type `ollama pull gemma3` where Ollama runs, then try again."
        )
    for model in models:
        if "completion" in (await ollama.show(model.name)).capabilities:
            return Choice(model.name, "the first installed that can chat")
    raise ChatError(
        "no_suitable_model",
        f"None of the installed models can chat ({_names(models)}); type `ollama pull gemma3` to add one.",
    )


def _names(models: Sequence[Model]) -> str:
    return ", ".join(model.name for model in models) or "none"
