"""An answer that is held back in its middle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from chat_client import Client, Stream
from fake_ollama import FakeOllama, Gate, Script, answer

WORDS: Final = "One two three four"


@asynccontextmanager
async def in_the_middle(
    client: Client, fake: FakeOllama, session: str, **body: Any
) -> AsyncIterator[tuple[Stream, Gate]]:
    """Start an answer of four words and read two of them; the gate holds back the others."""
    fake.script = Script(answer(WORDS), gate=(gate := Gate()))
    gate.let(2)
    async with client.sending(session, **body) as stream:
        await stream.has("One two")
        yield stream, gate
