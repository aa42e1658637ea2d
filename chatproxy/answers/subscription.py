"""One subscriber of one answer: a position in its text, and a sink that takes frames.

A subscriber in step is sent each frame by the call that appends the text (`Answer._push`). One whose sink
still holds earlier data falls behind: its own task reads on from its position (`run`), in larger pieces,
whenever there is room, and delays no other subscriber.
"""

import asyncio

from msgspec.structs import replace

from chatproxy import clock
from chatproxy.answers import events
from chatproxy.answers.answer import Answer, Sink
from chatproxy.answers.events import Event, Frame, frame
from chatproxy.cursor import Cursor
from chatproxy.store.records import Notice


class Subscription:
    """A `Subscriber`: live while its socket keeps up, catching up while it does not."""

    __slots__ = (
        "_behind",
        "_edition",
        "_position",
        "_sent_version",
        "answer",
        "has_text",
        "in_step",
        "reset",
        "sent_at",
        "sink",
    )

    def __init__(self, answer: Answer, sink: Sink, after: Cursor | None) -> None:
        """Start after the cursor `after`, or at the beginning.

        A cursor that is not in the text (a crash lost its tail) resets the stream to the beginning.
        """
        self.answer = answer
        self.sink = sink
        self.sent_at = clock.now()
        self.has_text = False
        self.reset = after is not None and not answer.has(after)
        self._edition = answer.edition  # of the text that the position is in
        self._position = Cursor() if after is None or self.reset else replace(after, end=False)
        self.in_step = False
        self._behind = asyncio.Event()
        self._sent_version = -1  # the version of the progress that was sent last

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""
        return self.sink.gone

    def push_status(self, data: Frame, version: int) -> None:
        """Send a `status` frame, which reports `version` of the progress; fall behind if that cannot be."""
        if self.sink.push(data):
            self._sent_version = version
            self.sent_at = clock.now()
        else:
            self.fall_behind()

    def fall_behind(self) -> None:
        """Let `run` read on: if in step, from the end of the text, up to where all of it was sent."""
        if self.in_step:
            self._position = Cursor(self.answer.thinking.length, self.answer.content.length)
            self.in_step = False
        self._behind.set()

    def drop(self) -> None:
        """Close the connection at once; `run` ends with a ConnectionError."""
        self.sink.abort()

    async def run(self) -> None:
        """Send `start`, the text from the position on, and finally the terminal event.

        While the subscriber is in step, this waits, and the answer pushes frames. Raises ConnectionError if
        the client disconnects first.
        """
        await self._send(self.answer.start(reset=self.reset))
        warned: set[Notice] = set()
        while True:
            while new := [notice for notice in self.answer.warnings if notice not in warned]:
                warned.add(new[0])
                await self._send(events.Warning(code=new[0].code, message=new[0].message))
            if await self._catch_up():
                continue
            if self.answer.ended:
                await self.sink.end(self.answer)
                return
            self.in_step = True
            self._behind.clear()
            await self._behind.wait()
            if self.gone:
                raise ConnectionResetError("the client has disconnected")

    async def _catch_up(self) -> bool:
        """Send the next frame that is due; return False if there is none."""
        edition, self._edition = self._edition, self.answer.edition
        if not self.answer.has(self._position, edition):  # what was sent has changed sides, or is no more
            self._position = Cursor()
            await self._send(self.answer.start(reset=True))
        elif step := self.answer.after(self._position):
            event, self._position = step
            await self._send(event)
        elif not self.answer.ended and self._sent_version != self.answer.progress.version:
            self._sent_version = self.answer.progress.version
            await self._send(self.answer.progress.event())
        else:
            return False
        return True

    async def _send(self, event: Event) -> None:
        await self.sink.send(frame(event))
        self.sent_at = clock.now()
