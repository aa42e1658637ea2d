"""The bus between replicas: nothing is doubled or out of order, and a loss is told."""

import asyncio
import gc
import logging
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from postgres import Server
from waiting import until

from chatproxy.background import background
from chatproxy.store.postgres import bus as module
from chatproxy.store.postgres.bus import ALL, MOST, PART, ROOM, Bus, Inbox, Outbox
from chatproxy.store.postgres.pool import Raw, connect

LINES: Final = st.lists(
    st.text(st.characters(blacklist_characters="\n\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
)


def taken(inbox: Inbox, payloads: list[str]) -> tuple[list[str], int]:
    """Return the lines in some payloads, and how often something was missing."""
    lines: list[str] = []
    gaps = 0
    for payload in payloads:
        _, number, part = payload.split(" ", 2)
        some, is_missing = inbox.take(int(number), part)
        lines += some
        gaps += is_missing
    return lines, gaps


@given(st.lists(LINES))
def test_lines_arrive_as_they_were_sent(commits: list[list[str]]) -> None:
    outbox, inbox = Outbox(7), Inbox()
    for lines in commits:
        for line in lines:
            outbox.add(line)
        assert taken(inbox, [*outbox.take()]) == (lines, 0)


@given(LINES.map(lambda lines: lines[:8]), st.integers(1, 4))
def test_a_part_holds_what_a_notification_takes(lines: list[str], times: int) -> None:
    outbox, inbox = Outbox(2**62), Inbox()
    long = [line * (times * PART // len(line)) for line in lines]
    for line in long:
        outbox.add(line)
    parts = [*outbox.take()]
    assert all(len(part.encode()) < 8000 for part in parts)
    assert taken(inbox, parts) == (long, 0)


@given(st.lists(LINES.filter(bool), min_size=1), st.data())
def test_what_is_missing_is_told_once_something_arrives(
    commits: list[list[str]], data: st.DataObject
) -> None:
    outbox, inbox = Outbox(7), Inbox()
    outbox.add("first")
    assert taken(inbox, [*outbox.take()]) == (["first"], 0)
    arrived = [data.draw(st.booleans()) for _ in commits]
    for lines, does_arrive in zip(commits, arrived, strict=True):
        for line in lines:
            outbox.add(line)
        parts = [*outbox.take()]
        if does_arrive:
            assert taken(inbox, parts)[0] == lines
        else:
            outbox.drop()
    outbox.add("last")
    lines, gaps = taken(inbox, [*outbox.take()])
    assert lines == ["last"]
    assert gaps == (not arrived[-1])


def test_too_much_for_one_who_takes_nothing_is_dropped() -> None:
    outbox, inbox = Outbox(7), Inbox()
    outbox.add("first")
    taken(inbox, [*outbox.take()])
    for _ in range(3):
        outbox.add("x" * (MOST // 2 - 1))
    outbox.add("last")
    parts = [*outbox.take()]
    assert sum(map(len, parts)) <= MOST + PART
    assert taken(inbox, parts) == (["last"], 1)


def test_a_part_that_comes_too_late_is_not_heard() -> None:
    """Its connection was given up, and may still have been committed."""
    outbox, inbox = Outbox(7), Inbox()
    outbox.add("late")
    late = [*outbox.take()]
    outbox.drop()
    outbox.add("next")
    assert taken(inbox, [*outbox.take(), *late]) == (["next"], 0)
    outbox.add("last")
    assert taken(inbox, [*outbox.take()]) == (["last"], 0)


# -- on a server


class Replica:
    """One end of the bus, and what it hears: lines with their sender, and "lost" where some may be."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.bus: Bus
        self.heard: list[tuple[int | None, str]] = []

    def take(self, sender: int, line: str) -> None:
        self.heard.append((sender, line))

    def lose(self, sender: int | None) -> None:
        self.heard.append((sender, "lost"))

    def of(self, sender: "Replica") -> list[str]:
        """Return the lines of one sender, and the losses that may concern it."""
        return [line for id, line in self.heard if id in {sender.id, None}]

    async def hears(self, sender: "Replica", line: str) -> None:
        """Send a line from the sender, and wait until it is heard here."""
        sender.bus.send(self.id, line)
        await until(lambda: (sender.id, line) in self.heard)


class Replicas:
    """Replicas on one database, with their connections."""

    def __init__(self, server: Server, database: str) -> None:
        self.connections: list[Raw] = []
        self.queries: list[asyncpg.connection.LoggedQuery] = []
        self._server = server
        self._database = database

    async def connect(self) -> Raw:
        connection = await connect(self._server.url(self._database))
        connection.add_query_logger(self.queries.append)
        self.connections.append(connection)
        return connection

    @asynccontextmanager
    async def opened(self, *ids: int) -> AsyncIterator[list[Replica]]:
        """Yield replicas with those ids."""
        async with AsyncExitStack() as stack:
            replicas = [Replica(id) for id in ids]
            for each in replicas:
                opening = Bus.open(each.id, self.connect, each.take, each.lose)
                each.bus = await stack.enter_async_context(opening)
            yield replicas

    async def backends(self, kind: str) -> list[int]:
        """Return the processes of the server that LISTEN, or that SELECT pg_notify."""
        own = f"datname = '{self._database}' AND query LIKE '{kind}%'"
        return [*map(int, (await self._psql(f"SELECT pid FROM pg_stat_activity WHERE {own}")).split())]

    async def have_ended(self, pids: set[int]) -> bool:
        return pids.isdisjoint(await self.backends(""))

    def beside(self) -> "Replicas":
        """Return others on the same database."""
        return Replicas(self._server, self._database)

    async def terminate(self, pid: int) -> None:
        await self._psql(f"SELECT pg_terminate_backend({pid})")

    async def _psql(self, sql: str) -> str:
        return await asyncio.to_thread(self._server.psql, sql)


@pytest.fixture
async def quiet(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """Nothing is logged, and nothing ends with an exception that nobody sees."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unseen.append(context))
    yield
    gc.collect()
    await asyncio.sleep(0)
    assert unseen == []
    assert [each.getMessage() for each in caplog.records if each.levelno > logging.DEBUG] == []


@pytest.fixture
def replicas(postgres_server: Server, postgres_url: str, quiet: None) -> Replicas:
    return Replicas(postgres_server, postgres_url.removeprefix("postgresql://tests@/").partition("?")[0])


def in_order(lines: list[str]) -> int:
    """Return how many numbers were heard: each once, in order, and gaps only where a loss was told."""
    last, told = -1, True
    for line in lines:
        if line == "lost":
            told = True
        else:
            number = int(line)
            assert number == last + 1 or (told and number > last)
            last, told = number, False
    return sum(line != "lost" for line in lines)


@asynccontextmanager
async def numbers(one: Replica, two: Replica) -> AsyncIterator[None]:
    """Let two replicas send numbers to each other while the block runs, and see that they arrived."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            one.bus.send(two.id, f"{sent}")
            two.bus.send(one.id, f"{sent}")
            sent += 1
            await asyncio.sleep(0.0005)

    def last(heard: list[tuple[int | None, str]]) -> int:
        return max((int(line) for _, line in heard[-9:] if line != "lost"), default=0)

    async with background(send(), name="numbers"):
        yield
        then = sent
        await until(lambda: min(last(one.heard), last(two.heard)) >= then)
    for sender, reader in ((one, two), (two, one)):
        assert in_order(reader.of(sender)) > sent / 10


async def test_each_hears_the_others_in_order(replicas: Replicas) -> None:
    lines = [f"{number}" for number in range(1000)]
    async with replicas.opened(1, 2, 2**62) as (one, two, three):
        for number, line in enumerate(lines):
            one.bus.send(two.id, line)
            two.bus.send(one.id, line, urgent=number % 7 == 0)
            three.bus.send(ALL, line)
            if number % 10 == 0:
                await asyncio.sleep(0)
        await until(lambda: len(one.heard) == len(two.heard) == 2000)
        assert one.of(two) == one.of(three) == two.of(one) == two.of(three) == lines
        assert three.heard == []


async def test_any_text_arrives(replicas: Replicas) -> None:
    lines = ["é\u2028😀\x01\x7f\\", "x" * (PART - 1), "😀" * PART, "漢" * (MOST // 4), '"\\u0000"']
    async with replicas.opened(1, 2) as (one, two):
        for line in lines:
            await one.bus.room(two.id)
            one.bus.send(two.id, line)
        await until(lambda: two.of(one) == lines)


async def test_who_waits_for_room_loses_nothing(replicas: Replicas) -> None:
    """Also many at once, whose lines are longer than all that may wait."""
    lines = [f"{number} {'x' * 50_000}" for number in range(20)]

    async def send(writer: int) -> None:
        for line in lines:
            await one.bus.room(two.id)
            one.bus.send(two.id, f"{writer} {line}")

    async with replicas.opened(1, 2) as (one, two):
        await asyncio.gather(*map(send, range(20)))
        await until(lambda: len(two.heard) == 400)
        for writer in range(20):
            own = [line for line in two.of(one) if line.startswith(f"{writer} ")]
            assert own == [f"{writer} {line}" for line in lines]


async def test_what_is_too_much_is_told_to_be_lost(replicas: Replicas) -> None:
    async with replicas.opened(1, 2) as (one, two):
        await two.hears(one, "0")
        one.bus.send(two.id, "1")
        assert one.bus.has_room(two.id)
        one.bus.send(two.id, "x" * ROOM)
        assert not one.bus.has_room(two.id)
        one.bus.send(two.id, "x" * MOST)
        await two.hears(one, "2")
        assert two.of(one) == ["0", "lost", "2"]


@pytest.mark.parametrize("kind", ["LISTEN", "SELECT pg_notify"])
async def test_lines_go_on_when_connections_are_terminated(replicas: Replicas, kind: str) -> None:
    async with replicas.opened(1, 2) as (one, two):
        await two.hears(one, "0")
        await one.hears(two, "0")
        one.heard, two.heard = [], []
        async with numbers(one, two):
            for _ in range(4):
                count, heard = len(replicas.connections), len(one.heard)
                pids = await replicas.backends(kind)
                for pid in pids:
                    await replicas.terminate(pid)
                await until(lambda: len(replicas.connections) >= count + len(pids))  # noqa: B023
                await until(lambda: len(one.heard) > heard + 50)  # noqa: B023
        assert kind != "LISTEN" or (None, "lost") in one.heard


async def test_a_connection_that_ended_unused_loses_nothing(replicas: Replicas) -> None:
    others = replicas.beside()
    async with replicas.opened(1) as (one,), others.opened(2) as (two,):
        await two.hears(one, "0")
        sender = replicas.connections[1]
        await replicas.terminate(sender.get_server_pid())
        await until(sender.is_closed)
        await two.hears(one, "1")
        assert two.of(one) == ["0", "1"]


@pytest.mark.parametrize("mode", ["immediate", "fast"])
async def test_lines_go_on_when_the_server_was_restarted(
    own_postgres: Server, quiet: None, mode: str
) -> None:
    replicas = Replicas(own_postgres, "postgres")
    async with replicas.opened(1, 2) as (one, two), numbers(one, two):
        await until(lambda: len(one.heard) > 50)
        await asyncio.to_thread(own_postgres.stop, mode)
        heard = len(one.heard)
        await asyncio.to_thread(own_postgres.start)
        await until(lambda: len(one.heard) > heard + 50 and (None, "lost") in one.heard)


async def test_a_commit_that_comes_late_is_not_heard(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that takes too long is given up; what was sent over it is told to be lost."""
    others = replicas.beside()
    async with replicas.opened(1) as (one,), others.opened(2) as (two,):
        await two.hears(one, "0")
        sender = replicas.connections[1]
        pid = sender.get_server_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as impatient:
                impatient.setattr(module, "COMMIT", 0.3)
                one.bus.send(two.id, "late")
                await until(sender.is_closed)
            await two.hears(one, "1")
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(lambda: replicas.have_ended({pid}))
        await two.hears(one, "2")
        assert two.of(one) == ["0", "lost", "1", "2"]


async def test_the_end_sends_what_waits(replicas: Replicas) -> None:
    async with replicas.opened(2) as (two,):
        async with replicas.opened(1) as (one,):
            for number in range(3000):
                one.bus.send(two.id, f"{number}")
        await until(lambda: two.of(one) == [f"{number}" for number in range(3000)])


async def test_the_end_waits_for_no_server(own_postgres: Server, quiet: None) -> None:
    async with Replicas(own_postgres, "postgres").opened(1, 2) as (one, two):
        await two.hears(one, "0")
        await asyncio.to_thread(own_postgres.stop)
        one.bus.send(two.id, "1")


async def test_a_bus_that_is_given_up_while_it_sends(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE", 0)
    async with replicas.opened(1, 2) as (one, two):
        await two.hears(one, "0")
        one.bus.send(two.id, "x" * (MOST - 1))
    await until(lambda: all(each.is_closed() for each in replicas.connections))


async def test_nothing_is_committed_but_an_echo_while_nothing_is_sent(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ECHO_EVERY", 0.05)
    async with replicas.opened(1) as (one,):
        await until(lambda: len(replicas.queries) >= 8)
        assert one.heard == []
    queries = [each for each in replicas.queries if not each.query.startswith(("SET ", "LISTEN "))]
    assert len(queries) == len(replicas.queries) - 3
    for each in queries:
        channels, (part,) = each.args
        assert channels == ["chatproxy_1"]
        assert re.fullmatch(r"1 [0-9]+ \n", part)


async def test_a_replica_that_was_forgotten_and_lives_is_told_of_a_loss(replicas: Replicas) -> None:
    async with replicas.opened(1, 2) as (one, two):
        await two.hears(one, "0")
        await one.hears(two, "0")
        one.bus.send(two.id, "1")
        one.bus.forget(two.id)
        assert one.bus.has_room(two.id)
        await two.hears(one, "2")
        await one.hears(two, "1")
        assert two.of(one) == ["0", "lost", "2"]
        assert one.of(two) == ["0", "1"]
