"""The registry of generations: which sessions are busy, the periodic work for all, and the shutdown."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self

from chatproxy.answers.answer import Answer
from chatproxy.background import background, repeat
from chatproxy.clock import Looks
from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.generation.generation import MAX_PIECE, SHUTDOWN, Figures, Generation, Saved
from chatproxy.generation.upstream import UpstreamCall
from chatproxy.store.messages import Messages
from chatproxy.store.records import Piece

AT_ONCE: Final = 50  # answers that are looked at before the loop goes on with what has arrived meanwhile
LAST_COMMITS: Final = 2.0  # seconds that a shutdown waits for commits


class GenerationRegistry:
    """Owns the tasks of all answers, each of which commits the rows of one, and writes it."""

    def __init__(
        self, config: Config, messages: Messages, looks: Looks, observe: Callable[[Figures], None]
    ) -> None:
        """Create an empty registry; `observe` is called at the end of each answer."""
        self._looks = looks
        self._config = config
        self._messages = messages
        self._observe = observe
        self._beginning: dict[str, asyncio.Future[Answer]] = {}  # by session
        self._by_answer: dict[int, Generation] = {}
        self._by_session: dict[str, Generation] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._closing = False

    @classmethod
    @asynccontextmanager
    async def running(
        cls, config: Config, messages: Messages, looks: Looks, observe: Callable[[Figures], None]
    ) -> AsyncIterator[Self]:
        """Yield a registry with its periodic work running; close it afterwards."""
        registry = cls(config, messages, looks, observe)
        async with (
            background(repeat(looks.next, registry._look), name="answers"),
            background(repeat(looks.next, registry._checkpoint), name="checkpoints"),
        ):
            try:
                yield registry
            finally:
                await registry.close()

    # -- starting answers

    def begin(
        self, session_id: str, commit: Coroutine[Any, Any, Generation | Coroutine[Any, Any, Answer]]
    ) -> asyncio.Future[Answer]:
        """Run `commit`, which commits an answer's rows, and write the answer, in a task of their own.

        Return what has the answer once its rows are committed; the task outlives whoever waits for that. If
        the message was sent elsewhere meanwhile, `commit` returns what returns the answer that is there.
        """
        begun: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._beginning[session_id] = begun
        task = asyncio.create_task(self._run(session_id, commit, begun), name=f"answer in {session_id}")
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        return begun

    async def _run(
        self,
        session_id: str,
        commit: Coroutine[Any, Any, Generation | Coroutine[Any, Any, Answer]],
        begun: asyncio.Future[Answer],
    ) -> None:
        try:
            try:
                generation = await commit
            finally:
                del self._beginning[session_id]
            if not isinstance(generation, Generation):
                begun.set_result(await generation)
                return
        except asyncio.CancelledError:
            begun.cancel()
            raise
        except Exception as error:  # any exception reaches the caller through `begun`
            begun.set_exception(error)
            begun.exception()  # mark as retrieved: the caller may have left
            return
        answer = generation.answer
        self._by_answer[answer.id] = self._by_session[session_id] = generation
        self._looks.want()
        if self._closing:
            generation.end(SHUTDOWN)
        begun.set_result(answer)
        try:
            await generation.run()
        finally:
            self._forget(generation)

    def generation(self, answer: Answer, call: UpstreamCall, arrived: float) -> Generation:
        """Return what writes an answer; `arrived` is the monotonic time of the request."""
        return Generation(
            answer,
            call,
            arrived=arrived,
            config=self._config,
            messages=self._messages,
            observe=self._observe,
        )

    def _forget(self, generation: Generation) -> None:
        answer = generation.answer
        del self._by_answer[answer.id]
        if self._by_session.get(answer.session_id) is generation:  # else a later one has taken its place
            del self._by_session[answer.session_id]
        answer.release()

    # -- finding answers

    def beginning(self, session_id: str) -> asyncio.Future[Answer] | None:
        """Return the session's answer whose rows are being committed, if there is one."""
        return self._beginning.get(session_id)

    def answer(self, message_id: int) -> Answer | None:
        """Return one of `answers`."""
        generation = self.of_answer(message_id)
        return None if generation is None else generation.answer

    def answers(self) -> dict[int, Answer]:
        """Return the answers in memory, by message id, including ended ones that are not committed yet."""
        return {message_id: generation.answer for message_id, generation in self._by_answer.items()}

    def of_answer(self, message_id: int) -> Generation | None:
        """Return the generation of an answer, if it is in memory."""
        return self._by_answer.get(message_id)

    def of_session(self, session_id: str) -> Generation | None:
        """Return the generation that keeps a session busy, if there is one."""
        generation = self._by_session.get(session_id)
        return None if generation is None or generation.over else generation

    def __iter__(self) -> Iterator[Generation]:
        return (generation for generation in self._by_answer.values() if not generation.over)

    @property
    def subscribers(self) -> int:
        """The number of subscribers of answers that are being written."""
        return sum(len(generation.answer.subscribers) for generation in self)

    # -- shutting down

    @property
    def is_busy(self) -> bool:
        """Whether the rows of an answer are being committed, or one is being written."""
        return bool(self._runs)

    async def close(self) -> None:
        """End every answer, with a terminal event for every stream, and commit its text. Idempotent.

        An answer whose rows are being committed is started and ended, too. What is not committed within
        LAST_COMMITS is abandoned; the next start ends its row.
        """
        self._closing = True
        for generation in self:
            generation.end(SHUTDOWN)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_COMMITS):
                while self._runs:
                    await asyncio.wait(self._runs)
        for task in (left := set(self._runs)):
            task.cancel()
        if left:
            await asyncio.wait(left)

    # -- periodic work

    async def _look(self) -> None:
        """Look at each answer, at some of them at a time."""
        for number, generation in enumerate(list(self)):
            if number % AT_ONCE == 0:
                self._looks.want()
                await asyncio.sleep(0)
            if not generation.over:
                generation.tick()

    async def _checkpoint(self) -> None:
        """Commit the text that each answer has gained since its last checkpoint, in few units.

        With the commit, a crash loses less than half a second of text.
        """
        generations = list(self)
        with suppress(ChatError):  # such as a full disk; the next checkpoint tries again
            while generations:
                gained: list[tuple[Generation, Piece, Saved]] = []
                size = 0
                while generations and size < MAX_PIECE:
                    generation = generations.pop()
                    if len(generations) % AT_ONCE == 0:
                        await asyncio.sleep(0)
                    if generation.is_in_doubt:
                        generation.saved(Saved(*await self._messages.reached(generation.answer.id)))
                    if gain := generation.unsaved():
                        gained.append((generation, *gain))
                        size += len(gain[0].thinking) + len(gain[0].content)
                # Across a network, it may be stored though nobody is told.
                for generation, *_ in gained if self._messages.is_shared else ():
                    generation.is_in_doubt = True
                if gained:
                    await self._messages.checkpoint([piece for _, piece, _ in gained])
                for generation, _, saved in gained:
                    generation.saved(saved)
