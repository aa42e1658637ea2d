"""What the installed models can do: asked of Ollama once for each, few at a time, and not waited for long.

A failure of any kind is believed for a minute. It concerns one model, which a choice can do without; `Cached`
remembers timeouts only, because without a list there is no choice at all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import Final

from chatproxy.errors import ChatError
from chatproxy.ollama.client import Details, Model

AT_ONCE: Final = 4  # questions under way
PATIENCE: Final = 0.25  # seconds for which callers wait for what is asked for the first time
RETRY: Final = 60.0  # seconds for which a failure is believed


def digest_of(model: Model) -> str:
    """Return what identifies the model as it is now; its name, if Ollama does not name the digest."""
    return model.digest or model.name


class DetailsCache:
    """The details of models by digest, as far as Ollama has given them."""

    def __init__(self, show: Callable[[str], Awaitable[Details]]) -> None:
        self._show = show
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._questions: dict[str, _Question] = {}

    def get(self, model: Model) -> Details | None:
        """Return the model's details; None until Ollama has given them."""
        question = self._questions.get(digest_of(model))
        return None if question is None else question.details

    async def ask(self, models: Iterable[Model], *, patient: bool = False) -> None:
        """Ask for what is not known, and wait a moment for what has only just been asked for.

        A `patient` caller waits for all that is being asked.
        """
        now = monotonic()
        questions = [self._question(model, now) for model in models]
        awaited = {question.task for question in questions if patient or question.is_recent(now)}
        if awaited:
            await asyncio.wait(awaited, timeout=None if patient else PATIENCE)

    def _question(self, model: Model, now: float) -> "_Question":
        digest = digest_of(model)
        question = self._questions.get(digest)
        if question is None:
            question = self._questions[digest] = _Question(now)
        elif question.details is not None or not question.task.done() or now - question.ended < RETRY:
            return question
        question.task = asyncio.create_task(self._answer(question, model.name), name=f"show {model.name}")
        return question

    async def _answer(self, question: "_Question", name: str) -> None:
        try:
            async with self._slots:
                question.details = await self._show(name)
        except ChatError:
            pass  # it is asked again
        finally:
            question.ended = monotonic()

    def keep(self, models: Iterable[Model]) -> None:
        """Forget all other models."""
        kept = {digest_of(model) for model in models}
        for digest in self._questions.keys() - kept:
            self._questions.pop(digest).task.cancel()

    def expire(self) -> None:
        """Have what Ollama has not given asked for as if for the first time."""
        missing = [digest for digest, question in self._questions.items() if question.details is None]
        for digest in missing:
            self._questions.pop(digest).task.cancel()

    async def close(self) -> None:
        """Cancel what is being asked, and wait until it has ended."""
        tasks = [question.task for question in self._questions.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


class _Question:
    """What is asked about one model, by `task`; times are monotonic."""

    task: asyncio.Task[None]

    def __init__(self, now: float) -> None:
        self.details: Details | None = None
        self.ended = now  # the last attempt
        self._first = now

    def is_recent(self, now: float) -> bool:
        """Return whether its answer is worth waiting for: only once, and not for long."""
        return not self.task.done() and now - self._first < PATIENCE
