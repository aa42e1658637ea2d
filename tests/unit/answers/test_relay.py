"""An answer that another replica writes is the same here, whatever the bus loses."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatproxy.answers import events, relay
from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Chunk, Frame, Start, Status, Thinking
from chatproxy.answers.relay import Followed, Relay
from chatproxy.answers.subscription import Subscription
from chatproxy.cursor import Cursor
from chatproxy.store.records import Message, Notice, Source

BEGUN: Final = Message(
    id=2, session_id="s", role="assistant", content="", status="streaming", created_at="", updated_at=""
)
ENDED: Final = replace(BEGUN, status="complete", finish_reason="stop", model="m")
SOURCE: Final = Source(document_id=1, title="t", chunk=0, snippet="s", score=0.5, found=[(0, 1)])
WORDS: Final = st.sampled_from(["a", "b ", "é", "\U0001f600", "\n", "longer than that ", "x" * 5000])
LINES: Final = st.sampled_from(
    ["", "x", "1 0 {}", "1 x {}", "7 0", '0 0 {"type":"chunk","content":"","cursor":""}']
)


def steps(**words: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """What happens to an answer and to its copy, in some order."""
    kinds = [st.tuples(st.just(kind), each) for kind, each in words.items()]
    return st.lists(st.one_of(kinds), max_size=30)


STEPS: Final = steps(
    think=WORDS,
    say=WORDS,
    token=st.sampled_from(["a", "b", "c"]),
    swap=st.just(""),
    fall_back=st.sampled_from(["one", "two", ""]),
    refit=st.sampled_from(["", "cut"]),
    status=st.sampled_from(["queued", "generating"]),
    lose=st.just(""),
    repeat=st.just(""),
    say_nonsense=LINES,
    fill=st.just(""),
    ask=st.just(""),
    settle=st.just(""),
)


class Reader:
    """A reader of the copy, as browsers are: drops what a `reset` says."""

    gone = False

    def __init__(self) -> None:
        self.thinking = self.content = ""
        self.warnings: list[str] = []
        self.resets = 0
        self.statuses: list[Status] = []
        self.has_ended = False
        self.takes = asyncio.Event()
        self.takes.set()

    def push(self, frame: Frame) -> bool:
        if not self.takes.is_set():
            return False
        event = frame.event
        if isinstance(event, Start) and event.reset is True:
            self.thinking = self.content = ""
            self.resets += 1
        elif isinstance(event, Thinking):
            self.thinking += event.content
        elif isinstance(event, Chunk):
            self.content += event.content
        elif isinstance(event, Status):
            self.statuses.append(event)
        elif isinstance(event, events.Warning):
            self.warnings.append(event.code)
        if isinstance(event, Thinking | Chunk):
            assert str(Cursor(len(self.thinking), len(self.content))) == event.cursor
        return True

    async def send(self, frame: Frame) -> None:
        await self.takes.wait()
        self.push(frame)

    async def end(self, answer: Answer) -> None:
        self.has_ended = True

    def abort(self) -> None:
        pass


class Bus:
    """The two ends of an answer, and what is lost between them. It has room for so many characters."""

    def __init__(self, size: int = 10**9) -> None:
        self.owned = Answer(BEGUN, 1)
        self.followed = Followed(Answer(BEGUN, 1), self.ask)
        self.asked: list[Cursor] = []
        self.is_deaf = False
        self.loses: Callable[[str], bool] = lambda line: False
        self.lost: list[str] = []
        self.most = 0  # characters that waited at once
        self._size = size
        self._lines: list[str] = []
        self._delivered = asyncio.Event()
        self._last = "1 0 {}"
        self._relay: Relay | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def ask(self, after: Cursor) -> None:
        self.asked.append(after)
        if self._relay is not None:
            self._relay.abort()
        self._relay = Relay(
            self.owned, send=self._send, has_room=self._has_room, room=self._room, end=lambda: None
        )
        self._run(Subscription(self.owned, self._relay, after))

    def _has_room(self) -> bool:
        return sum(map(len, self._lines)) < self._size

    async def _room(self) -> None:
        while not self._has_room():
            await self._delivered.wait()

    def _send(self, line: str) -> None:
        self._lines.append(line)
        self.most = max(self.most, sum(map(len, self._lines)))

    def deliver(self, *more: str) -> None:
        """Let what was sent arrive, or be lost."""
        lines, self._lines = [*self._lines, *more], []
        self._delivered.set()
        self._delivered = asyncio.Event()
        for line in lines:
            self._last = line
            if self.is_deaf or self.loses(line):
                self.lost.append(line)
            else:
                self.followed.take(line)

    def repeat(self) -> None:
        """Let what arrived last arrive once more."""
        self.deliver(self._last)

    def read(self, after: Cursor | None = None) -> Reader:
        """Begin to read the copy."""
        reader = Reader()
        self._run(Subscription(self.followed.answer, reader, after))
        return reader

    def _run(self, subscription: Subscription) -> None:
        async def run() -> None:
            with subscription.answer.subscribed_by(subscription), suppress(ConnectionError):
                await subscription.run()

        self._tasks.append(asyncio.create_task(run()))

    async def settle(self) -> None:
        """Let everything happen that can."""
        for _ in range(60):
            await asyncio.sleep(0)
            self.deliver()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


@asynccontextmanager
async def opened(size: int = 10**9) -> AsyncIterator[Bus]:
    """Yield a bus whose follower has begun."""
    bus = Bus(size)
    bus.followed.ask()
    await bus.settle()
    yield bus
    await bus.close()


def step(bus: Bus, kind: str, word: str) -> None:
    owned = bus.owned
    bus.is_deaf = kind == "lose" or (bus.is_deaf and kind != "settle")
    if kind != "fill":
        bus.deliver()
    match kind:
        case "think" if not owned.swapped:
            owned.append(word, "", 1)
        case "say":
            owned.append("", word, 1)
        case "token" if owned.thought is not None:
            owned.append_token(word, word.encode())
        case "swap" if not owned.swapped and bool(owned.thinking.length) != bool(owned.content.length):
            owned.swap()
        case "fall_back":
            owned.fall_back(word, "why", Notice(code=word, message="Why.") if word else None)
        case "refit":
            owned.refit([SOURCE] if word else [], [Notice(code=word, message="Why.")] if word else [])
        case "status" if word == "queued":
            owned.enter("queued", place=lambda: (3, 10.0))
        case "status":
            owned.enter("generating")
        case "repeat":
            bus.repeat()
        case "say_nonsense":
            bus.followed.take(word)
        case "ask":
            bus.followed.ask()


def texts(answer: Answer | Reader) -> tuple[str, str]:
    return str(answer.thinking), str(answer.content)


def is_copied(bus: Bus) -> bool:
    """Return whether the copy is what it is made of."""
    owned, copy = bus.owned, bus.followed.answer
    return texts(owned) == texts(copy) and all(
        getattr(owned, name) == getattr(copy, name) for name in ("record", "thought", "swapped", "cursor")
    )


async def is_the_same(steps: Sequence[tuple[str, str]], size: int) -> None:
    async with opened(size) as bus:
        readers = [bus.read()]
        for kind, word in steps:
            step(bus, kind, word)
            if kind == "settle":
                await bus.settle()
                readers.append(bus.read())
        bus.is_deaf = False
        await bus.settle()
        bus.followed.ask()  # as after a silence
        for _ in range(20):  # as often as the least room makes necessary
            await bus.settle()
        assert bus.followed.is_current
        assert is_copied(bus)
        for reader in readers:
            assert texts(reader) == texts(bus.owned)
            assert {each.code for each in bus.owned.warnings} <= {*reader.warnings}
            assert reader.statuses[-1].state == bus.owned.progress.state


@given(STEPS, st.sampled_from([1, 10_000, 10**9]))
def test_a_copy_is_the_same_whatever_is_lost(steps: list[tuple[str, str]], size: int) -> None:
    asyncio.run(is_the_same(steps, size))


@given(STEPS)
def test_what_is_missing_is_asked_for_at_once_if_nothing_was_for_a_while(
    steps: list[tuple[str, str]],
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(relay, "ASK_EVERY", 0)
        asyncio.run(is_the_same(steps, 10**9))


async def test_a_copy_needs_no_question_but_the_first_while_nothing_is_lost() -> None:
    async with opened() as bus:
        reader = bus.read()
        bus.owned.enter("queued", place=lambda: (3, 10.0))
        await bus.settle()
        bus.owned.fall_back("small", "large failed", Notice(code="model_fallback", message="So."))
        await bus.settle()
        assert is_copied(bus)
        bus.owned.refit([SOURCE], bus.owned.warnings)
        await bus.settle()
        assert is_copied(bus)
        bus.owned.append("hm", "", 1)
        bus.owned.append("", "x" * 50_000, 1)
        bus.owned.append("late thought", "", 1)
        bus.owned.append_token("a", b"a")
        await bus.settle()
        assert is_copied(bus)
        assert texts(reader) == texts(bus.owned)
        assert (reader.warnings, reader.resets) == (["model_fallback"], 0)
        assert [(each.state, each.position) for each in reader.statuses[1:2]] == [("queued", 3)]
        assert 9_000 < (reader.statuses[1].eta_ms or 0) <= 10_000
        assert bus.asked == [Cursor()]


async def test_a_swap_starts_the_copy_over() -> None:
    async with opened() as bus:
        early, late = bus.read(), bus.read()
        late.takes.clear()
        bus.owned.append("", "thought", 1)
        await bus.settle()
        bus.owned.swap()
        bus.owned.append("", "said", 1)
        await bus.settle()
        late.takes.set()
        await bus.settle()
        assert is_copied(bus)
        assert texts(early) == texts(late) == ("thought", "said")
        assert (early.resets, late.resets) == (1, 0)


@pytest.fixture
def asks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "ASK_EVERY", 0)


@pytest.mark.usefixtures("asks_at_once")
@pytest.mark.parametrize("lost", ["described", "chunk", "status"])
async def test_every_line_that_is_lost_is_missed(lost: str) -> None:
    async with opened() as bus:
        bus.loses = lambda line: f'"type":"{lost}"' in line
        bus.owned.refit([SOURCE], [])
        bus.owned.append("", "a", 1)
        bus.owned.enter("loading")
        await bus.settle()
        bus.loses = lambda line: False
        bus.owned.append("", "b", 1)
        await bus.settle()
        assert is_copied(bus)
        assert bus.followed.is_current
        assert bus.followed.answer.progress.state == "loading"


@pytest.mark.usefixtures("asks_at_once")
async def test_text_is_never_appended_to_what_changed_sides() -> None:
    """Also where the owner does not know of text that came here after the question."""
    async with opened() as bus:
        reader = bus.read()
        bus.followed.ask()  # nothing is here yet
        bus.owned.append("", "thought", 1)
        bus.deliver()
        await bus.settle()
        bus.loses = lambda line: '"reset":true' in line
        bus.owned.swap()
        await bus.settle()
        bus.owned.append("", "said", 1)
        await bus.settle()
        bus.loses = lambda line: False
        bus.owned.append_token("x", b"x")
        await bus.settle()
        assert is_copied(bus)
        assert texts(reader) == ("thought", "saidx")


async def test_a_copy_that_was_not_told_of_a_swap_starts_over() -> None:
    bus = Bus()
    bus.owned.append("", "thought", 1)
    bus.owned.swap()
    bus.followed.ask()
    bus.followed.answer.append("", "thou", 1)  # of an earlier relay, after the question
    await bus.settle()
    assert is_copied(bus)
    await bus.close()


@pytest.mark.usefixtures("asks_at_once")
async def test_a_relay_that_begins_elsewhere_is_asked_for_the_rest() -> None:
    async with opened() as bus:
        bus.owned.append("hm", "hello", 1)
        await bus.settle()
        bus.ask(Cursor(1, 2))  # an old question
        await bus.settle()
        assert is_copied(bus)
        bus.owned.append("", " again", 1)
        bus.is_deaf = True
        await bus.settle()
        bus.is_deaf = False
        for begin in (Cursor(2, 7), Cursor(2, 11)):
            bus.ask(begin)
            bus.owned.append("", "!", 1)
            await bus.settle()
            assert is_copied(bus)


async def test_nothing_is_taken_after_a_line_that_is_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as bus:
        bus.is_deaf = True
        bus.owned.fall_back("small", "why")
        for word in "ab":
            bus.owned.append("", word, 1)
        await bus.settle()
        bus.is_deaf = False
        for line in bus.lost:
            bus.followed.take(line.replace('"type":"described"', '"type":"novel"'))
        assert texts(bus.followed.answer) == ("", "")
        assert not bus.followed.is_current
        monkeypatch.setattr(relay, "ASK_EVERY", 0)
        bus.owned.append("", "c", 1)
        await bus.settle()
        assert is_copied(bus)


async def test_a_copy_that_has_what_the_owner_has_not_starts_over() -> None:
    bus = Bus()
    bus.followed.answer.append("", "heard before", 1)
    reader = bus.read()
    await bus.settle()
    bus.owned.append("", "heard", 1)
    bus.followed.ask()
    await bus.settle()
    assert is_copied(bus)
    assert (texts(reader), reader.resets) == (("", "heard"), 1)
    await bus.close()


async def test_a_copy_shows_no_outcome_before_it_is_told() -> None:
    async with opened() as bus:
        bus.owned.append("", "x" * 50_000, 1)
        bus.owned.end(replace(ENDED, content=str(bus.owned.content)))
        await bus.settle()
        copy = bus.followed.answer
        assert (texts(copy), copy.model) == (texts(bus.owned), ENDED.model)
        assert (copy.message.status, copy.message.finish_reason, copy.ended) == ("streaming", None, False)


async def test_catching_up_waits_for_room() -> None:
    bus = Bus(size=100_000)
    bus.owned.append("", "x" * 5_000_000, 1)
    bus.followed.ask()
    while not bus.followed.is_current:
        await bus.settle()
    assert is_copied(bus)
    assert bus.most < 150_000
    await bus.close()


async def test_who_is_in_step_reads_on_where_there_was_no_room() -> None:
    async with opened(size=1000) as bus:
        for _ in range(1000):
            bus.owned.append("", "word ", 1)
        assert bus.most < 2000
        await bus.settle()
        assert is_copied(bus)
        assert len(bus.asked) == 1


async def test_what_another_version_says_is_asked_for_once_in_a_while() -> None:
    async with opened() as bus:
        heard_at = bus.followed.heard_at
        for line in ["", "1 2 3", "1 0 {}", "1 1 null", '1 0 {"type":"new"}', "1 0 " + "[" * 10_000] * 100:
            bus.followed.take(line)
        assert len(bus.asked) <= 2
        assert bus.followed.heard_at == heard_at
        assert not bus.followed.is_current
        bus.followed.ask()
        await asyncio.wait_for(asyncio.gather(bus.followed.wait_until_current(), bus.settle()), 10)
        assert is_copied(bus)


@pytest.mark.parametrize(
    ("stored", "resets"),
    [
        (("hmm", "hello and more"), 0),
        (("hmm", "hello"), 0),
        (("hmm", "hell"), 1),  # a crash lost its tail
        (("hmm", "hell and more"), 1),
        (("ham", "hello and more"), 1),
        (("", ""), 1),
    ],
)
@pytest.mark.parametrize("takes", [True, False])
async def test_an_answer_becomes_what_is_stored(stored: tuple[str, str], resets: int, takes: bool) -> None:
    async with opened() as bus:
        bus.owned.append("hmm", "", 1)
        bus.owned.append("", "hello", 1)
        await bus.settle()
        reader, slow = bus.read(), bus.read()
        await bus.settle()
        slow.takes.clear()
        if not takes:
            reader.takes.clear()
        message = replace(ENDED, thinking=stored[0], content=stored[1])
        bus.followed.end(message, len(stored[0]), False)
        bus.owned.append("", " after the end", 1)
        await bus.settle()
        reader.takes.set()
        slow.takes.set()
        await bus.settle()
        answer = bus.followed.answer
        for each in (reader, slow):
            assert (texts(each), each.resets, each.has_ended) == (stored, resets, True)
        assert texts(answer) == stored
        assert answer.ended
        assert answer.released_at is None
        assert answer.message == replace(message, cursor=str(answer.cursor))
        assert answer.size == len("".join(stored))
        assert bus.followed.is_current
        resumed = bus.read(Cursor(len(stored[0]), len(stored[1])))
        await bus.settle()
        assert (texts(resumed), resumed.resets, resumed.has_ended) == (("", ""), 0, True)


async def test_a_slow_reader_reads_on_if_what_it_has_is_kept() -> None:
    bus = Bus()
    answer = bus.followed.answer
    answer.append("", "hel", 1)
    reader = bus.read()
    await bus.settle()
    reader.takes.clear()
    answer.append("", "lo", 1)
    answer.become(replace(ENDED, content="help"), 0, False)
    reader.takes.set()
    await bus.settle()
    assert (texts(reader), reader.resets, reader.has_ended) == (("", "help"), 0, True)
    await bus.close()
