"""What a model is made for, as far as its name, family, template, capabilities and system prompt tell.

Ollama has no word for it. What people install are general chat models; models for one subject, such as code;
characters, which are a system prompt on top of another model; and models that are no use in a conversation.
"""

import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

from chatproxy.ollama.client import Details

# In a name, after its last slash: what the makers call models that do not converse, and their variants that
# only go on with a text.
_NO_CHAT: Final = re.compile(
    r"embed|\b(e5|bge|gte)\b|rerank|reward|\bp?rm\b|judge"  # vectors and scores
    r"|guard|shield|safety|moderat|detect|classif|minicheck"
    r"|function|\btool(?!s)(?!-call)|xlam|nexusraven|router"
    r"|extract|reader-?lm|docling|ocr(\b|\d)|translat|\bmt\b|tts\b|speech|orpheus"
    r"|\bdraft\b|[-:]base\b|\d[bm]-pt\b|:(\S*-)?(text|code|python)\b"
)
_ONE_SUBJECT: Final = re.compile(
    r"cod(e|ing)|devstral|\bswe\b|sql|math|llemma|prover"
    r"|medgemma|medllama|meditron|medichat|\bmed(ical)?\b|\bbio|clinical|\blegal|\blaw\b|financ|cyber|\bsec\b"
    r"|moondream|role-?play|\brp\b"
)
# The system prompt that a maker gives a general model says that it is an assistant, who made it or how it is
# to think, and little more.
_MAKERS: Final = re.compile(
    r"\b(assistant|assistente?n?|asistente|chatbot|language model|AI (model|system|that)"
    r"|(built|created|developed|trained) by|thinking process)\b|助手|语言模型|アシスタント|어시스턴트",
    re.IGNORECASE,
)
# One that gives it a part to play, or a subject.
_PART: Final = re.compile(
    r"\b(act(ing)? as|(answer|behave|respond|speak|talk|write) like|pretend|role-?play|in character|companion"
    r"|expert)\b",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"\b(?:you are|your name is|named) ([a-z]+)")
_STEM: Final = re.compile(r"[a-z]{3,}")


class Purpose(IntEnum):
    """What a model is made for; the lower, the better it suits a message about anything."""

    GENERAL = 0
    SPECIAL = 1  # conversations in a character of its own, or about one subject
    NO_CHAT = 2  # embeddings, function calls, guarding, drafts, mere continuation


@lru_cache(maxsize=4096)
def purpose_of(name: str, details: Details) -> Purpose:
    """Return what the model of that name is made for."""
    base = name.rpartition("/")[2]
    words = f"{base} {details.family} {details.basename}".lower().replace("_", "-")
    capabilities = details.capabilities
    if details.continues or "embedding" in capabilities or _NO_CHAT.search(words):
        return Purpose.NO_CHAT
    completes_code = "insert" in capabilities and "tools" not in capabilities
    if completes_code or _is_character(details) or _ONE_SUBJECT.search(words):
        return Purpose.SPECIAL
    return Purpose.GENERAL


def _is_character(details: Details) -> bool:
    """Return whether it has examples, or a system prompt that somebody else than its maker gave it."""
    system = details.system
    if not system or details.has_examples:
        return details.has_examples
    if _PART.search(system):
        return True
    return not _names_itself(details) and (bool(details.parent) or not _MAKERS.search(system))


def _names_itself(details: Details) -> bool:
    """Return whether the system prompt calls the model by the name of its family, as "You are Qwen" does."""
    stems = [_STEM.match(name.lower()) for name in (details.family, details.basename)]
    names = tuple([stem[0] for stem in stems if stem])
    return any(name.startswith(names) for name in _NAMED.findall(details.system.lower()))
