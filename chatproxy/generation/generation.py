"""One answer being written: from the first request to Ollama to the commit of its outcome.

Every answer ends in this order: appending stops; the outcome is committed; the session and the slot are
freed; only then do subscribers see the terminal event, and a cancel returns. So a client may send again as
soon as it receives `done`.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from msgspec import UNSET, Struct
from msgspec.structs import replace

from chatproxy import clock, log
from chatproxy.answers.answer import Answer, Text
from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError, internal, shutting_down
from chatproxy.generation.empty import empty_answer
from chatproxy.generation.upstream import LimitReached, UpstreamCall
from chatproxy.ollama.wire import Line
from chatproxy.prompt.passages import with_citations
from chatproxy.store.messages import Messages
from chatproxy.store.records import (
    Failure,
    FinishReason,
    Message,
    Notice,
    Piece,
    Status,
    StoredAnswer,
    Usage,
)

logger: Final = logging.getLogger(__name__)


class Ending(Struct, frozen=True, kw_only=True):
    """How an answer ends. The first ending counts."""

    status: Status
    finish_reason: FinishReason | None = None
    error: Failure | None = None
    last: Line | None = None  # Ollama's final line
    warning: Notice | None = None


class Saved(Struct, frozen=True):
    """Up to where checkpoints have stored the text, and whether as it is after it was swapped."""

    reached: Cursor = Cursor()
    swapped: bool = False


class Figures(Struct, frozen=True, kw_only=True):
    """An answer's figures for the metrics; times are in seconds, None if there was no text."""

    outcome: Message
    installed: bool  # Ollama lists the model
    tokens: int
    to_first_text: float | None
    text_duration: float | None  # from the first text to the last
    host: str = ""  # that was asked last, where there are several


def completed(last: Line, warning: Notice | None = None) -> Ending:
    """Return the ending for Ollama's final line."""
    reason: FinishReason = "length" if last.done_reason == "length" else "stop"
    return Ending(status="complete", finish_reason=reason, last=last, warning=warning)


def cut_short(reached: LimitReached) -> Ending:
    """Return the ending for an answer that has reached a limit of chatproxy's own."""
    return Ending(status="complete", finish_reason="length", warning=reached.warning)


def failed(error: ChatError, status: Status = "failed") -> Ending:
    """Return the ending for an error."""
    return Ending(status=status, error=Failure.of(error))


AGAIN: Final = "send the message again in a moment"
CANCELLED: Final = Ending(status="cancelled", finish_reason="cancelled")
SHUTDOWN: Final = failed(shutting_down(AGAIN), status="interrupted")
INTERNAL: Final = failed(internal())
STATUS_EVERY: Final = 2.0  # seconds, while text arrives; at the look that is closest
LOOKS_SKIPPED: Final = 2  # one after the other, of an answer whose text goes on: it is well
MAX_PIECE: Final = 64 * 1024  # code points of each text per checkpoint; the end stores the rest
RETRY: Final = 1.0  # seconds until a failed commit is repeated


