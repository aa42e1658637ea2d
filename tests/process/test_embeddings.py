"""A process killed in the middle of embedding: the next one goes on where it was."""

from collections import Counter
from pathlib import Path
from typing import Any

from chat_client import Client
from fake_ollama import FakeOllama, Gate, embedded
from processes import Process
from waiting import until

TEXT = "\n\n".join(
    f"Paragraph {number} of many. " + f"It repeats {number} often. " * 30 for number in range(90)
)


async def found(client: Client) -> Any:
    (document,) = (await client.call("GET", "/api/documents"))["documents"]
    return document


async def test_a_restart_repeats_one_request_at_most(fake: FakeOllama, tmp_path: Path) -> None:
    gate = Gate()
    gate.let(3)
    fake.instead["/api/embed"] = lambda request: embedded(request, head=gate)
    settings: dict[str, Any] = {"ollama_host": fake.url, "default_model": "gemma3:270m"}
    async with Process.running(tmp_path, **settings) as process:
        form = {"title": "Long", "text": TEXT}
        await process.client.call("POST", "/api/documents", status=201, json=form)
        await until(lambda: len(fake.embeds) == 4)
        process.child.kill()
    lost = fake.embeds[3]["input"]
    gate.open()
    async with Process.running(tmp_path, **settings) as process:
        chunks = (await found(process.client))["chunks"]

        async def is_done() -> bool:
            return bool((await found(process.client))["embedded"] == chunks)

        await until(is_done)
    sent = Counter(text for request in fake.embeds for text in request["input"])
    assert (len(sent), sent - Counter(set(sent))) == (chunks, Counter(lost))
