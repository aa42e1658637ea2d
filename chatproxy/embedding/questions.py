"""Makes the vectors of questions, which wait for them, but not for long.

Ollama may have room for one model only. Then the vector of a question would cost it two loads, that of the
model that makes it and that of the one that answers, which is worth less than the time. So if a question has
made Ollama unload other models, those that follow do without, unless the model for vectors is loaded or no
other is.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

from chatproxy.errors import ChatError
from chatproxy.models.catalog import FRESH, canonical
from chatproxy.models.embedding import EmbeddingModel
from chatproxy.models.hosts import Hosts

PATIENCE: Final = 2.0  # seconds for which a question waits for its vector
SILENCE: Final = 30.0  # seconds in which no question waits, after one that got none
EVICTS_FOR: Final = 3600.0  # seconds for which it is believed that there is room for one model only
KEEP_ALIVE: Final = "10m"  # how long the model stays loaded: about as long as a conversation


class Questions:
    """Asks for vectors of questions with `model`, which is None as long as there is none.

    Sets `due` if another one has to be looked for: this one is gone, or has other weights now.
    """

    def __init__(self, models: Hosts, due: asyncio.Event) -> None:
        self.model: EmbeddingModel | None = None
        self._due = due
        self._models = models
        self._silent_until = float("-inf")  # monotonic, as is the next one
        self._alone_until = float("-inf")
        self._calls: set[asyncio.Task[list[list[float]] | None]] = set()

    async def of_questions(self, questions: Sequence[str]) -> Sequence[Sequence[float]] | None:
        """Return a vector for each question; None if there are none soon.

        A call that is late goes on, as the model may have to be loaded, which the next question then spares.
        """
        if self.model is None or monotonic() < self._silent_until:
            return None
        call = asyncio.create_task(self._ask(self.model, questions), name="vectors of a question")
        self._calls.add(call)
        call.add_done_callback(self._forget)
        await asyncio.wait({call}, timeout=PATIENCE)
        if call.done() and call.exception() is None:
            return call.result()
        self._silent_until = monotonic() + SILENCE
        return None

    def _forget(self, call: "asyncio.Task[list[list[float]] | None]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # mark as retrieved: the question may have left

    async def _ask(self, model: EmbeddingModel, questions: Sequence[str]) -> list[list[float]] | None:
        if not await self._is_as_it_was(model):
            self._due.set()
            return None
        loaded = await self._models.running(FRESH)
        is_loaded = canonical(model.name) in loaded
        if is_loaded and len(loaded) > 1:  # there is room for others beside it
            self._alone_until = float("-inf")
        if loaded and not is_loaded and monotonic() < self._alone_until:
            return None
        texts = [f"{model.before_question}{question}" for question in questions]
        vectors = await self._models.embed(model.name, model.digest, texts, keep_alive=KEEP_ALIVE)
        if not is_loaded:
            left = await self._models.running(0)
            if loaded - left:
                self._alone_until = monotonic() + EVICTS_FOR
        return vectors

    async def _is_as_it_was(self, model: EmbeddingModel) -> bool:
        """Return whether the model is the one that the chunks have their vectors from."""
        try:
            digests = {each.digest for each in await self._models.found(model.name)}
        except ChatError:
            return False
        return bool(digests & {None, model.digest})

    async def close(self) -> None:
        """Cancel the calls that are late, and wait until they have ended."""
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        if calls:
            await asyncio.wait(calls)
