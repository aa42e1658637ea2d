"""All answers being produced: which session is busy, one clock for all of them, one end for all."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Set
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

from msgspec import Struct

from chatproxy.answers.answer import Answer
from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.generation.generation import SHUTDOWN, TICK, Figures, Generation
from chatproxy.generation.upstream import UpstreamCall
from chatproxy.store.store import Store

logger: Final = logging.getLogger(__name__)

CHECKPOINT: Final = 0.3  # seconds; with the commit itself, a crash loses less than half a second of text
LAST_COMMITS: Final = 2.0  # seconds that a shutdown waits for them


class Load(Struct, frozen=True):
    """What is under way now."""

    active: int
    queued: int
    subscribers: int


class GenerationRegistry:
    def __init__(self, config: Config, store: Store, observe: Callable[[Figures], None]) -> None:
        """`observe` is told of each answer's end."""
        self._config = config
        self._store = store
        self._observe = observe
        self._by_answer: dict[int, Generation] = {}
        self._by_session: dict[str, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def running(
        cls, config: Config, store: Store, observe: Callable[[Figures], None]
    ) -> AsyncIterator[Self]:
        """With the clocks that look at every answer; ends them all on leaving."""
        self = cls(config, store, observe)
        clocks = [asyncio.create_task(_repeated(look)) for look in (self._tick, self._checkpoint)]
        try:
            yield self
        finally:
            await self.stop_all()
            for clock in clocks:
                clock.cancel()
            await asyncio.wait(clocks)

    def start(self, answer: Answer, asking: UpstreamCall, arrived: float) -> Generation:
        """`arrived` is the monotonic time of the reader's request."""
        generation = Generation(
            answer, asking, arrived=arrived, config=self._config, store=self._store, observe=self._observe
        )
        self._by_answer[answer.id] = self._by_session[answer.session_id] = generation
        task = asyncio.create_task(generation.run(), name=f"answer {answer.id}")
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._forget(generation, task))
        return generation

    def _forget(self, generation: Generation, task: asyncio.Task[None]) -> None:
        answer = generation.answer
        self._tasks.discard(task)
        del self._by_answer[answer.id]
        if self._by_session.get(answer.session_id) is generation:  # else another one had its turn since
            del self._by_session[answer.session_id]

    def now(self) -> dict[int, Generation]:
        """By the answer's id; with those that are over and whose outcome could not be committed yet."""
        return dict(self._by_answer)

    def in_session(self, session_id: str) -> Generation | None:
        """The one that keeps the session busy."""
        generation = self._by_session.get(session_id)
        return None if generation is None or generation.over else generation

    def __iter__(self) -> Iterator[Generation]:
        return (generation for generation in self._by_answer.values() if not generation.over)

    def load(self) -> Load:
        answers = [generation.answer for generation in self]
        queued = sum(answer.progress.state == "queued" for answer in answers)
        return Load(len(answers) - queued, queued, sum(len(answer.readers) for answer in answers))

    async def stop_all(self, beginning: Set[asyncio.Task[Answer]] = frozenset()) -> None:
        """Every stream gets its terminal event; what was said so far is committed. So is what is `beginning`
        meanwhile, which those tasks, as long as they are in the set, start and end."""
        for generation in self:
            generation.end(SHUTDOWN)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMITS):
                while under_way := self._tasks | beginning:
                    await asyncio.wait(under_way)
        for task in self._tasks:
            task.cancel()

    async def _tick(self) -> None:
        await asyncio.sleep(TICK)
        for generation in self:
            generation.tick()

    async def _checkpoint(self) -> None:
        """One commit for all answers: the text that each has gained since the last one."""
        await asyncio.sleep(CHECKPOINT)
        gained = [(generation, *gain) for generation in self if (gain := generation.unsaved())]
        if gained:
            with suppress(ChatError):  # a full disk: the same text is in the next checkpoint
                await self._store.checkpoint([piece for _, piece, _ in gained])
                for generation, _, reached in gained:
                    generation.saved(reached)


async def _repeated(look: Callable[[], Awaitable[None]]) -> None:
    """All answers depend on it, so a look that fails is not the last one."""
    while True:
        try:
            await look()
        except Exception:
            logger.exception("a look at all answers failed by a fault of chatproxy's own")
