"""The fake's scheduler beside what a real Ollama did: the same requests come to the same ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest
from fake_ollama import MODEL, FakeOllama, Script, answer, echo
from recordings import about, recorded
from scheduler import QUEUE_FULL, Scheduler
from waiting import until

EMBEDDER: Final = "all-minilm:22m"
THINKER: Final = "thinker:270m"  # has the weights of MODEL


@dataclass
class Reply:
    """A whole response."""

    status: int
    content_type: str
    body: bytes

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.body.splitlines()]


class Ollama:
    """Calls to the fake as other clients make them."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url

    async def post(self, body: dict[str, Any], path: str = "/api/chat") -> Reply:
        async with self._http.post(self._url + path, json=body) as response:
            return Reply(response.status, response.headers["Content-Type"], await response.read())

    async def replay(self, name: str) -> Reply:
        """Make the request of a recording; the status and the content type must be the recorded ones."""
        facts = about(name)
        reply = await self.post(facts["request"]["body"], facts["request"]["path"])
        assert (reply.status, reply.content_type) == (facts["status"], dict(facts["headers"])["Content-Type"])
        return reply

    def ask(self, message: str = "Hi", model: str = MODEL, **more: Any) -> "asyncio.Task[Reply]":
        messages = [{"role": "user", "content": message}]
        return asyncio.create_task(self.post({"model": model, "messages": messages, **more}))

    async def running(self) -> list[Any]:
        async with self._http.get(f"{self._url}/api/ps") as response:
            return list((await response.json())["models"])


@pytest.fixture
async def ollama(fake: FakeOllama) -> AsyncIterator[Ollama]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Ollama(http, fake.url)


def shape(value: Any) -> Any:
    """Return the keys in their order, and the types."""
    if isinstance(value, dict):
        return [(key, shape(part)) for key, part in value.items()]
    return [shape(part) for part in value] if isinstance(value, list) else type(value)


def shapes(lines: list[dict[str, Any]]) -> Any:
    """Return the shapes of lines, of equal ones in succession only the first."""
    found = [shape(each) for each in lines]
    return [each for each, before in zip(found, [None, *found], strict=False) if each != before]


def lines_of(name: str) -> list[dict[str, Any]]:
    return [json.loads(each) for each in recorded(name).splitlines()]


def words(text: str) -> Script:
    return Script(answer(text))


@pytest.mark.parametrize("name", ["answer_cold", "answer_warm"])
async def test_an_answer_has_the_lines_of_a_real_one(fake: FakeOllama, ollama: Ollama, name: str) -> None:
    scheduler = Scheduler(fake, loaded=[MODEL] if name == "answer_warm" else [], load=0.2)
    fake.script = words("The sea is wide.")
    reply = await ollama.replay(name)
    assert shapes(reply.lines) == shapes(lines_of(name))
    here, there = reply.lines[-1], lines_of(name)[-1]
    for last in (here, there):
        assert (last["load_duration"] > 100e6) == (name == "answer_cold")
        assert last["load_duration"] + last["prompt_eval_duration"] < last["total_duration"]
    assert here["eval_count"] == 4
    assert scheduler.loads == [MODEL]
    assert "".join(each["message"]["content"] for each in reply.lines) == "The sea is wide."


async def test_an_answer_in_one_piece(fake: FakeOllama, ollama: Ollama) -> None:
    Scheduler(fake, loaded=[MODEL])
    reply = await ollama.replay("answer_not_streamed")
    assert shapes(reply.lines) == shapes([json.loads(recorded("answer_not_streamed"))])


async def test_the_second_gets_no_head_before_the_firsts_last_line(fake: FakeOllama, ollama: Ollama) -> None:
    ends = [about(name) for name in ("parallel_first", "parallel_second_waits")]
    assert ends[1]["headers_ms"] > ends[0]["reads"][-1][0]  # of the real ones
    scheduler = Scheduler(fake, loaded=[MODEL])
    fake.script = words("one two three")
    first = asyncio.create_task(ollama.replay("parallel_first"))
    await fake.arrived(1)
    second = await ollama.replay("parallel_second_waits")
    assert first.done()
    one, two = scheduler.served
    assert one.ended
    assert two.began
    assert two.spoke
    assert two.came < one.ended <= two.began < two.spoke
    assert shapes(first.result().lines) == shapes(lines_of("parallel_first"))
    assert shapes(second.lines) == shapes(lines_of("parallel_second_waits"))


