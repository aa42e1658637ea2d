"""The answers that have readers: one object each, and a bound on the memory of those that have ended.

The text of an ended answer stays in memory for as long as its slowest reader takes. When all such texts hold
more than MAX_ENDED_BYTES together, those that were held the longest lose their readers, who can resume. An
answer that is not committed yet is held by its generation, so dropping its readers would free nothing.
"""

import logging
from typing import Final
from weakref import WeakValueDictionary

from chatproxy import log
from chatproxy.answers.answer import Answer

MAX_ENDED_BYTES: Final = 32 * 1024 * 1024

logger: Final = logging.getLogger(__name__)


class SharedAnswers:
    """Answers by message id, for as long as somebody uses them."""

    def __init__(self) -> None:
        self._answers: WeakValueDictionary[int, Answer] = WeakValueDictionary()

    def get(self, message_id: int) -> Answer | None:
        """Return the answer that others use, if there is one."""
        return self._answers.get(message_id)

    @property
    def have_readers(self) -> bool:
        """Whether an answer is being read, be it over or not."""
        return any(answer.subscribers for answer in self._answers.values())

    def add(self, answer: Answer) -> None:
        """Share an answer that is about to have a reader."""
        self._answers[answer.id] = answer
        answer.when_released = self._shrink
        self._shrink(answer)

    def _shrink(self, latest: Answer) -> None:
        """If those that only readers hold have too many bytes, drop the readers of others than the latest."""
        released = [each for each in self._answers.values() if each.released_at is not None]
        held = sum(each.size for each in released)
        if held <= MAX_ENDED_BYTES:
            return
        for each in sorted(released, key=lambda each: each.released_at or 0.0):
            if held > MAX_ENDED_BYTES and each is not latest:
                held -= each.size
                self._drop(each)

    def _drop(self, answer: Answer) -> None:
        del self._answers[answer.id]
        log.event(
            logger,
            logging.INFO,
            "readers of an ended answer were disconnected",
            assistantMessageId=answer.id,
            subscribers=len(answer.subscribers),
        )
        answer.drop_subscribers()
