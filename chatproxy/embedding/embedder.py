"""Makes the vectors of all documents' chunks, in the background.

Owners take turns, and the newest document of each comes first. What a request brought is stored before the
next one is made, so that a restart goes on where the process ended. A request is for as many vectors as the
model makes in about a second.

Answers come first. As long as there are any to write, Ollama is asked for vectors in a tenth of the time
only, the loading of models included: where it has room for one of them, it has to load two for each such
request. When there are none to write, requests follow each other, so that this happens once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from time import monotonic
from typing import Final

from chatproxy.background import background
from chatproxy.embedding.questions import KEEP_ALIVE, Questions
from chatproxy.errors import ChatError
from chatproxy.models.embedding import NONE, EmbeddingModel, find_embedding_model
from chatproxy.models.hosts import Hosts
from chatproxy.models.selection import AUTO
from chatproxy.ollama.wire import RefusalError
from chatproxy.store.search.vectors import Pending, Vectors
from chatproxy.system.optional import install_documents

logger: Final = logging.getLogger(__name__)

MOST: Final = 64  # vectors in a request, and in a row of the database
FIRST: Final = 8  # vectors in the first request
SECONDS: Final = 1.0  # that a request is to take
PAUSE: Final = 9.0  # times the duration of the last request, while answers are written
RETRY: Final = 30.0  # seconds until Ollama is asked again after a failure


def is_possible(wanted: str) -> bool:
    """Return whether documents may get vectors: `EMBEDDING_MODEL` does not say "none", and numpy is there."""
    if wanted.lower() == NONE:
        return False
    has_numpy = find_spec("numpy") is not None
    if not has_numpy and wanted.lower() != AUTO:
        logger.warning("EMBEDDING_MODEL needs numpy; %s", install_documents())
    return has_numpy


class Embedder:
    """Has every document embedded with the model that `wanted` means, as `EMBEDDING_MODEL` does.

    Looks for a model when it starts, after an upload, and when a question is about a document that lacks
    vectors; never without documents.
    """

    def __init__(
        self,
        models: Hosts,
        vectors: Vectors,
        wanted: str,
        idle: asyncio.Event,
        delegate: Callable[[], bool] = lambda: False,
    ) -> None:
        """`idle` is set while there are no answers to write.

        `delegate` returns whether the documents are another process's work, and tells it that there is some.
        """
        self._delegate = delegate
        self._models = models
        self._vectors = vectors
        self._wanted = wanted
        self._idle = idle
        self._questions = Questions(models, vectors.due)
        self._said = ""  # in the log
        self._most = FIRST
        self._took = SECONDS  # the last request

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make vectors of documents and of questions while the block runs."""
        self._vectors.meaning = self._questions
        async with background(self._run(), name="vectors of documents"):
            try:
                yield
            finally:
                self._vectors.meaning = None
                await self._questions.close()

    async def _run(self) -> None:
        while True:
            await self._vectors.due.wait()
            self._vectors.due.clear()
            try:
                await self._embed_all()
            except ChatError as error:
                self._say(logging.WARNING, f"documents are searched by words alone for now: {error.sentence}")
                self._most = max(1, self._most // 2)
                self._vectors.due.set()
                await asyncio.sleep(RETRY)

    async def _embed_all(self) -> None:
        if not await self._vectors.has_documents():
            return
        before = await self._vectors.latest_key() if self._models.are_several else None
        model = await find_embedding_model(self._models, self._wanted, before)
        self._questions.model = model
        await self._vectors.use(None if model is None else model.key)
        if model is None:
            return
        self._say(logging.INFO, f"documents are also searched by meaning, with {model.name}")
        if self._delegate():
            return
        owner = None
        while document := await self._vectors.pending(model.key, owner):
            owner = document.owner
            await self._embed_some(model, document)

    async def _embed_some(self, model: EmbeddingModel, document: Pending) -> None:
        texts = await self._vectors.texts(document, self._most)
        if not texts:  # it was deleted
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE * self._took):
                await self._idle.wait()
        began = monotonic()
        vectors = await self._embed(model, [f"{model.before_text}{text}" for text in texts])
        self._took = monotonic() - began
        await self._vectors.add(document, model.key, vectors)
        in_time = round(SECONDS * len(texts) / max(self._took, 0.001))
        self._most = max(1, min(MOST, 2 * self._most, in_time))

    async def _embed(self, model: EmbeddingModel, texts: Sequence[str]) -> list[list[float]]:
        """Return a vector for each text; a text that the model refuses is similar to none."""
        try:
            return await self._models.embed(model.name, model.digest, texts, keep_alive=KEEP_ALIVE)
        except RefusalError as refusal:
            if refusal.is_busy or refusal.code != "upstream_error":  # it is not about the texts
                raise
        if len(texts) > 1:
            return [vector for text in texts for vector in await self._embed(model, [text])]
        # If the model refuses any text, this raises.
        (other,) = await self._models.embed(model.name, model.digest, ["a"], keep_alive=KEEP_ALIVE)
        return [[0.0] * len(other)]

    def _say(self, level: int, sentence: str) -> None:
        """Log a sentence, unless it was the last one."""
        if sentence != self._said:
            self._said = sentence
            logger.log(level, sentence)
