"""Which model makes vectors of texts, which tell how close they are in meaning.

`EMBEDDING_MODEL` names it. If that is "auto", chatproxy selects among the installed ones of which Ollama says
that they embed, and which run on this machine: no document leaves it unless a model elsewhere is named. The
first by these rules is selected:

1. one that is known to have been trained in many languages, so that a question may be in another one than
   the document;
2. one with a billion parameters at most, because every question waits for it;
3. of these, the largest, and otherwise the smallest.

The name decides last. What is loaded, and how fast it is, makes no difference: the same models installed mean
the same choice, as all vectors have to be made again for another one. For that, one of several hosts that is
away changes nothing, either: until it is back, no other model is selected than before.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from chatproxy.errors import ChatError
from chatproxy.models.catalog import FRESH, KnownModel
from chatproxy.models.hosts import Hosts
from chatproxy.models.selection import AUTO

NONE: Final = "none"  # as a name: no model
SUGGESTED: Final = "bge-m3"  # what to install first: of all languages, and small
LARGE: Final = 1e9  # parameters


class _Kind(Struct, frozen=True):
    """What the makers of some models say about them.

    `question` stands before what is searched for, `text` before what is searched in.
    """

    name: re.Pattern[str]
    many_languages: bool = False
    question: str = ""
    text: str = ""


_RETRIEVE: Final = "Represent this sentence for searching relevant passages: "
_INSTRUCT: Final = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)
# From the model cards. The first one that matches counts.
_KINDS: Final = (
    _Kind(re.compile(r"nomic.*(v2|moe)"), True, "search_query: ", "search_document: "),
    _Kind(re.compile(r"nomic"), False, "search_query: ", "search_document: "),
    _Kind(re.compile(r"qwen3"), True, _INSTRUCT),
    _Kind(re.compile(r"gemma"), True, "task: search result | query: ", "title: none | text: "),
    _Kind(re.compile(r"multilingual.*\be5\b|\be5\b.*multilingual"), True, "query: ", "passage: "),
    _Kind(re.compile(r"\be5\b"), False, "query: ", "passage: "),
    _Kind(re.compile(r"arctic.*(embed-?2|v2)"), True, "query: "),
    _Kind(re.compile(r"arctic|mxbai|bge-(small|base|large|.*-en)"), False, _RETRIEVE),
    _Kind(re.compile(r"bge-m3|multilingual|labse|granite.*(107m|278m)|jina.*v[3-9]"), True),
)
_OTHER: Final = _Kind(re.compile(""))


class EmbeddingModel(Struct, frozen=True):
    """A model that makes vectors. `digest` is that of the model, or its name if it has none."""

    name: str
    digest: str
    before_question: str = ""
    before_text: str = ""

    @property
    def key(self) -> str:
        """What tells its vectors from those of others: only those with the same key can be compared."""
        return f"{self.digest} {self.before_text}".rstrip()


async def find_embedding_model(
    catalog: Hosts, wanted: str, before: str | None = None
) -> EmbeddingModel | None:
    """Return the model that `EMBEDDING_MODEL` means; None if it leaves the choice and there is none.

    Waits until Ollama has described all models, since the choice is among all of them. While a host is away,
    it is the one whose key was `before`. Raises `upstream_…` errors if Ollama cannot list them, or that one
    is away, and for a named one `model_not_found` and `no_suitable_model`.
    """
    models = await catalog.all(FRESH, patient=True)
    if wanted.lower() != AUTO:
        model = await catalog.find(wanted)
        if model.capabilities and "embedding" not in model.capabilities:
            raise ChatError(
                "no_suitable_model",
                f"The model {model.name} makes no vectors; name one for embeddings, such as {SUGGESTED}.",
            )
        return _embedding_model(model)
    if before is not None and catalog.are_missing(models):
        return _kept(models, before)
    return select(models)


def select(models: Sequence[KnownModel]) -> EmbeddingModel | None:
    """Return the first one by the rules; None if none is eligible."""
    eligible = _eligible(models)
    return _embedding_model(min(eligible, key=_rank)) if eligible else None


def _kept(models: Sequence[KnownModel], key: str) -> EmbeddingModel:
    for model in map(_embedding_model, _eligible(models)):
        if model.key == key:
            return model
    raise ChatError(
        "upstream_unavailable",
        "The host with the model for vectors of documents does not answer; start Ollama there, take it out "
        "of OLLAMA_HOST, or name another model in EMBEDDING_MODEL.",
    )


def _eligible(models: Sequence[KnownModel]) -> list[KnownModel]:
    return [model for model in models if "embedding" in model.capabilities and not model.remote]


def _rank(model: KnownModel) -> tuple[bool, bool, float, str]:
    is_large = model.size > LARGE
    return not _kind(model).many_languages, is_large, model.size if is_large else -model.size, model.name


def _kind(model: KnownModel) -> _Kind:
    name = model.name.lower().replace("_", "-")
    return next((kind for kind in _KINDS if kind.name.search(name)), _OTHER)


def _embedding_model(model: KnownModel) -> EmbeddingModel:
    kind = _kind(model)
    return EmbeddingModel(model.name, model.digest or model.name, kind.question, kind.text)
