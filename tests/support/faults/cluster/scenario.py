"""Thirty people, three replicas, and everything that may happen to them."""

import asyncio
import os
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp
from chat_client import Client
from fake_ollama import FakeOllama

from benchmarks import report
from faults.cluster.chaos import Chaos, settled
from faults.cluster.people import TIMEOUT, Found, Person, twice, verify
from faults.cluster.place import Cluster
from faults.load import paced
from faults.tally import Tally

PEOPLE: Final = 30
PACES: Final = (0.05, 0.03, 0.002, 0.04)  # seconds between two tokens
SEED: Final = "CHATPROXY_FAULTS_SEED"
ABOUT: Final = """## Three replicas among faults

`make faults` runs three replicas behind nginx, on one PostgreSQL, and 30 people who send, read, break off,
resume and cancel at whatever replica they get. One reaches PostgreSQL by a proxy that cuts. A `busy` is a
send that was refused in a session whose last answer had ended; `ended late` counts dead replicas whose
answers were ended after more than 7 s, although nothing else was broken.
"""
ALLOWED: Final = frozenset({"storage_full"})  # told where an end was not committed for 10 s
WRONG: Final = ("lost", "generated twice", "texts that differ", "left streaming", "ended late", "busy")


async def three_replicas(folder: Path, tally: Tally, seconds: int) -> None:
    """Nothing acknowledged is lost or generated twice, and what was read is what is stored."""
    seed = os.environ.get(SEED) or str(random.getrandbits(32))
    print(f"the seed is {seed}; {SEED}={seed} does the same again", flush=True)
    found = Found()
    async with FakeOllama() as fake, Cluster.running(folder, fake.url) as cluster:
        fake.script = paced(*PACES)
        chaos = Chaos(cluster, found, random.Random(seed))
        async with AsyncExitStack() as stack:
            connector = aiohttp.TCPConnector(limit=0)
            http = await stack.enter_async_context(
                aiohttp.ClientSession(timeout=TIMEOUT, connector=connector)
            )
            client, enough = Client(http, cluster.url), asyncio.Event()
            people = [
                Person(client, tally, found, random.Random(f"{seed} {number}"), f"person-{number}")
                for number in range(PEOPLE)
            ]
            lives = [asyncio.create_task(person.live(enough)) for person in people]
            try:
                await chaos.run(seconds)
                enough.set()
                await asyncio.gather(*lives)
            finally:
                for life in lives:
                    life.cancel()
                await asyncio.gather(*lives, return_exceptions=True)
            await settled(cluster, found)
            await verify(client, people, tally, found)
        twice(fake.chats, found)
        for replica in cluster.replicas:
            await replica.terminate()
        for replica in cluster.replicas:
            if "Traceback" in replica.said:
                found.note("tracebacks", replica.said[:3000])
    tally.faults += sum(number for what, number in chaos.done.items() if what != "connections ended")
    _tell(tally, chaos, found)


def _tell(tally: Tally, chaos: Chaos, found: Found) -> None:
    for kind, cases in found.wrong.items():
        print(f"-- {kind}: {len(cases)}", *cases[:5], sep="\n   ", flush=True)
    rows = [["done", what, f"{number:,}"] for what, number in sorted(chaos.done.items())]
    rows += [["seen", what, f"{number:,}"] for what, number in sorted(found.seen.items())]
    rows += [["wrong", what, f"{found.number(what):,}"] for what in WRONG]
    rows += [["wrong", what, f"{found.number(what):,}"] for what in sorted(found.wrong) if what not in WRONG]
    tally.details = f"{ABOUT}\n{report.table(('', 'what', 'how often'), rows)}"
    print(tally.details, flush=True)
    seconds = ", ".join(f"{each:.1f}" for each in sorted(chaos.ended))
    tally.seen.append(f"dead replicas' answers were ended after {seconds} s")
    print(tally.seen[-1], flush=True)
    assert tally.lost == 0
    assert found.wrong.keys() <= ALLOWED, sorted(found.wrong)
