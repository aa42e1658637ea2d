"""One answer being produced: from the first question to Ollama to the commit of how it ended.

The order at the end is the same for every ending, and nothing may change it: appending stops; the
outcome is committed; the session and the slot are free; only then do readers see the terminal event
and a cancel is answered. So a client may send again on `done`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from chatproxy import log
from chatproxy.answers.answer import Answer
from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError, internal, shutting_down
from chatproxy.generation.upstream import UpstreamCall
from chatproxy.ollama.wire import Line
from chatproxy.store.records import Failure, FinishReason, Message, Piece, Status, Usage
from chatproxy.store.store import Store

logger: Final = logging.getLogger(__name__)


class Ending(Struct, frozen=True, kw_only=True):
    """Why an answer ends: the first one to be said counts."""

    status: Status
    finish_reason: FinishReason | None = None
    error: Failure | None = None
    last: Line | None = None  # Ollama's final line


class Figures(Struct, frozen=True, kw_only=True):
    """What an answer's end tells the operator; times are in seconds, None where there was no text."""

    outcome: Message
    installed: bool  # the model, by Ollama's own list
    tokens: int
    to_first_text: float | None
    of_text: float | None  # from the first to the last


def completed(last: Line) -> Ending:
    return Ending(
        status="complete", finish_reason="length" if last.done_reason == "length" else "stop", last=last
    )


def failed(error: ChatError, status: Status = "failed") -> Ending:
    failure = Failure(error=error.sentence, code=error.code, retryable=error.retryable)
    return Ending(status=status, error=failure)


AGAIN: Final = "send the message again in a moment"
CANCELLED: Final = Ending(status="cancelled", finish_reason="cancelled")
SHUTDOWN: Final = failed(shutting_down(AGAIN), status="interrupted")
INTERNAL: Final = failed(internal())
TICK: Final = 0.2  # seconds between two looks at a generation
STATUS_EVERY: Final = 2.0  # seconds, while text flows
RETRY: Final = 1.0  # seconds until a commit that failed is tried again


class Generation:
    """Runs by itself; readers come and go without touching it."""

    def __init__(
        self,
        answer: Answer,
        asking: UpstreamCall,
        *,
        arrived: float,
        config: Config,
        store: Store,
        observe: Callable[[Figures], None],
    ) -> None:
        """`arrived` is the monotonic time of the reader's request; `observe` is told of the answer's end."""
        self.answer = answer
        self._asking = asking
        self._arrived = arrived
        self._config = config
        self._store = store
        self._observe = observe
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._settled = asyncio.Event()
        self._saved = Cursor()
        # Since when nobody watches; the sender is given a moment to start reading.
        self._unwatched: float | None = monotonic() + 1
        self._told = monotonic()
        self._told_tokens = 0

    @property
    def over(self) -> bool:
        """The session is free again; perhaps the outcome is still to be committed."""
        return self.answer.outcome is not None

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
            self.end(completed(await self._asking.last_line()))
        except ChatError as error:
            self.end(failed(error))
        except Exception:
            logger.exception("an answer failed by a fault of chatproxy's own")
            self.end(INTERNAL)

    # -- the end of an answer

    async def stop(self, ending: Ending) -> None:
        """Ends the answer, wherever it is, and returns when that is committed."""
        self.end(ending)
        await self._settled.wait()

    def end(self, ending: Ending) -> None:
        """Nothing is appended from here on. The first ending counts."""
        if not self._ending.done():
            self._ending.set_result(ending)
            self._asking.stop()

    async def _settle(self, outcome: Message) -> None:
        """An outcome that cannot be committed is told as the failure that it is, its text stays in memory,
        and the commit is tried until it succeeds."""
        try:
            await self._commit(outcome)
        except Exception as error:
            lost = _unsaved(error)
            await self._settle_unsaved(replace(outcome, status="failed", finish_reason=None, error=lost))
        except asyncio.CancelledError:  # a shutdown waits no longer; the next start ends the row
            self._release(replace(outcome, status=SHUTDOWN.status, finish_reason=None, error=SHUTDOWN.error))
            raise
        else:
            self._release(outcome)

    async def _settle_unsaved(self, outcome: Message) -> None:
        self._release(outcome)
        while True:
            await asyncio.sleep(RETRY)
            with suppress(Exception):
                return await self._commit(outcome)

    async def _commit(self, outcome: Message) -> None:
        await self._store.finish_answer(outcome, self._asking.measurement)

    def _release(self, outcome: Message) -> None:
        self._asking.leave()
        self._log_end(outcome)
        self.answer.end(outcome)
        self._settled.set()
        self._observe(self._figures(outcome))

    def _outcome(self, ending: Ending) -> Message:
        return replace(
            self.answer.message,
            status=ending.status,
            cursor=str(replace(self.answer.cursor, end=True)),
            finish_reason=ending.finish_reason,
            usage=self._usage(ending.last),
            error=ending.error,
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

    def _figures(self, outcome: Message) -> Figures:
        """Where Ollama has not counted the tokens, the lines with text stand for them."""
        counted = None if outcome.usage is None else outcome.usage.completion_tokens
        first, last = self._asking.first_text, self._asking.last_text
        return Figures(
            outcome=outcome,
            installed=self._asking.installed,
            tokens=self.answer.progress.tokens if counted is None else counted,
            to_first_text=None if first is None else first - self._arrived,
            of_text=None if first is None or last is None else last - first,
        )

    @property
    def _ms_to_first_text(self) -> int | None:
        first = self._asking.first_text
        return None if first is None else round((first - self._arrived) * 1000)

    # -- looked at several times a second

    def tick(self) -> None:
        """Limits toward Ollama, heartbeats, and readers who left: one look at all, no timer each."""
        self._check_limits()
        self._check_readers()
        self._tell()

    def _check_limits(self) -> None:
        config = self._config
        if overdue := self._asking.overdue(config.first_token_timeout, config.token_timeout):
            self.end(failed(overdue))

    def _check_readers(self) -> None:
        gone = [reader for reader in self.answer.readers if reader.gone]
        for reader in gone:
            reader.fall_behind()
        if len(gone) < len(self.answer.readers):
            self._unwatched = None
            return
        now = monotonic()
        if self._unwatched is None:
            self._unwatched = now
        grace = self._config.disconnect_grace_seconds
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

    def _log_end(self, outcome: Message) -> None:
        self._log(
            "answer ended",
            status=outcome.status,
            code=outcome.error and outcome.error.code,
            thinkingChars=len(outcome.thinking),
            contentChars=len(outcome.content),
            timeToFirstTokenMs=self._ms_to_first_text,
            ms=round((monotonic() - self._arrived) * 1000),
        )


def _unsaved(error: Exception) -> Failure:
    """An error of the store, or of chatproxy's own, as readers are told it."""
    if not isinstance(error, ChatError):
        logger.error("an outcome was not stored by a fault of chatproxy's own", exc_info=error)
        error = internal()
    return Failure(error=error.sentence, code="storage_full", retryable=True)