@pytest.mark.parametrize(
    ("parallel", "family", "together"), [(1, "gemma3", 1), (4, "gemma3", 4), (4, "qwen35", 1)]
)
async def test_so_many_are_answered_at_once_in_the_order_in_which_they_came(
    fake: FakeOllama, ollama: Ollama, parallel: int, family: str, together: int
) -> None:
    fake.shows[MODEL]["details"]["family"] = family
    scheduler = Scheduler(fake, parallel=parallel, loaded=[MODEL])
    fake.script = echo
    asked = []
    for number in range(9):
        asked.append(ollama.ask(f"message {number} " * (1 + number % 3)))
        await fake.arrived(number + 1)
    await asyncio.gather(*asked)
    began = [served.began or 0 for served in scheduler.served]
    assert began == sorted(began)
    most = max(
        sum(other.began <= served.began < (other.ended or 0) for other in scheduler.served if other.began)
        for served in scheduler.served
        if served.began
    )
    assert most == together


async def test_names_with_the_same_weights_share_places_and_are_loaded_once(
    fake: FakeOllama, ollama: Ollama
) -> None:
    scheduler = Scheduler(fake)
    asked = [ollama.ask(model=MODEL), ollama.ask(model=THINKER), ollama.ask(model=MODEL)]
    await asyncio.gather(*asked)
    assert len(scheduler.loads) == 1
    assert [model["name"] for model in await ollama.running()] == scheduler.loads


async def test_what_is_loaded_is_listed_from_then_on(fake: FakeOllama, ollama: Ollama) -> None:
    scheduler = Scheduler(fake, load=0.05)
    assert await ollama.running() == []
    loading = asyncio.create_task(ollama.replay("load_only"))
    await fake.arrived()
    assert await ollama.running() == []
    reply = await loading
    assert shapes(reply.lines) == shapes([json.loads(recorded("load_only"))])
    assert reply.lines[0]["done_reason"] == "load"
    (listed,) = await ollama.running()
    there = json.loads(recorded("ps"))["models"][0]
    assert shape(listed) == shape(there)
    assert {**listed, "size": 0, "expires_at": ""} == {**there, "size": 0, "expires_at": ""}
    assert scheduler.loads == [MODEL]
    reply = await ollama.replay("unload")
    assert shapes(reply.lines) == shapes([json.loads(recorded("unload"))])
    assert reply.lines[0]["done_reason"] == "unload"
    assert await ollama.running() == []


async def test_a_loaded_model_loads_for_whoever_has_no_place(fake: FakeOllama, ollama: Ollama) -> None:
    """A request without messages needs no place."""
    Scheduler(fake, loaded=[MODEL], token=10)
    busy = ollama.ask()
    await fake.arrived()
    await ollama.replay("load_only")
    assert not busy.done()
    busy.cancel()


@pytest.mark.parametrize(
    "name",
    [
        "error_think_unsupported",
        "error_tools_unsupported",
        "error_images_unsupported",
        "error_chat_with_embedding_model",
        "error_model_missing",
    ],
)
async def test_what_a_model_cannot_do_is_refused_in_the_recorded_words(
    fake: FakeOllama, ollama: Ollama, name: str
) -> None:
    Scheduler(fake)
    assert (await ollama.replay(name)).body == recorded(name)


@pytest.mark.parametrize("face", ["generate", "chat_completions", "completions", "responses", "messages"])
async def test_other_paths_wait_for_the_same_places(fake: FakeOllama, ollama: Ollama, face: str) -> None:
    missing = f"faces/{face}_model_missing"
    scheduler = Scheduler(fake, loaded=[MODEL])
    here, there = json.loads((await ollama.replay(missing)).body), json.loads(recorded(missing))
    assert {**here, "request_id": ""} == {**there, "request_id": ""}
    busy = ollama.ask()
    await fake.arrived(2)
    facts = about(f"faces/{face}")["request"]
    reply = await ollama.post(facts["body"] | {"model": MODEL}, facts["path"])
    assert reply.body == recorded(f"faces/{face}")
    assert busy.done()
    assert (scheduler.served[2].began or 0) >= (scheduler.served[1].ended or 0) > 0


@pytest.mark.parametrize(
    ("name", "needs_a_place"), [("error_think_unsupported", False), ("error_images_unsupported", True)]
)
async def test_only_what_the_models_process_refuses_waits_for_a_place(
    fake: FakeOllama, ollama: Ollama, name: str, needs_a_place: bool
) -> None:
    scheduler = Scheduler(fake, loaded=[MODEL])
    busy = ollama.ask()
    await fake.arrived()
    await ollama.replay(name)
    assert (scheduler.served[1].began is not None) == needs_a_place
    assert busy.done() == needs_a_place
    await busy


