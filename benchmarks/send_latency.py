"""How long a message takes through chatproxy: from the POST to the request's arrival at Ollama.

    python benchmarks/send_latency.py [--sends 200] [--window 4096] [--folder /where/it/is] [--profile]

For sessions of 10, 10,000 and 100,000 stored messages, with `auto`; the client, chatproxy and the fake
Ollama share one process. What is committed before Ollama is asked waits for the disk, so the disk's own
figure stands beside: a folder in memory (/dev/shm) shows what chatproxy itself takes.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama, Request, Script, answer
from msgspec.structs import replace

from chatproxy import Config
from chatproxy.store.records import Question
from chatproxy.store.store import Store

LENGTHS = (10, 10_000, 100_000)  # messages
TEXT = "A lighthouse is a tower with a strong light at the top. It warns ships of rocks and shows the way. "


async def session_of(store: Store, messages: int) -> str:
    session = await store.create_session("")
    for first in range(0, messages // 2, 1000):
        turns = range(first, min(first + 1000, messages // 2))
        begun = await asyncio.gather(
            *[store.begin_answer("", session.id, Question(content=TEXT, model=MODEL)) for _ in turns]
        )
        ended = [replace(reply, status="complete", content=TEXT) for _, reply in begun]
        await asyncio.gather(*[store.finish_answer(outcome) for outcome in ended])
    return session.id


async def latencies(client: Client, fake: FakeOllama, session: str, sends: int) -> list[float]:
    """In milliseconds."""
    arrivals: list[float] = []

    def script(request: Request) -> Script:
        arrivals.append(perf_counter())
        size = sum(len(message["content"]) + 16 for message in request["messages"])
        return Script(answer("Yes.", model=request["model"], prompt_eval_count=10 + size // 4))

    fake.script = script
    taken = []
    for _ in range(sends):
        began = perf_counter()
        await client.send(session, "What is it?")
        taken.append((arrivals[-1] - began) * 1000)
    return taken


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    profile = cProfile.Profile()
    if wanted:
        profile.enable()
    yield
    profile.disable()
    if wanted:
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def disk(folder: Path, times: int = 50) -> float:
    """Median milliseconds of a write that waits for the disk."""
    taken = []
    with (folder / "disk").open("wb") as file:
        for _ in range(times):
            began = perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            taken.append((perf_counter() - began) * 1000)
    return statistics.median(taken)


async def measure(folder: Path, sends: int, window: int, profile: bool) -> None:
    database = folder / "chat.db"
    store = await Store.open(database)
    sessions = {length: await session_of(store, length) for length in LENGTHS}
    await store.close()
    print(f"a write to this disk: {disk(folder):.2f} ms")
    print(f"{'messages':>10} {'median ms':>10} {'90 % ms':>10}")
    async with FakeOllama() as fake:
        for model in fake.running:
            model["context_length"] = window
        config = Config(ollama_host=fake.url, database_url=f"sqlite:///{database}", default_model="auto")
        async with serving(config) as client:
            for length, session in sessions.items():
                await latencies(client, fake, session, 10)
                with profiled(profile):
                    taken = await latencies(client, fake, session, sends)
                tenths = statistics.quantiles(taken, n=10)
                print(f"{length:>10,} {statistics.median(taken):>10.2f} {tenths[-1]:>10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sends", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="a temporary one inside it is used")
    parser.add_argument(
        "--window", type=int, default=4096, help="tokens, which bound how much history is sent"
    )
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        asyncio.run(measure(Path(folder), arguments.sends, arguments.window, arguments.profile))


if __name__ == "__main__":
    main()