class Generation:
    """Writes one answer, in a task of its own; subscribers come and go without affecting it."""

    def __init__(
        self,
        answer: Answer,
        call: UpstreamCall,
        *,
        arrived: float,
        config: Config,
        messages: Messages,
        observe: Callable[[Figures], None],
    ) -> None:
        """Prepare to write `answer`; `run` writes it.

        `arrived` is the monotonic time of the request. `observe` is called once the answer has ended.
        """
        self.answer = answer
        self._call = call
        self._arrived = arrived
        self._config = config
        self._messages = messages
        self._observe = observe
        self._ending: Ending | None = None
        self._task: asyncio.Task[None] | None = None  # that waits for Ollama
        self._settled = asyncio.Event()
        self._saved = Saved()
        self.is_in_doubt = False  # whether the last checkpoint was stored
        # Since when there are no subscribers; the sender is given a moment to subscribe.
        self._unwatched: float | None = clock.now() + 1
        self._status_at = clock.now()  # when the last `status` with a new number of tokens was sent
        self._status_tokens = 0  # that number
        self._seen_tokens = 0  # the number at the last look that was skipped
        self._skipped = 0  # looks since the last one that was not

    @property
    def over(self) -> bool:
        """Whether the session is free again; the outcome may still have to be committed."""
        return self.answer.ended

    async def run(self) -> None:
        """Write the answer, from waiting for a slot to the commit of its outcome, repeated if it fails."""
        if self._ending is None:
            self._task = asyncio.current_task()
            try:
                self._end(await self._write())
            except asyncio.CancelledError:
                # By `end`, or by a shutdown that gave up.
                if self._ending is None or (self._task is not None and self._task.uncancel()):
                    raise
            self._task = None
        assert self._ending is not None, "it has ended"
        await self._settle(self._outcome(self._ending))

    async def _write(self) -> Ending:
        self._log("answer started")
        try:
            last = await self._call.run()
            return completed(last, empty_answer(self.answer, last, self._call.tool))
        except LimitReached as reached:
            return cut_short(reached)
        except ChatError as error:
            return failed(error)
        except Exception:
            logger.exception("an answer failed by a fault of chatproxy's own")
            return INTERNAL

    # -- the end of an answer

    async def stop(self, ending: Ending) -> None:
        """End the answer, whatever it is doing, and return once its session is free again."""
        self.end(ending)
        await self._settled.wait()

    async def stop_if_unwatched(self) -> None:
        """Stop it if all who watched it have left, unless it is unattended."""
        if not self.answer.watched and not self.answer.unattended:
            await self.stop(CANCELLED)

    def end(self, ending: Ending) -> None:
        """End the answer: append nothing more. Only the first ending counts."""
        if self._ending is None:
            self._end(ending)
            if self._task is not None:
                self._task.cancel()

    def _end(self, ending: Ending) -> None:
        self._ending = ending
        self._call.stop()
        if ending.warning is not None:
            self.answer.warn(ending.warning)

    async def _settle(self, outcome: Message) -> None:
        """Commit the outcome, then release the session.

        If the commit fails, subscribers are sent that failure; the text stays in memory, and the commit is
        repeated until it succeeds.
        """
        try:
            stored = await self._commit(outcome)
        except Exception as error:
            lost = _unsaved(error)
            await self._settle_unsaved(replace(outcome, status="failed", finish_reason=None, error=lost))
        except asyncio.CancelledError:  # by a shutdown that gave up; the next start ends the row
            shutdown = SHUTDOWN.error and _identified(SHUTDOWN.error)
            self._release(replace(outcome, status=SHUTDOWN.status, finish_reason=None, error=shutdown))
            raise
        else:
            self._release(outcome, stored)

    async def _settle_unsaved(self, outcome: Message) -> None:
        self._release(outcome)
        while True:
            await asyncio.sleep(RETRY)
            with suppress(Exception):
                await self._commit(outcome)
                return

    async def _commit(self, outcome: Message) -> StoredAnswer | None:
        call = self._call
        return await self._messages.finish(
            outcome, call.measurement, self.answer.thought, call.counts, swapped=self.answer.swapped
        )

    def _release(self, outcome: Message, stored: StoredAnswer | None = None) -> None:
        """End the answer with its outcome, or with what is stored: another replica may have ended it."""
        self._call.release_slot()
        if stored is None:
            self.answer.end(outcome)
        else:
            outcome = stored.message
            self.answer.become(outcome, stored.thought, stored.swapped)
        self._log_end(outcome)
        self._settled.set()
        self._observe(self._figures(outcome))

    def _outcome(self, ending: Ending) -> Message:
        message = self.answer.message
        return replace(
            message,
            status=ending.status,
            sources=with_citations(message.sources, message.content),
            cursor=str(replace(self.answer.cursor, end=True)),
            finish_reason=ending.finish_reason,
            usage=self._usage(ending.last),
            error=ending.error and _identified(ending.error),
        )

    def _usage(self, last: Line | None) -> Usage | None:
        if last is None:
            return None
        return Usage(
            prompt_tokens=last.prompt_eval_count,
            completion_tokens=last.eval_count,
            tokens_per_second=last.tokens_per_second and round(last.tokens_per_second, 2),
            time_to_first_token_ms=self._ms_to_first_text,
            thinking_ms=self._ms_of_thinking,
            load_ms=last.load_ms,
            total_ms=last.total_ms,
        )

    def _figures(self, outcome: Message) -> Figures:
        """Return the figures; without a count of tokens from Ollama, lines with text are counted."""
        counted = None if outcome.usage is None else outcome.usage.completion_tokens
        first, last = self._call.first_text, self._call.last_text
        return Figures(
            outcome=outcome,
            installed=self._call.installed,
            tokens=self.answer.progress.tokens if counted is None else counted,
            to_first_text=None if first is None else first - self._arrived,
            text_duration=None if first is None or last is None else last - first,
            host=self._call.host,
        )

    @property
    def _ms_to_first_text(self) -> int | None:
        first = self._call.first_text
        return None if first is None else round((first - self._arrived) * 1000)

    @property
    def _ms_of_thinking(self) -> int | None:
        first, until = self._call.first_text, self._call.thought_until or self._call.last_text
        if not self.answer.thinking.length or first is None or until is None:
            return None
        return round((until - first) * 1000)

    # -- periodic work

    def tick(self) -> None:
        """Check timeouts, heartbeats and departed subscribers. The registry calls this, for all answers."""
        if (tokens := self.answer.progress.tokens) != self._seen_tokens and self._skipped < LOOKS_SKIPPED:
            self._seen_tokens = tokens
            self._skipped += 1
            return
        self._skipped = 0
        config = self._config
        error = self._call.timeout_error(config.first_token_timeout, config.token_timeout)
        if error is not None and not self._call.moves_on(error):
            self.end(failed(error))
        if reached := self._call.time_limit(config.max_answer_seconds):
            self.end(cut_short(reached))
        self._check_subscribers()
        self._call.tell_place()
        self._send_status()

    def _check_subscribers(self) -> None:
        is_watched = False
        for subscriber in self.answer.subscribers:
            if subscriber.gone:
                subscriber.fall_behind()
            else:
                is_watched = True
        if is_watched or self.answer.watched:
            self._unwatched = None
            return
        now = clock.now()
        if self._unwatched is None:
            self._unwatched = now
        grace = self._config.disconnect_grace_seconds
        if grace is not None and not self.answer.unattended and now - self._unwatched >= grace:
            self.end(CANCELLED)

    def _send_status(self) -> None:
        now = clock.now()
        tokens = self.answer.progress.tokens
        if now - self._status_at >= STATUS_EVERY - clock.LOOK and tokens != self._status_tokens:
            self._status_at, self._status_tokens = now, tokens
            self.answer.send_status()
        else:
            self.answer.send_status(quiet_for=self._config.heartbeat_seconds - 2 * clock.LOOK)

    def unsaved(self) -> tuple[Piece, Saved] | None:
        """Return the piece for the next checkpoint, and what is stored after it; None if there is none."""
        answer = self.answer
        saved, swaps = self._saved.reached, answer.swapped and not self._saved.swapped
        if swaps:
            saved = Cursor(saved.content, saved.thinking)
        reached = answer.cursor
        if (reached == saved and not swaps) or self._ending is not None:
            return None
        reached = Cursor(
            min(reached.thinking, saved.thinking + MAX_PIECE),
            min(reached.content, saved.content + MAX_PIECE),
        )
        piece = Piece(
            message_id=answer.id,
            thinking=_part(answer.thinking, saved.thinking, reached.thinking),
            content=_part(answer.content, saved.content, reached.content),
            thought=None if saved.content and not swaps else answer.thought,
            swaps=swaps,
        )
        return piece, Saved(reached, answer.swapped)

    def saved(self, saved: Saved) -> None:
        """Note what checkpoints have stored."""
        self._saved, self.is_in_doubt = saved, False

    # -- the log: ids, sizes and times, never text

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


def _part(text: Text, start: int, end: int) -> str:
    return text.part(start, end) if start < end else ""  # mostly, one of the two texts has grown


def _unsaved(error: Exception) -> Failure:
    """Return the failure that subscribers see if an outcome could not be committed."""
    if not isinstance(error, ChatError):
        logger.error("an outcome was not stored by a fault of chatproxy's own", exc_info=error)
        error = internal()
    return _identified(Failure(error=error.sentence, code="storage_full", retryable=True))


def _identified(failure: Failure) -> Failure:
    """Return a failure with the id of the request whose answer the current task writes.

    What notices it, such as a timer, may be no part of that request.
    """
    return replace(failure, request_id=log.request_id.get() or UNSET)