async def test_a_prompt_over_the_window_is_refused_with_both_numbers(
    fake: FakeOllama, ollama: Ollama
) -> None:
    Scheduler(fake)
    reply = await ollama.replay("history_too_long_refused")
    here, there = (
        json.loads(json.loads(body)["error"])["error"]
        for body in (reply.body, recorded("history_too_long_refused"))
    )
    assert shape(here) == shape(there)
    assert here["n_ctx"] == there["n_ctx"] < here["n_prompt_tokens"]
    counted = str(here["n_prompt_tokens"]).encode()
    assert reply.body.replace(counted, b"5371") == recorded("history_too_long_refused")


async def test_a_full_queue_refuses_only_those_whose_model_is_not_loaded(
    fake: FakeOllama, ollama: Ollama
) -> None:
    assert json.loads(recorded("error_queue_full"))["error"] == QUEUE_FULL
    scheduler = Scheduler(fake, max_queue=2, loaded=[EMBEDDER], load=10)
    waiting = [ollama.ask(f"message {number}") for number in range(3)]
    await until(lambda: scheduler.pending == 2)  # beside the one whose model is being loaded
    reply = await ollama.replay("error_queue_full")
    assert reply.body == recorded("error_queue_full")
    for task in waiting:
        task.cancel()


async def test_a_loaded_model_has_a_queue_without_an_end(fake: FakeOllama, ollama: Ollama) -> None:
    scheduler = Scheduler(fake, max_queue=1, loaded=[MODEL])
    replies = await asyncio.gather(*(ollama.ask() for _ in range(20)))
    assert {reply.status for reply in replies} == {200}
    assert scheduler.pending == 0


async def test_who_leaves_the_queue_keeps_its_room_until_it_is_reached(
    fake: FakeOllama, ollama: Ollama
) -> None:
    scheduler = Scheduler(fake, max_queue=1, load=0.2)
    first = ollama.ask()
    await fake.arrived(1)
    second = ollama.ask()
    chat = await fake.arrived(2)
    second.cancel()
    await chat.closed.wait()
    assert (await ollama.ask()).status == 503
    assert (await first).status == 200
    assert scheduler.pending == 0
    assert (await ollama.ask()).status == 200


async def test_who_leaves_frees_its_place_and_its_turn(fake: FakeOllama, ollama: Ollama) -> None:
    scheduler = Scheduler(fake, loaded=[MODEL], token=0.01)
    fake.script = words("word " * 1000)
    writing = ollama.ask()
    await fake.arrived(1)
    queued = ollama.ask()
    left = await fake.arrived(2)
    third = ollama.ask()
    await fake.arrived(3)
    queued.cancel()
    await left.closed.wait()
    fake.script = words("Well.")
    writing.cancel()
    assert (await third).status == 200
    assert [served.ended is None for served in scheduler.served] == [True, True, False]
    assert scheduler.served[1].began is None


async def test_a_client_that_leaves_while_its_model_is_loaded_ends_that(
    fake: FakeOllama, ollama: Ollama
) -> None:
    scheduler = Scheduler(fake, load=0.3)
    first = ollama.ask()
    chat = await fake.arrived(1)
    second = ollama.ask()
    await fake.arrived(2)
    first.cancel()
    await chat.closed.wait()
    assert await ollama.running() == []
    reply = await second
    assert reply.lines[-1]["load_duration"] > 300e6
    assert scheduler.loads == [MODEL]


async def test_an_idle_model_makes_room_for_another(fake: FakeOllama, ollama: Ollama) -> None:
    scheduler = Scheduler(fake, max_loaded=1, loaded=[EMBEDDER])
    assert (await ollama.ask()).status == 200
    assert [model["name"] for model in await ollama.running()] == [MODEL]
    assert scheduler.loads == [EMBEDDER, MODEL]


async def test_a_busy_model_is_unloaded_when_nobody_uses_it(fake: FakeOllama, ollama: Ollama) -> None:
    fake.shows["other:1b"] = fake.shows[MODEL] | {"modelfile": "FROM /other\n"}
    fake.models.append(fake.models[-1] | {"name": "other:1b", "model": "other:1b"})
    scheduler = Scheduler(fake, max_loaded=1, loaded=[MODEL], token=0.01)
    fake.script = words("one two three")
    busy = ollama.ask()
    await fake.arrived(1)
    other = ollama.ask(model="other:1b")
    await fake.arrived(2)
    later = ollama.ask()  # for the loaded model: it goes before the one that waits for another
    await asyncio.gather(busy, other, later)
    first, second, third = (served.began or 0 for served in scheduler.served)
    assert first < third < second
    assert [model["name"] for model in await ollama.running()] == ["other:1b"]
