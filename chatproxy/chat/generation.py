"""One answer being produced: wait for a slot, ask Ollama, append what comes, commit how it ended.

The order at the end is the same for every ending, and nothing may change it: appending stops; the
outcome is committed; the session and the slot are free; only then do readers see the terminal event
and a cancel is answered. So a client may send again on `done`.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chatproxy import log
from chatproxy.chat.answer import Answer
from chatproxy.chat.context import Fitted
from chatproxy.chat.models import Known, Models
from chatproxy.chat.plan import Plan
from chatproxy.chat.queue import Ticket
from chatproxy.chat.selection import Choice
from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.ollama.client import Ollama
from chatproxy.ollama.stream import ChatStream
from chatproxy.ollama.wire import Line, Refused
from chatproxy.store.records import Failure, FinishReason, Measurement, Notice, Outcome, Piece, Status, Usage
from chatproxy.store.store import Store

logger: Final = logging.getLogger(__name__)


class Ending(Struct, frozen=True, kw_only=True):
    """Why an answer ends: the first one to be said counts."""

    status: Status
    finish_reason: FinishReason | None = None
    error: Failure | None = None
    last: Line | None = None  # Ollama's final line


CANCELLED: Final = Ending(status="cancelled", finish_reason="cancelled")
SHUTDOWN: Final = Ending(
    status="interrupted",
    error=Failure(
        error="The server is shutting down; send the message again in a moment.",
        code="shutting_down",
        retryable=True,
    ),
)


def completed(last: Line) -> Ending:
    return Ending(
        status="complete", finish_reason="length" if last.done_reason == "length" else "stop", last=last
    )


def told(error: ChatError) -> Failure:
    return Failure(error=error.sentence, code=error.code, retryable=error.retryable)


def failed(error: ChatError) -> Ending:
    return Ending(status="failed", error=told(error))


def _is_of_the_model(error: ChatError) -> bool:
    """Whether another model may do better: not where Ollama itself is away, or blames the request."""
    if isinstance(error, Refused) and error.upstream_status in {400, 401, 403}:
        return False
    return error.code in {"upstream_error", "upstream_incomplete", "model_not_found"}


INTERNAL: Final = failed(ChatError("internal", "Something went wrong in chatproxy; its log says what."))
TICK: Final = 0.2  # seconds between two looks at a generation
STATUS_EVERY: Final = 2.0  # seconds, while text flows
LOOK_EVERY: Final = 1.0  # seconds, for a model that is being loaded


class Generation:
    """Runs by itself; readers come and go without touching it."""

    def __init__(
        self,
        answer: Answer,
        plan: Plan,
        ticket: Ticket,
        *,
        arrived: float,
        config: Config,
        ollama: Ollama,
        models: Models,
        store: Store,
    ) -> None:
        """`arrived` is the monotonic time of the reader's request."""
        self.answer = answer
        self.over = False
        self._plan = plan
        self._ticket = ticket
        self._arrived = arrived
        self._config = config
        self._ollama = ollama
        self._models = models
        self._store = store
        self._measurement: Measurement | None = None
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._settled = asyncio.Event()
        self._stream: ChatStream | None = None
        self._first_text: float | None = None
        self._saved = Cursor()
        # Since when nobody watches; the sender is given a moment to start reading.
        self._unwatched: float | None = monotonic() + 1
        self._told = monotonic()
        self._told_tokens = 0

    async def run(self) -> None:
        """From the slot to the committed end, and longer only where that commit fails."""
        asking = asyncio.create_task(self._ask())
        ending = await self._ending
        asking.cancel()
        await self._settle(self._outcome(ending))

    # -- the way of an answer

    async def _ask(self) -> None:
        self._log("answer started")
        try:
            self.end(completed(await self._answered()))
        except ChatError as error:
            self.end(failed(error))
        except Exception:
            logger.exception("an answer failed by a fault of chatproxy's own")
            self.end(INTERNAL)

    async def _answered(self) -> Line:
        """Ollama's final line. Where chatproxy chose the model and it fails before its first word, the next
        best one gets the message, once."""
        first, second = self._plan.first, self._plan.second
        try:
            return await self._answered_by(first.model, self._plan.fitted)
        except ChatError as error:
            if second is None or self._first_text is not None or not _is_of_the_model(error):
                raise
            self._fall_back(first, second, error)
        return await self._answered_by(second.model, self._plan.prompt.fit(second.model))

    def _fall_back(self, first: Choice, second: Choice, error: ChatError) -> None:
        self._ticket = self._ticket.rejoin(second.model.name)
        self.answer.model, self.answer.model_reason = second.model.name, second.reason
        message = f"{first.model.name} failed ({error.sentence}); {second.model.name} answers instead."
        self.answer.warn(Notice(code="model_fallback", message=message))

    async def _answered_by(self, model: Known, fitted: Fitted) -> Line:
        await self._admission()
        try:
            return await self._exchange(model, fitted)
        except Refused as refused:
            if refused.window is None or refused.prompt_tokens is None:
                raise
            model = self._models.refused(
                model, fitted.size, window=refused.window, tokens=refused.prompt_tokens
            )
        fitted = self._plan.prompt.fit(model)
        for notice in fitted.notices:
            self.answer.warn(notice)
        return await self._exchange(model, fitted)

    async def _admission(self) -> None:
        if not self._ticket.admitted:
            self._ticket.moved = self._queued
            self._queued(self._ticket.position)
            await self._ticket.admission()

    def _queued(self, position: int) -> None:
        self.answer.enter("queued", position)

    async def _exchange(self, model: Known, fitted: Fitted) -> Line:
        self.answer.progress.eta_ms = model.measured.load_ms
        self.answer.enter("waiting" if model.warm else "loading")
        loading = asyncio.create_task(self._look_for(model))
        try:
            self._stream = await self._ollama.chat(fitted.body, self._receive)
            last = await self._stream.finished
        except ChatError:
            self._stream = None  # no limit runs against it any more
            raise
        finally:
            loading.cancel()
        self._measurement = self._models.measurement(model, last, fitted.size)
        return last

    async def _look_for(self, model: Known) -> None:
        """Ollama says nothing while it loads a model: its list of running ones tells when it has."""
        while self.answer.progress.state == "loading":
            await asyncio.sleep(LOOK_EVERY)
            if await self._models.loaded(model) and self.answer.progress.state == "loading":
                self.answer.enter("waiting")

    def _receive(self, lines: Sequence[Line]) -> None:
        """Takes in what one read brought; the connection itself calls it, no task is woken."""
        thinking = "".join([line.thinking for line in lines])
        content = "".join([line.content for line in lines])
        if self._ending.done() or not (thinking or content):
            return
        if self._first_text is None:
            self._first_text = monotonic()
            self._ticket.generating()
            self.answer.enter("generating")
        self.answer.append(thinking, content, tokens=len(lines))

    # -- the end of an answer

    async def stop(self, ending: Ending) -> None:
        """Ends the answer, wherever it is, and returns when that is committed."""
        self.end(ending)
        await self._settled.wait()

    def end(self, ending: Ending) -> None:
        """Nothing is appended from here on. The first ending counts."""
        if not self._ending.done():
            self._ending.set_result(ending)
            if self._stream is not None:
                self._stream.abort()

    async def _settle(self, outcome: Outcome) -> None:
        """The order of invariant 3. An outcome that cannot be committed is told as the failure that it
        is, its text stays in memory, and the commit is tried until it succeeds."""
        try:
            await self._store.finish_answer(outcome)
        except ChatError as error:
            await self._settle_unsaved(
                replace(outcome, status="failed", finish_reason=None, error=told(error))
            )
        except asyncio.CancelledError:  # a shutdown waits no longer; the next start ends the row
            self._release(replace(outcome, status=SHUTDOWN.status, finish_reason=None, error=SHUTDOWN.error))
            raise
        else:
            self._release(outcome)

    async def _settle_unsaved(self, outcome: Outcome) -> None:
        self._release(outcome)
        while True:
            await asyncio.sleep(1)
            with suppress(ChatError):
                return await self._store.finish_answer(outcome)

    def _release(self, outcome: Outcome) -> None:
        self.over = True
        self._ticket.leave()
        self._log_end(outcome)
        self.answer.end(outcome)
        self._settled.set()

    def _outcome(self, ending: Ending) -> Outcome:
        return Outcome(
            message_id=self.answer.id,
            status=ending.status,
            thinking=str(self.answer.thinking),
            content=str(self.answer.content),
            model=self.answer.model,
            model_reason=self.answer.model_reason,
            warnings=list(self.answer.warnings),
            finish_reason=ending.finish_reason,
            usage=self._usage(ending.last),
            error=ending.error,
            measurement=self._measurement,
        )

    def _usage(self, last: Line | None) -> Usage | None:
        if last is None:
            return None
        return Usage(
            prompt_tokens=last.prompt_eval_count,
            completion_tokens=last.eval_count,
            tokens_per_second=last.tokens_per_second and round(last.tokens_per_second, 2),
            time_to_first_token_ms=self._ms_to_first_text,
            load_ms=last.load_ms,
            total_ms=last.total_ms,
        )

    @property
    def _ms_to_first_text(self) -> int | None:
        return None if self._first_text is None else round((self._first_text - self._arrived) * 1000)

    # -- looked at several times a second

    def tick(self) -> None:
        """Limits toward Ollama, heartbeats, and readers who left: one look at all, no timer each."""
        self._check_limits()
        self._check_readers()
        self._tell()

    def _check_limits(self) -> None:
        if self._stream is None:
            return
        limit = self._config.token_timeout if self._stream.started else self._config.first_token_timeout
        if asyncio.get_running_loop().time() - self._stream.last_read >= limit:
            setting = "TOKEN_TIMEOUT" if self._stream.started else "FIRST_TOKEN_TIMEOUT"
            self.end(
                failed(
                    ChatError(
                        "upstream_timeout",
                        f"Ollama sent nothing for {limit:g} s; try again, or raise {setting}.",
                    )
                )
            )

    def _check_readers(self) -> None:
        watched = False
        for reader in self.answer.readers:
            if reader.gone:
                reader.fall_behind()
            else:
                watched = True
        grace = self._config.disconnect_grace_seconds
        now = monotonic()
        if watched:
            self._unwatched = None
            return
        if self._unwatched is None:
            self._unwatched = now
        if grace is not None and now - self._unwatched >= grace:
            self.end(CANCELLED)

    def _tell(self) -> None:
        now = monotonic()
        tokens = self.answer.progress.tokens
        if now - self._told >= STATUS_EVERY and tokens != self._told_tokens:
            self._told, self._told_tokens = now, tokens
            self.answer.tell_status()
        else:
            self.answer.tell_status(quiet_for=self._config.heartbeat_seconds - TICK)

    def unsaved(self) -> tuple[Piece, Cursor] | None:
        """What the next checkpoint has to store, and the position that it reaches."""
        reached = self.answer.cursor
        if reached == self._saved or self._ending.done():
            return None
        piece = Piece(
            message_id=self.answer.id,
            thinking=self.answer.thinking.part(self._saved.thinking),
            content=self.answer.content.part(self._saved.content),
        )
        return piece, reached

    def saved(self, reached: Cursor) -> None:
        self._saved = reached

    # -- what the log says of it: ids, sizes, times, never text

    def _log(self, what: str, **fields: object) -> None:
        ids = {"sessionId": self.answer.session_id, "assistantMessageId": self.answer.id}
        log.event(logger, logging.INFO, what, **ids, model=self.answer.model, **fields)

    def _log_end(self, outcome: Outcome) -> None:
        self._log(
            "answer ended",
            status=outcome.status,
            code=outcome.error and outcome.error.code,
            thinkingChars=len(outcome.thinking),
            contentChars=len(outcome.content),
            timeToFirstTokenMs=self._ms_to_first_text,
            ms=round((monotonic() - self._arrived) * 1000),
        )
