"""A process killed in the middle of kept Responses: OpenAI's client reads on where it was."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fake_ollama import FakeOllama, Script, token
from openai import AsyncOpenAI
from processes import Process

WORDS = 40
PACE = 0.05  # seconds between two words
SETTINGS = {"default_model": "gemma3:270m"}


def speaking_to(process: Process) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=process.client.url("/v1"), api_key="none", max_retries=0)


def delta(events: list[Any], kind: str) -> str:
    return "".join(event.delta for event in events if event.type.endswith(f"{kind}.delta"))


async def broken_by_kill(process: Process, life: float) -> list[Any]:
    """Read a Response until the process is killed."""
    had: list[Any] = []
    async with speaking_to(process) as sdk:
        asking = {"model": "gemma3:270m", "input": "Hello", "background": True, "stream": True}
        stream = await sdk.responses.create(**asking)  # type: ignore[call-overload]
        killing = asyncio.get_running_loop().call_later(life, process.child.kill)
        with suppress(openai.APIError, httpx.HTTPError):
            async for event in stream:
                had.append(event)
        killing.cancel()
    return had


@pytest.mark.parametrize(
    "thinks",
    [set(), set(range(8)), set(range(WORDS)), {0, 1, 2, 3, 8, 9, 15}],
    ids=["at once", "thinking first", "thinking only", "thinking again"],
)
async def test_a_stream_goes_on_after_kill_9(fake: FakeOllama, quick_disk: Path, thinks: set[int]) -> None:
    lines = [
        token(thinking=f"thought{n} 🌈 ") if n in thinks else token(f"word{n} 𠀀 ") for n in range(WORDS)
    ]
    fake.script = lambda request: Script(lines, delays=[PACE] * WORDS, end="hang")
    async with Process.running(quick_disk, ollama_host=fake.url, **SETTINGS) as process:
        had = await broken_by_kill(process, 1.5)
    assert had[-1].type.endswith("delta")
    id = had[0].response.id
    async with (
        Process.running(quick_disk, ollama_host=fake.url, **SETTINGS) as process,
        speaking_to(process) as sdk,
    ):

        async def replay(after: int | None = None) -> list[Any]:
            place = {} if after is None else {"starting_after": after}
            stream = await sdk.responses.retrieve(id, stream=True, extra_query=place)
            return [event async for event in stream]

        whole = await replay()
        assert [event.to_json() for event in await replay()] == [event.to_json() for event in whole]
        stored = await sdk.responses.retrieve(id)
        texts = {
            "output_text": stored.output_text,
            "reasoning_summary_text": "".join(
                event.text for event in whole if event.type.endswith("summary_text.done")
            ),
        }
        assert (stored.status, stored.error and "stopped in the middle" in stored.error.message) == (
            *("failed", True),
        )
        for kind, text in texts.items():
            assert delta(whole, kind) == text
        for number, event in enumerate(had, start=1):
            rest = await replay(event.sequence_number)
            assert rest[-1].type == "response.failed"
            assert rest[-1].to_json() == whole[-1].to_json()
            assert [each.sequence_number for each in rest] == sorted(
                {each.sequence_number for each in rest if each.sequence_number > event.sequence_number}
            )
            for kind, text in texts.items():
                seen = delta(had[:number], kind)
                if text.startswith(seen):  # it was stored before the crash
                    assert seen + delta(rest, kind) == text
        assert await replay(whole[-1].sequence_number) == []
