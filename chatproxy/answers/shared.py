"""The answers that have readers: one object each, and a bound on the memory of those that have ended.

The text of an ended answer stays in memory for as long as its slowest reader takes. When all such texts hold
more than MAX_ENDED_BYTES together, those that were held the longest lose their readers, who can resume.
"""

import logging
from typing import Final
from weakref import WeakValueDictionary

from chatproxy import log
from chatproxy.answers.answer import Answer

MAX_ENDED_BYTES: Final = 64 * 1024 * 1024

logger: Final = logging.getLogger(__name__)


class SharedAnswers:
    """Answers by message id, for as long as somebody uses them."""

    def __init__(self) -> None:
        self._answers: WeakValueDictionary[int, Answer] = WeakValueDictionary()

    def get(self, message_id: int) -> Answer | None:
        """Return the answer that others use, if there is one."""
        return self._answers.get(message_id)

    def add(self, answer: Answer) -> None:
        """Share an answer; if there are too many bytes then, drop the subscribers of others."""
        self._answers[answer.id] = answer
        ended = [each for each in self._answers.values() if each.ended]
        held = sum(each.size for each in ended)
        if held <= MAX_ENDED_BYTES:
            return
        for each in sorted(ended, key=lambda each: each.ended_at or 0.0):
            if held > MAX_ENDED_BYTES and each is not answer:
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
