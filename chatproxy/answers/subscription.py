"""One reader of one answer: a position in its text, and a sink that takes frames.

A reader in step is handed each frame in the call that brought it (`push`). A reader whose sink
still has something waiting is left behind: its own task reads on from its position (`follow`)
when there is room, in bigger pieces, and disturbs nobody.
"""

import asyncio
from time import monotonic
from typing import Protocol

from msgspec.structs import replace

from chatproxy.answers import events
from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Frame, frame
from chatproxy.cursor import Cursor
from chatproxy.store.records import Notice


class Sink(Protocol):
    """Where frames go: an event stream, or a request that waits for the end."""

    @property
    def gone(self) -> bool:
        """The reader has left."""

    def push(self, frame: Frame) -> bool:
        """Takes the frame at once; False where something written earlier has not been taken yet."""

    async def send(self, frame: Frame) -> None:
        """Returns when all of it is taken. Raises ConnectionError when the reader has left."""


class Subscription:
    def __init__(self, answer: Answer, sink: Sink, after: Cursor | None) -> None:
        """`after` is where to go on from: None for the beginning."""
        self.answer = answer
        self.sink = sink
        self.sent_at = monotonic()
        self.reset = after is not None and not _names_a_place(answer, after)
        self._position = Cursor() if after is None or self.reset else replace(after, end=False)
        self.in_step = False
        self._behind = asyncio.Event()
        self._told = -1  # the version of the progress that this reader knows

    @property
    def gone(self) -> bool:
        return self.sink.gone

    def push(self, text: Frame, position: Cursor) -> None:
        if self.sink.push(text):
            self._position = position
            self.sent_at = monotonic()
        else:
            self.fall_behind()

    def push_status(self, status: Frame, version: int) -> None:
        if self.sink.push(status):
            self._told = version
            self.sent_at = monotonic()
        else:
            self.fall_behind()

    def fall_behind(self) -> None:
        self.in_step = False
        self._behind.set()

    async def follow(self) -> None:
        """Sends `start`, the text from this reader's position on, live when it has caught up, and
        the terminal event. Raises ConnectionError when the reader leaves first."""
        await self._send(frame(self.answer.start(reset=self.reset)))
        warned: set[Notice] = set()
        while True:
            for notice in self.answer.warnings:
                if notice not in warned:
                    warned.add(notice)
                    await self._send(frame(events.Warning(code=notice.code, message=notice.message)))
            if await self._catch_up():
                continue
            if self.answer.outcome is not None:
                await self._send(self.answer.terminal(self.answer.outcome))
                return
            self.in_step = True
            self._behind.clear()
            await self._behind.wait()
            if self.gone:
                raise ConnectionResetError("the reader has left")

    async def _catch_up(self) -> bool:
        """Sends one frame of what this reader has not seen; False when it has seen everything."""
        if step := self.answer.after(self._position):
            event, self._position = step
            await self._send(frame(event))
        elif self.answer.outcome is None and self._told != self.answer.progress.version:
            self._told = self.answer.progress.version
            await self._send(frame(self.answer.progress.event()))
        else:
            return False
        return True

    async def _send(self, data: Frame) -> None:
        await self.sink.send(data)
        self.sent_at = monotonic()


def _names_a_place(answer: Answer, cursor: Cursor) -> bool:
    """Whether the text still has what the cursor says this reader was sent."""
    if cursor.end:
        return cursor == answer.cursor
    return cursor.thinking <= answer.thinking.length and cursor.content <= answer.content.length
