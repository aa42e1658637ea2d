"""The way to Ollama's last line: the slot, the model, the prompt, the connection, and their second chances.

A model that chatproxy chose and that fails before its first word gives way to the next best one, once.
A prompt that Ollama says does not fit is fitted anew, with the numbers that it named, once.
"""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Final

from chatproxy.answers.answer import Answer
from chatproxy.answers.events import State
from chatproxy.errors import ChatError
from chatproxy.generation.queue import Ticket
from chatproxy.models.catalog import KnownModel, Models
from chatproxy.models.selection import Choice
from chatproxy.ollama.client import Ollama
from chatproxy.ollama.stream import ChatStream
from chatproxy.ollama.wire import Line, Refused
from chatproxy.prompt.plan import Plan
from chatproxy.prompt.prompt import TRUNCATED, FittedPrompt
from chatproxy.store.records import Measurement, Notice

LOOK_EVERY: Final = 1.0  # seconds, for a model that is being loaded


class UpstreamCall:
    """Appends to the answer what comes, until it is stopped."""

    def __init__(self, answer: Answer, plan: Plan, ticket: Ticket, ollama: Ollama, models: Models) -> None:
        self.first_text: float | None = None  # the monotonic time of the first thinking or answer text
        self.last_text: float | None = None
        self.measurement: Measurement | None = None  # what the answer showed of its model
        self._answer = answer
        self._plan = plan
        self._ticket = ticket
        self._ollama = ollama
        self._models = models
        self._stream: ChatStream | None = None
        self._stopped = False

    @property
    def installed(self) -> bool:
        """Whether Ollama has listed the model; else its name may be anything."""
        return self._plan.first.model.digest is not None

    async def last_line(self) -> Line:
        """Ollama's final line. Where chatproxy chose the model and it fails before its first word, the next
        best one gets the message, once."""
        first, second = self._plan.first, self._plan.second
        try:
            return await self._answered_by(first.model, self._plan.fitted)
        except ChatError as error:
            if second is None or self.first_text is not None or not _is_of_the_model(error):
                raise
            self._fall_back(first, second, error)
        fitted = self._plan.prompt.fit(second.model)
        self._refit(fitted)
        return await self._answered_by(second.model, fitted)

    def _fall_back(self, first: Choice, second: Choice, error: ChatError) -> None:
        try:
            self._ticket = self._ticket.rejoin(second.model.runner)
        except ChatError:  # its line is full: what the first one said is why there is no answer
            raise error from None
        self._answer.model, self._answer.model_reason = second.model.name, f"{first.model.name} failed"
        message = f"{first.model.name} failed ({error.sentence}); {second.model.name} answers instead."
        self._answer.warn(Notice(code="model_fallback", message=message))

    async def _answered_by(self, model: KnownModel, fitted: FittedPrompt) -> Line:
        await self._admission()
        try:
            return await self._exchange(model, fitted)
        except Refused as refused:
            if refused.window is None or refused.prompt_tokens is None:
                raise
            model = self._models.refused(
                model, fitted.size, fitted.tokens, window=refused.window, tokens=refused.prompt_tokens
            )
        fitted = self._plan.prompt.fit(model)
        self._refit(fitted)
        return await self._exchange(model, fitted)

    def _refit(self, fitted: FittedPrompt) -> None:
        """Another prompt than the one before: what was said of that holds no more."""
        warnings = {notice.code: notice for notice in self._answer.warnings}
        warnings.pop(TRUNCATED, None)
        warnings |= {notice.code: notice for notice in fitted.notices}
        self._answer.refit(fitted.sources, list(warnings.values()))

    async def _admission(self) -> None:
        if not self._ticket.admitted:
            self._ticket.moved = self._queued
            self._queued(self._ticket.position)
            await self._ticket.admission()

    def _queued(self, position: int) -> None:
        self._answer.enter("queued", position)

    async def _exchange(self, model: KnownModel, fitted: FittedPrompt) -> Line:
        self._answer.progress.eta_ms = model.measured.load_ms
        self._answer.enter("waiting" if await self._models.warm(model) else "loading")
        loading = asyncio.create_task(self._look_for(model))
        try:
            self._stream = await self._ollama.chat(fitted.body, self._receive)
            last = await self._stream.finished
        except ChatError:
            self._stream = None  # no limit runs against it any more
            raise
        finally:
            loading.cancel()
        self.measurement = self._models.measurement(model, last, fitted.size)
        return last

    async def _look_for(self, model: KnownModel) -> None:
        """Ollama says nothing while it loads a model: its list of running ones tells when it has, or that
        what was taken for loaded has to be loaded anew."""
        loaded = model.remote
        while not loaded:
            await asyncio.sleep(LOOK_EVERY)
            if self.first_text is None:
                loaded = await self._models.loaded(model)
            if self.first_text is not None:
                return
            state: State = "waiting" if loaded else "loading"
            if state != self._answer.progress.state:
                self._answer.enter(state)

    def _receive(self, lines: Sequence[Line]) -> None:
        """Takes in what one read brought; the connection itself calls it, no task is woken."""
        thinking = content = ""
        tokens = 0
        for line in lines:
            thought, said = line.thinking, line.content
            thinking += thought
            content += said
            tokens += bool(thought or said)
        if lines[-1].done:
            self._ticket.written()
        if self._stopped or not (thinking or content):
            return
        self.last_text = monotonic()
        if self.first_text is None:
            self.first_text = self.last_text
            # In the next turn of the loop: the end of another answer may have come with this beginning.
            asyncio.get_running_loop().call_soon(self._ticket.generating)
            self._answer.enter("generating")
        self._answer.append(thinking, content, tokens)

    def stop(self) -> None:
        """Nothing is appended from here on, and the connection is closed."""
        self._stopped = True
        self._ticket.written()
        if self._stream is not None:
            self._stream.abort()

    def leave(self) -> None:
        """Gives the slot, or the place in the line, to others."""
        self._ticket.leave()

    def overdue(self, first_token_timeout: float, token_timeout: float) -> ChatError | None:
        """`upstream_timeout`, where Ollama has been silent for too long; the limits are in seconds."""
        if self._stream is None:
            return None
        started = self._stream.started
        limit = token_timeout if started else first_token_timeout
        if monotonic() - self._stream.last_read < limit:
            return None
        setting = "TOKEN_TIMEOUT" if started else "FIRST_TOKEN_TIMEOUT"
        return ChatError(
            "upstream_timeout", f"Ollama sent nothing for {limit:g} s; try again, or raise {setting}."
        )


def _is_of_the_model(error: ChatError) -> bool:
    """Whether another model may do better: not where Ollama itself is away, or blames the request."""
    if isinstance(error, Refused) and error.upstream_status in {400, 401, 403}:
        return False
    if "invalid format" in error.sentence:  # the request's, although Ollama says 500
        return False
    return error.code in {"upstream_error", "upstream_incomplete", "model_not_found"}
