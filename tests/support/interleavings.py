"""Everything that can happen to a few sessions, in any order, checked against a model of what must hold.

After every step, the sessions are listed as the model has them, and each reader has exactly the text that the
fake Ollama was allowed to send. test_interleavings.py and faults/orders.py run it with Hypothesis.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest
from chat_client import Client, Server, Stream
from fake_ollama import MODEL, Chat, FakeOllama, Gate, Request, Script, last, token
from faults.tally import Tally
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from postgres import empty
from waiting import until

from chatproxy import Config, clock, create_app
from chatproxy.cursor import Cursor

WORDS: Final = ["One", " two\r\n", " 😀", " four\u2028", " five", " 漢字.", " \0", " eight", " nine", " ten"]
SESSIONS: Final = 4
pick: Final = st.integers(0, 99)


@dataclass(eq=False)
class Reader:
    """A reader of one answer, and the text that it has got over all of its connections."""

    stream: Stream
    connection: AsyncExitStack
    before: str = ""  # over earlier connections

    @property
    def text(self) -> str:
        return self.before + self.stream.text()

    @property
    def ended(self) -> bool:
        return bool(self.stream.events) and self.stream.last["type"] in ("done", "error")


@dataclass(eq=False)
class Answer:
    session: str
    question: str
    id: int
    said: int = 0  # words
    status: str = "streaming"
    stored: str | None = None  # where that is not all that was said
    readers: list[Reader] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(WORDS[: self.said]) if self.stored is None else self.stored

    @property
    def cursor(self) -> str:
        return str(Cursor(0, len(self.text), self.status != "streaming"))


class Interleavings(RuleBasedStateMachine):
    """The event loop stands still between two steps, so that the order is the one that was drawn."""

    tally: ClassVar[Tally] = Tally("")  # of all of them

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(clock, "LOOK", 0.01)  # so that a crash finds some of the text
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.fake = FakeOllama()
        self.fake.script = self.script
        self.gates: dict[str, Gate] = {}
        self.answers: list[Answer] = []
        self.gone: list[tuple[Answer, str, str]] = []  # readers who left: of what, with what text, where
        self.together = 0  # most answers that this process has seen generating at once
        self.life = 0
        self.holds = False  # what must be true, after the last step

    def script(self, request: Request) -> Script:
        pieces = [*map(token, WORDS), last()]
        return Script(pieces, gate=self.gates[request["messages"][-1]["content"]])

    @initialize()
    def start(self) -> None:
        self._run(self._start())

    async def _start(self) -> None:
        await self.fake.start()
        await self._serve()
        self.sessions = [await self.client.new_session() for _ in range(SESSIONS)]
        for session in self.sessions[:3]:
            await self._send(session)
        await self._say(self.answers[0], 2)

    async def _serve(self) -> None:
        path = self._database()
        config = Config(
            ollama_host=self.fake.url,
            database_url=f"sqlite:///{path}",
            default_model=MODEL,
            log_level="error",
        )
        self.server = Server(create_app(config))
        await self.server.__aenter__()
        self.client: Client = self.server.client
        self.together = 0

    def _database(self) -> Path:
        return Path(self.folder.name) / f"life{self.life}" / "chat.db"

    def _run(self, step: Coroutine[Any, Any, None]) -> None:
        self.holds = False
        self.runner.run(step)
        self.holds = True

    def teardown(self) -> None:
        try:
            self.runner.run(self._end())
        finally:
            self.patch.undo()
            self.runner.close()
            self.folder.cleanup()

    async def _end(self) -> None:
        """Let all answers that still run finish, the queued ones in their turn."""
        try:
            while self.holds and self._running:
                await self._finish(self._running[0])
        finally:
            for answer in self.answers:
                for reader in answer.readers:
                    await reader.connection.aclose()
            await self.server.__aexit__(None, None, None)
            await self.fake.stop()

    # -- what the model says

    @property
    def _running(self) -> list[Answer]:
        """The answers that run: the first of them at Ollama, the others in the queue."""
        return [answer for answer in self.answers if answer.status == "streaming"]

    @property
    def _asked(self) -> list[Answer]:
        """The answers that Ollama has been asked for."""
        return self._running[: max(2, 2 * self.together)]

    @property
    def _idle(self) -> list[str]:
        busy = {answer.session for answer in self._running}
        return [session for session in self.sessions if session not in busy]

    def _of_session(self, session: str) -> list[Answer]:
        return [answer for answer in self.answers if answer.session == session]

    def _chat(self, answer: Answer) -> Chat | None:
        asked = (
            chat for chat in self.fake.chats if chat.request["messages"][-1]["content"] == answer.question
        )
        return next(asked, None)

    # -- what happens

    @precondition(lambda self: self._idle)
    @rule(number=pick)
    def send(self, number: int) -> None:
        self._run(self._send(self._idle[number % len(self._idle)]))

    async def _send(self, session: str) -> None:
        self.tally.acknowledged += 1
        question = f"Question-{len(self.answers)}"
        self.gates[question] = Gate()
        reader = await self._read(self.client.sending(session, question, clientMessageId=question))
        start = await reader.stream.until("start")
        self.answers.append(Answer(session, question, start["assistantMessageId"], readers=[reader]))
        await self._holds()

    @precondition(lambda self: self._running)
    @rule(number=pick)
    def send_too_early(self, number: int) -> None:
        self._run(self._send_too_early(self._running[number % len(self._running)]))

    async def _send_too_early(self, answer: Answer) -> None:
        refusal = await self.client.refused(answer.session, 409, json={"message": "Too early"})
        assert (refusal["code"], refusal["activeMessageId"]) == ("session_busy", answer.id)
        await self._holds()

    @precondition(lambda self: self.answers)
    @rule(number=pick)
    def send_again(self, number: int) -> None:
        """Send the same message again, which attaches to its answer."""
        self._run(self._watch(self.answers[number % len(self.answers)], again=True))

    @precondition(lambda self: self.answers)
    @rule(number=pick)
    def subscribe(self, number: int) -> None:
        self._run(self._watch(self.answers[number % len(self.answers)]))

    async def _watch(self, answer: Answer, *, again: bool = False) -> None:
        session, question = answer.session, answer.question
        if again:
            reader = await self._read(self.client.sending(session, question, clientMessageId=question))
        else:
            reader = await self._read(self.client.resuming(session, answer.id))
        assert (await reader.stream.until("start"))["assistantMessageId"] == answer.id
        answer.readers.append(reader)
        await self._holds()

    async def _read(self, opening: Any, before: str = "") -> Reader:
        async with AsyncExitStack() as connection:
            stream = await connection.enter_async_context(opening)
            self.tally.streams += 1
            return Reader(stream, connection.pop_all(), before)

    @precondition(lambda self: self._asked)
    @rule(number=pick, words=st.integers(1, 4))
    def say(self, number: int, words: int) -> None:
        """Let Ollama send some more of an answer, not all."""
        self._run(self._say(self._asked[number % len(self._asked)], words))

    async def _say(self, answer: Answer, words: int) -> None:
        self._let(answer, words)
        await self._holds()

    def _let(self, answer: Answer, words: int) -> None:
        words = min(words, len(WORDS) - answer.said)
        answer.said += words
        self.gates[answer.question].let(words)
        self.together = max(self.together, sum(each.said > 0 for each in self._asked))

    @precondition(lambda self: self._asked)
    @rule(number=pick)
    def finish(self, number: int) -> None:
        self._run(self._finish(self._asked[number % len(self._asked)]))

    async def _finish(self, answer: Answer) -> None:
        await self._say(answer, len(WORDS))
        self.gates[answer.question].open()
        await self._ended(answer, "complete")

    @precondition(lambda self: self.answers)
    @rule(number=pick)
    def cancel(self, number: int) -> None:
        self._run(self._cancel(self.answers[number % len(self.answers)]))

    async def _cancel(self, answer: Answer) -> None:
        chat, ran = self._chat(answer), answer.status == "streaming"
        told = await self.client.cancel(answer.session, answer.id)
        if ran:
            await self._ended(answer, "cancelled")
        assert (told["status"], told["content"]) == (answer.status, answer.text)
        if chat is not None:
            await asyncio.wait_for(chat.closed.wait(), 5)

    @precondition(lambda self: any(answer.readers for answer in self.answers))
    @rule(number=pick)
    def drop(self, number: int) -> None:
        """Let a reader leave."""
        watched = [(answer, reader) for answer in self.answers for reader in answer.readers]
        self._run(self._drop(*watched[number % len(watched)]))

    async def _drop(self, answer: Answer, reader: Reader) -> None:
        self.tally.faults += 1
        answer.readers.remove(reader)
        cursors = [event["cursor"] for event in reader.stream.events if "cursor" in event]
        place = str(Cursor(0, len(reader.text))) if not cursors else cursors[-1]
        self.gone.append((answer, reader.text, place))
        await reader.connection.aclose()

    @precondition(lambda self: self.gone)
    @rule(number=pick)
    def resume(self, number: int) -> None:
        """Let a reader who left come back to where it was."""
        self._run(self._resume(*self.gone.pop(number % len(self.gone))))

    async def _resume(self, answer: Answer, text: str, cursor: str) -> None:
        path = f"/api/chat/sessions/{answer.session}/messages/{answer.id}/stream"
        if cursor == answer.cursor and cursor.endswith(".end"):
            await self.client.call("GET", path, status=204, params={"after": cursor})
            return
        lost = not answer.text.startswith(text) or cursor.endswith(".end")
        reader = await self._read(
            self.client.resuming(answer.session, answer.id, cursor), "" if lost else text
        )
        assert (await reader.stream.until("start")).get("reset", False) == lost
        self.tally.resumes += 1
        self.tally.resets += lost
        answer.readers.append(reader)
        await self._holds()

    @precondition(lambda self: len(self._running) > 1)
    @rule()
    def restart(self) -> None:
        """Stop and start the server; nothing is lost."""
        self._run(self._restart())

    async def _restart(self) -> None:
        self.tally.faults += 1
        stop = asyncio.create_task(self.server.stop())
        for answer in self._running:
            answer.status = "interrupted"
            await self._read_all(answer)
        await stop
        await self.server.__aexit__(None, None, None)
        await self._serve()
        await self._holds()

    @precondition(lambda self: self._asked)
    @rule(number=pick, words=st.integers(0, 3))
    def crash(self, number: int, words: int) -> None:
        """Crash just after Ollama has sent some more, and let the readers come back.

        The next process finds only what is on the disk at this moment.
        """
        self._run(self._hears(self._asked[number % len(self._asked)], words))
        before = self._database()
        self.life += 1
        self._database().parent.mkdir()
        for file in before.parent.glob("chat.db*"):
            shutil.copy(file, self._database().parent)
        self._run(self._crash())

    async def _hears(self, answer: Answer, words: int) -> None:
        self._let(answer, words)
        await self._read_all(answer)

    async def _crash(self) -> None:
        self.tally.faults += 1
        gone = len(self.gone)
        for answer in self.answers:
            for reader in list(answer.readers):
                await self._drop(answer, reader)
        reading = [place for place in self.gone[gone:] if place[0].status == "streaming"]
        self.gone = [place for place in self.gone if place not in reading]
        await self.server.__aexit__(None, None, None)
        await self._serve()
        for answer in self._running:
            stored = await self._shown(answer)
            assert answer.text.startswith(stored["content"])
            answer.status, answer.stored = "interrupted", stored["content"]
        await self._holds()
        for place in reading:
            await self._resume(*place)

    # -- what holds

    async def _ended(self, answer: Answer, status: str) -> None:
        answer.status = status
        await self._holds()

    async def _told(self, answer: Answer, reader: Reader) -> None:
        """Check that a reader gets one end, with the whole text, and nothing after it."""
        end = await reader.stream.until("error" if answer.status == "interrupted" else "done")
        assert await reader.stream.next() is None
        assert reader.text == end["fullResponse"] == answer.text
        assert end["cursor"] == answer.cursor
        if answer.status == "interrupted":
            assert end["code"] in ("interrupted", "shutting_down")
        else:
            assert end["finishReason"] == {"complete": "stop"}.get(answer.status, answer.status)

    async def _holds(self) -> None:
        for answer in self.answers:
            await self._read_all(answer)
        for session in self.sessions:
            await self._shows(session)
        asked = self._asked
        for answer in asked:
            await until(lambda answer=answer: self._chat(answer) is not None)  # type: ignore[misc]
        assert all(self._chat(answer) is None for answer in self._running[len(asked) :])

    async def _read_all(self, answer: Answer) -> None:
        """Read until each reader has the text so far, and of a finished answer the end as well."""
        for reader in answer.readers:
            if answer.status != "streaming" and not reader.ended:
                await self._told(answer, reader)
            while reader.text != answer.text:
                assert await reader.stream.next() is not None

    async def _shows(self, session: str) -> None:
        answers = self._of_session(session)
        expected = [
            row
            for answer in answers
            for row in ((answer.question, "complete", None), (answer.text, answer.status, answer.cursor))
        ]

        async def shown() -> bool:
            return await self._rows(session) == expected

        with suppress(TimeoutError):
            await until(shown, 10)  # what was let go is still on its way
        assert await self._rows(session) == expected
        running = [answer.id for answer in answers if answer.status == "streaming"]
        active = (await self.client.session(session))["activeMessageId"]
        assert active == (running[-1] if running else None)

    async def _rows(self, session: str) -> list[tuple[str, str, str | None]]:
        messages = await self.client.messages(session, limit=500)
        return [(message["content"], message["status"], message["cursor"]) for message in messages]

    async def _shown(self, answer: Answer) -> Any:
        messages = await self.client.messages(answer.session, limit=500)
        return next(message for message in messages if message["id"] == answer.id)


class OfReplicas(Interleavings):
    """The same with several replicas, each of which gets whatever comes next, all the same."""

    url: ClassVar[str]  # of PostgreSQL's database
    seen: Client | None = None
    restart = crash = None  # type: ignore[assignment]

    @property
    def client(self) -> Client:  # type: ignore[override]
        """That of the next replica, unless one is being looked at."""
        return self.seen or next(self.clients)

    async def _serve(self) -> None:
        await empty(self.url)
        config = Config(
            ollama_host=self.fake.url,
            database_url=self.url,
            default_model=MODEL,
            log_level="error",
        )
        self.servers = [Server(create_app(config)) for _ in range(3)]
        for server in self.servers:
            await server.__aenter__()
            await server.client.call("GET", "/api/models")  # so that all of them know what runs the model
        self.clients: Iterator[Client] = cycle([server.client for server in self.servers])
        self.server, *_ = self.servers

    async def _end(self) -> None:
        await super()._end()
        for server in self.servers[1:]:
            await server.__aexit__(None, None, None)

    async def _shows(self, session: str) -> None:
        for server in self.servers:
            self.seen = server.client
            await super()._shows(session)
        self.seen = None
