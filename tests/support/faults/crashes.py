"""Processes that end: chatproxy killed and terminated under load, Ollama killed and started again."""

import asyncio
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from fake_ollama import FakeOllama
from processes import environment

from chatproxy.command.demo_answers import answer_to
from faults.load import Talker, check, ends, paced, reading, talking, was_done
from faults.place import WATCHED, chatproxy, free_port, intact, orderly, settings, sound, terminated
from faults.tally import Tally

LANES: Final = 3  # databases, at once
TALKERS: Final = 3  # on each
PACE: Final = 0.015  # seconds between two tokens
SLOW: Final = 0.045  # the same, for answers that last longer than what a crash may take of them
MAY_LOSE: Final = 0.5  # seconds of text
MARGIN: Final = 1.0  # for a machine that does something else meanwhile


# -- chatproxy, killed


async def kill_9(folder: Path, tally: Tally, kills: int) -> None:
    """Kill it at random moments, some of them during the start. Clients go on with the next process."""
    async with FakeOllama() as fake:
        fake.script = paced(SLOW, 0, PACE / 4, 0)  # some are killed in the middle, some have just been told
        lives = [
            _lives(folder / str(lane), fake.url, len(range(lane, kills, LANES)), tally)
            for lane in range(min(LANES, kills))
        ]
        talkers = [talker for lane in await asyncio.gather(*lives) for talker in lane]
    worst = max(turn.lost() for talker in talkers for turn in talker.turns)
    assert worst < MAY_LOSE + MARGIN
    tally.seen.append(f"at most the last {worst * 1000:.0f} ms of an answer lost")


async def _lives(folder: Path, ollama: str, kills: int, tally: Tally) -> list[Talker]:
    folder.mkdir()  # noqa: ASYNC240 - of a moment
    chance, port = random.Random(folder.name), free_port()
    async with AsyncExitStack() as last_life:
        async with talking(f"http://127.0.0.1:{port}", TALKERS, tally) as talkers:
            for number in range(kills):
                if number % 4 == 3:
                    await _killed_at_start(folder, ollama, port, chance.uniform(0.1, 1))
                else:
                    await _killed_at_work(folder, ollama, port, chance.uniform(0, 2.5))
                tally.faults += 1
                await asyncio.to_thread(intact, folder)
            process = await last_life.enter_async_context(chatproxy(folder, ollama, port=port))
        await check(process.client, talkers, tally)
        await terminated(process)
    sound(folder)
    return talkers


async def _killed_at_work(folder: Path, ollama: str, port: int, life: float) -> None:
    async with chatproxy(folder, ollama, port=port) as process:
        await asyncio.sleep(life)
        process.child.kill()


async def _killed_at_start(folder: Path, ollama: str, port: int, life: float) -> None:
    variables = environment(port=port, **settings(ollama))
    child = await asyncio.create_subprocess_exec(
        *WATCHED, cwd=folder, env=variables, stdout=DEVNULL, stderr=DEVNULL
    )
    await asyncio.sleep(life)
    child.kill()
    await child.wait()


# -- chatproxy, terminated


async def sigterm(folder: Path, tally: Tally, signals: int) -> None:
    """Terminate it: every reader gets an end, everything is stored, and the process exits within 8 s."""
    chance, port = random.Random(1), free_port()
    async with FakeOllama() as fake, AsyncExitStack() as last_life:
        fake.script = paced(PACE, 0, PACE / 4)  # some are told in the middle, some only just begin
        async with talking(f"http://127.0.0.1:{port}", TALKERS * 3, tally) as talkers:
            for _ in range(signals):
                async with chatproxy(folder, fake.url, port=port) as process:
                    await asyncio.sleep(chance.uniform(0.2, 1))
                    await reading(talkers)
                    await terminated(process)
                tally.faults += 1
                sound(folder)
            process = await last_life.enter_async_context(chatproxy(folder, fake.url, port=port))
        await check(process.client, talkers, tally)
    assert ends(talkers).keys() == {"done", "shutting_down"}
    assert tally.resets == 0
    tally.seen.append(f"{ends(talkers)['shutting_down']} readers received `shutting_down`")


# -- Ollama, killed

OLLAMA: Final = """
import sys
from aiohttp import web
from chatproxy.command.demo import create_demo_app
web.run_app(
    create_demo_app(100),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    print=lambda line: print(line, flush=True),
    access_log=None,
)
"""


async def ollama_killed(folder: Path, tally: Tally, kills: int) -> None:
    """Kill Ollama: readers keep the text and get an error, and the next Ollama answers the next message."""
    chance, port = random.Random(2), free_port()
    async with orderly(folder, f"http://127.0.0.1:{port}", default_model="demo") as process:
        last = Talker(process.client, tally, says=of_demo)
        async with talking(process.client.base, TALKERS * 3, tally, turns=1, says=of_demo) as talkers:
            for _ in range(kills):
                async with _ollama(port):
                    await asyncio.sleep(chance.uniform(0.5, 2.5))
                    await reading(talkers)
                tally.faults += 1
                await asyncio.sleep(chance.uniform(0, 0.3))
        async with _ollama(port):
            assert was_done(await last.once())
        await check(process.client, [*talkers, last], tally)
    told = ends(talkers)
    assert told.keys() <= {"done", "upstream_incomplete", "upstream_unavailable"}
    assert told["upstream_incomplete"] > 0
    tally.seen.append(", ".join(f"{number} {how}" for how, number in sorted(told.items())))


def of_demo(question: str) -> dict[str, str]:
    """Return what the demo answers to the first message of a session."""
    return {"thinking": "", "chunk": answer_to(question, 0, 0)}


@asynccontextmanager
async def _ollama(port: int) -> AsyncIterator[None]:
    """Run the demo's Ollama, and kill it after the block."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", OLLAMA, str(port), stdout=PIPE)
    try:
        assert child.stdout is not None
        await child.stdout.readline()
        yield
    finally:
        child.kill()
        await child.wait()
