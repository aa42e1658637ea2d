"""The prompt: what of the conversation the model is told.

System prompt, history, message. An answer that was cut short counts as what was said; one without a
word is left out together with its question. Thinking is not sent back.
"""

from base64 import b64encode
from collections.abc import Sequence

from chatproxy.ollama.wire import Turn
from chatproxy.store.records import Message


def spoken(history: Sequence[Message]) -> list[Message]:
    """The messages that go into a prompt, oldest first."""
    kept: list[Message] = []
    for message in history:
        if message.role == "assistant" and not message.content:
            if kept and kept[-1].role == "user":
                kept.pop()
        else:
            kept.append(message)
    return kept


def prompt(
    system: str | None,
    history: Sequence[Message],
    images: dict[int, list[bytes]],
    message: str,
    message_images: Sequence[bytes],
) -> list[Turn]:
    """`images` are those of the history's messages, by message id."""
    turns = [Turn("system", system)] if system else []
    turns += [_turn(past.role, past.content, images.get(past.id, ())) for past in spoken(history)]
    return [*turns, _turn("user", message, message_images)]


def _turn(role: str, content: str, images: Sequence[bytes]) -> Turn:
    return Turn(role, content, [b64encode(image).decode() for image in images])
