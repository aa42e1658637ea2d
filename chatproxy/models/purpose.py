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
    r"embed|rerank|reward|guard|shield|function|tool-?use|xlam|nexusraven|\bdraft\b|translat|ocr\b|\btts\b"
    r"|minicheck|nuextract|reader-?lm|[-:]base\b|:(\S*-)?(text|code)\b"
)
_ONE_SUBJECT: Final = re.compile(
    r"code|devstral|sql|math|prover|medgemma|medllama|meditron|moondream|roleplay"
)
# The system prompt that a maker gives a general model says that it is an assistant, and little more.
_ASSISTANT: Final = re.compile(r"\b(assistant|chatbot|language model|AI model)\b", re.IGNORECASE)


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
    return details.has_examples or bool(system and (details.parent or not _ASSISTANT.search(system)))
