"""The bus: lines from one replica to another, or to all others, by NOTIFY of the database that they share.

A line arrives once at most, and lines of one replica to one address arrive in their order. Nothing is stored,
and nothing is sent again: where lines may be missing, the listener is told (`lost`), and asks for what it
needs. So a line may say nothing that cannot be asked for. A commit costs the same for one line and for a
hundred, which is why they are gathered for GATHER seconds after the last one, over all answers.

Each replica listens to a channel of its own and to one for all. What goes to a channel is cut into parts that
NOTIFY takes, with the sender and a running number before each: PostgreSQL drops payloads that are equal, and
a number that is left out shows a loss. The parts of a line are in one commit, so all of them arrive, or none.
See PostgreSQL's documentation of NOTIFY.

The start of the database has seen that one connection hears what another one notifies (`database.check`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, Self

from chatproxy import clock
from chatproxy.background import background
from chatproxy.store.postgres.errors import FAILURES
from chatproxy.store.postgres.pool import UNKEPT, Raw

logger: Final = logging.getLogger(__name__)

ALL: Final = 0  # the address of all other replicas
GATHER: Final = 0.003  # seconds from one commit to the next, unless a line is urgent
PART: Final = 7900  # bytes of a part; a payload is shorter than 8000, with the sender and the number
ROOM: Final = 256 * 1024  # bytes for one address, up to which more of an answer is given to the bus
MOST: Final = 1024 * 1024  # bytes for one address that wait to be sent
ECHO_EVERY: Final = 2.0  # seconds between two signs of a replica to itself
ECHO_WITHIN: Final = 2.0  # seconds in which it has to hear one
AGAIN: Final = 0.2  # seconds until another attempt
COMMIT: Final = 5.0  # seconds that a commit may take
CLOSE: Final = 1.0  # seconds in which what waits is sent at the end

# Both arrays are as long as each other; the order of the parts is that of the arrays.
_NOTIFY: Final = "SELECT pg_notify(channel, part) FROM unnest($1::text[], $2::text[]) AS sent (channel, part)"

Connect = Callable[[], Awaitable[Raw]]
Heard = Callable[[int, str], None]
Lost = Callable[[int | None], None]


class Outbox:
    """The lines for one address that wait to be sent."""

    def __init__(self, sender: int, number: int = 0) -> None:
        """Begin after a number; `sender` is whose lines these are."""
        self.number = number  # of the last part
        self.size = 0  # in bytes
        self._sender = sender
        self._lines: list[bytes] = []

    def add(self, line: str) -> None:
        """Add a line without a line break. If too much waits, drop all of it, which the listener will see."""
        encoded = b"%b\n" % line.encode()
        self.size += len(encoded)
        if self.size > MOST:
            self.drop()
        else:
            self._lines.append(encoded)

    def drop(self) -> None:
        """Drop what waits, or what may not have arrived; an empty line tells that something is missing."""
        self.number += 1
        self._lines, self.size = [b"\n"], 1

    def take(self) -> Iterator[str]:
        """Yield all of it in parts; nothing waits then."""
        text = b"".join(self._lines)
        self._lines, self.size = [], 0
        begin = 0
        while begin < len(text):
            part = text[begin : begin + PART].decode(errors="ignore")  # no part of a character at its end
            begin += len(part.encode())
            self.number += 1
            yield f"{self._sender} {self.number} {part}"


class Inbox:
    """What has arrived from one sender on one channel."""

    def __init__(self) -> None:
        self._number: int | None = None  # of the last part
        self._rest = ""  # of a line that goes on in the next part

    def take(self, number: int, part: str) -> tuple[Sequence[str], bool]:
        """Return the lines that are whole with this part, and whether some may be missing before them.

        A part that comes after later ones was told to be lost. Its connection was given up before.
        """
        if self._number is not None and number <= self._number:
            return (), False
        is_missing = self._number is not None and number > self._number + 1
        *lines, self._rest = f"{'' if is_missing else self._rest}{part}".split("\n")
        self._number = number
        return [line for line in lines if line], is_missing


class Bus:
    """Sends and hears lines; see `open`."""

    def __init__(self, me: int, connect: Connect, heard: Heard, lost: Lost) -> None:
        self._me = me
        self._connect = connect
        self._heard = heard
        self._lost = lost
        self._outboxes: dict[int, Outbox] = {}
        self._inboxes: dict[tuple[int, str], Inbox] = {}
        self._first = 0  # the last number of all outboxes that are forgotten
        self._waiting: set[int] = set()  # addresses for which something waits
        self._due = asyncio.Event()  # something waits
        self._urgent = asyncio.Event()  # which does not wait for more
        self._moved = asyncio.Event()  # replaced and set whenever something waits no more
        self._echo = asyncio.Event()
        self._broken = asyncio.Event()
        self._closes = False

    @classmethod
    @asynccontextmanager
    async def open(cls, me: int, connect: Connect, heard: Heard, lost: Lost) -> AsyncIterator[Self]:
        """Yield a bus for the replica with the id `me`, which is not ALL; in the end, send what waits.

        `connect` opens a connection, of which the bus has two. `heard` is called with each line and, before
        it, its sender; `lost` with a sender some of whose lines may be missing, or None if it may be anybody.
        Neither may raise. Raises what `connect` raises.
        """
        bus = cls(me, connect, heard, lost)
        async with AsyncExitStack() as stack:
            listener = await bus._listen()
            await stack.enter_async_context(background(bus._keep_listening(listener), name="bus listener"))
            sending = await stack.enter_async_context(background(bus._keep_sending(), name="bus"))
            try:
                yield bus
            finally:
                bus._closes = True
                bus._due.set()
                bus._urgent.set()
                await asyncio.wait({sending}, timeout=CLOSE)

    def send(self, address: int, line: str, *, urgent: bool = False) -> None:
        """Send a line to a replica, or to ALL others. It contains no line break and no NUL; JSON has none."""
        outbox = self._outboxes.get(address)
        if outbox is None:
            outbox = self._outboxes[address] = Outbox(self._me, self._first)
        outbox.add(line)
        self._waiting.add(address)
        self._due.set()
        if urgent:
            self._urgent.set()

    def has_room(self, address: int) -> bool:
        """Return whether so little waits for an address that more of a long text may be sent there."""
        outbox = self._outboxes.get(address)
        return outbox is None or outbox.size < ROOM

    async def room(self, address: int) -> None:
        """Return once there is room. All who wait for it go on in turn, as far as it goes."""
        while not self.has_room(address):
            await self._moved.wait()

    def forget(self, replica: int) -> None:
        """Forget a replica that is gone for good."""
        if outbox := self._outboxes.pop(replica, None):
            outbox.drop()  # so that it sees the loss, should it be alive
            self._first = max(self._first, outbox.number)
        self._waiting.discard(replica)
        for key in [key for key in self._inboxes if key[0] == replica]:
            del self._inboxes[key]
        self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    # -- sending

    async def _keep_sending(self) -> None:
        """Send what waits, over one connection after another."""
        while True:
            with suppress(*FAILURES):
                async with asyncio.timeout(COMMIT):
                    connection = await self._connect()
                try:
                    await self._send_over(connection)
                finally:
                    connection.terminate()
            if self._closes and not self._waiting:
                return
            await asyncio.sleep(AGAIN)

    async def _send_over(self, connection: Raw) -> None:
        """Send what waits, until the connection breaks, or the bus closes."""
        async with asyncio.timeout(COMMIT):
            await connection.execute(UNKEPT)
        sent_at = 0.0  # on `clock`
        while self._waiting or not self._closes:
            await self._due.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, sent_at + GATHER - clock.now())):
                    await self._urgent.wait()
            if connection.is_closed():
                return
            self._due.clear()
            self._urgent.clear()
            sent_at = clock.now()
            addresses, self._waiting = self._waiting, set()
            if not addresses:
                continue
            sent = [(_channel(each), part) for each in addresses for part in self._outboxes[each].take()]
            self._move()
            try:
                async with asyncio.timeout(COMMIT):
                    await connection.execute(_NOTIFY, [each for each, _ in sent], [part for _, part in sent])
            except FAILURES as error:
                logger.debug("lines to other replicas were lost", exc_info=error)
                self._tell_loss(addresses)
                return

    def _tell_loss(self, addresses: set[int]) -> None:
        """Let the listeners know, later, that what was to be sent to them may not have arrived."""
        for address in addresses & self._outboxes.keys():
            self._outboxes[address].drop()
            self._waiting.add(address)
            self._due.set()

    # -- listening

    async def _listen(self) -> Raw:
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _: self._broken.set())
            for address in (self._me, ALL):
                await connection.add_listener(_channel(address), self._receive)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _receive(self, _connection: object, _pid: int, channel: str, payload: object) -> None:
        sender_text, number, part = str(payload).split(" ", 2)
        sender = int(sender_text)
        if sender == self._me:
            self._echo.set()
            return
        inbox = self._inboxes.get((sender, channel))
        if inbox is None:
            inbox = self._inboxes[sender, channel] = Inbox()
        lines, is_missing = inbox.take(int(number), part)
        if is_missing:
            self._lost(sender)
        for line in lines:
            self._heard(sender, line)

    async def _keep_listening(self, listener: Raw) -> None:
        """Listen again where that has ended, also where nothing says that it has."""
        while True:
            try:
                while not listener.is_closed() and await self._hears_itself():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ECHO_EVERY):
                            await self._broken.wait()
                    self._broken.clear()
            finally:
                listener.terminate()
            listener = await self._listen_again()
            self._lost(None)

    async def _hears_itself(self) -> bool:
        self._echo.clear()
        self.send(self._me, "", urgent=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(ECHO_WITHIN):
                await self._echo.wait()
        return self._echo.is_set()

    async def _listen_again(self) -> Raw:
        while True:
            with suppress(*FAILURES):
                async with asyncio.timeout(COMMIT):
                    return await self._listen()
            await asyncio.sleep(AGAIN)


def _channel(address: int) -> str:
    return f"chatproxy_{address}"
