"""A process killed in the middle of answers: what was acknowledged is there, and lost text resets streams."""

import asyncio
import random
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiohttp import ClientError
from chat_client import Client
from fake_ollama import FakeOllama, Script, greet, token
from processes import Process

from chatproxy.cursor import Cursor

PACE = 0.02  # seconds between two words
WORDS = 200  # more than any life is long
MAY_LOSE = 0.5
MARGIN = 1.5  # for a machine that does something else meanwhile
SETTINGS = {"default_model": "gemma3:270m"}


@dataclass
class Watched:
    """An answer as its reader received it."""

    session: str
    message: int = 0
    seen: list[tuple[float, str, str]] = field(default_factory=list)  # when; text until then; cursor
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, client: Client) -> None:
        """Read until the connection breaks, perhaps inside a frame."""
        text = ""
        with suppress(ClientError, AssertionError):
            async with client.sending(self.session, f"Question of {self.session}") as stream:
                self.message = (await stream.until("start"))["assistantMessageId"]
                self.begun.set()
                while event := await stream.next():
                    if event["type"] == "chunk":
                        text += event["content"]
                        self.seen.append((monotonic(), text, event["cursor"]))

    def by(self, moment: float) -> str:
        """Return the text that the reader had at that moment."""
        return next((text for when, text, _ in reversed(self.seen) if when <= moment), "")


def words(kind: str) -> list[str]:
    return [f"{kind}{number} " for number in range(WORDS)]


def paced() -> Script:
    lines = [
        token(said, thinking=thought) for said, thought in zip(words("word"), words("thought"), strict=True)
    ]
    return Script(lines, delays=[PACE] * WORDS)


async def live_and_die(fake: FakeOllama, folder: Path, life: float) -> tuple[float, list[Watched]]:
    """Start three answers and kill the process; return when, and the answers."""
    async with Process.running(folder, ollama_host=fake.url, **SETTINGS) as process:
        answers = [Watched(await process.client.new_session()) for _ in range(3)]
        watching = [asyncio.create_task(answer.watch(process.client)) for answer in answers]
        await asyncio.gather(*(answer.begun.wait() for answer in answers))
        await asyncio.sleep(life)
        moment = monotonic()
        process.child.kill()
        await asyncio.gather(*watching)
        return moment, answers


async def check(client: Client, moment: float, answer: Watched, chance: random.Random) -> None:
    question, stored = await client.messages(answer.session)
    assert (question["content"], question["status"]) == (f"Question of {answer.session}", "complete")
    assert (stored["id"], stored["status"]) == (answer.message, "interrupted")
    assert (stored["error"]["code"], stored["finishReason"]) == ("interrupted", None)
    assert "".join(words("word")).startswith(stored["content"])
    assert "".join(words("thought")).startswith(stored["thinking"])
    assert stored["content"].startswith(answer.by(moment - MAY_LOSE - MARGIN))
    cursors = [cursor for _, _, cursor in answer.seen]
    for cursor in {*cursors[:1], *cursors[-1:], *chance.sample(cursors, min(3, len(cursors)))}:
        await check_resume(client, answer, cursor, stored)


async def check_resume(client: Client, answer: Watched, cursor: str, stored: dict[str, Any]) -> None:
    """Resume where a reader was: the rest has to follow, or after a reset all of it."""
    place = Cursor.parse(cursor)
    async with client.resuming(answer.session, answer.message, cursor) as stream:
        start, *_, end = await stream.rest()
    lost = place.content > len(stored["content"]) or place.thinking > len(stored["thinking"])
    assert start.get("reset", False) == lost
    kept = Cursor() if lost else place
    assert stored["content"][: kept.content] + stream.text() == stored["content"]
    assert stored["thinking"][: kept.thinking] + stream.text("thinking") == stored["thinking"]
    assert (end["type"], end["code"], end["cursor"]) == ("error", "interrupted", stored["cursor"])


def sound(folder: Path) -> bool:
    with closing(sqlite3.connect(folder / "chatproxy.db")) as connection:
        (left,) = connection.execute("SELECT count(*) FROM message WHERE status = 'streaming'").fetchone()
        (pieces,) = connection.execute("SELECT count(*) FROM piece").fetchone()
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
    return (left, pieces, integrity) == (0, 0, "ok")


async def two_crashes(fake: FakeOllama, folder: Path, seed: int) -> None:
    """Crash twice with one database, which has a complete turn."""
    chance = random.Random(seed)
    folder.mkdir()  # noqa: ASYNC240 - of a moment
    fake.script = lambda request: greet(request) if "Hello" in str(request["messages"]) else paced()
    async with Process.running(folder, ollama_host=fake.url, **SETTINGS) as process:
        whole = await process.client.new_session()
        await process.client.send(whole)
        told = await process.client.messages(whole)
        process.child.kill()
    crashes = [await live_and_die(fake, folder, chance.uniform(0, 3.5)) for _ in range(2)]
    async with Process.running(folder, ollama_host=fake.url, **SETTINGS) as process:
        assert await process.client.messages(whole) == told
        for moment, answers in crashes:
            for answer in answers:
                await check(process.client, moment, answer, chance)
        again = await process.client.send(crashes[0][1][0].session, "Hello again")
        assert again["fullResponse"] == "Hello from a fake."
    assert sound(folder)


@pytest.mark.fault
async def test_kill_9_at_any_moment(fake: FakeOllama, quick_disk: Path) -> None:
    await asyncio.gather(*(two_crashes(fake, quick_disk / str(seed), seed) for seed in range(4)))
