"""Every field of every request has a size, in the unit of what it costs."""

import asyncio
import gc
import json
import re
import tracemalloc
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from io import BytesIO
from time import monotonic, sleep
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
import pytest
from aiohttp import ClientConnectionError
from chat_client import Client, Serve, Start
from fake_ollama import FakeOllama, Gate, Script, answer
from matrix import matrix
from msgspec import Meta, Struct, UnsetType
from sockets import opened, request
from waiting import until

from chatproxy import Config, create_app
from chatproxy.generation.queue import Queue
from chatproxy.generation.ticket import Ticket
from chatproxy.models.catalog import KnownModel, ModelCatalog
from chatproxy.prompt import plan
from chatproxy.prompt.plan import Plan, Planner
from chatproxy.prompt.request import Send
from chatproxy.store.messages import Messages
from chatproxy.store.records import PromptCount, Session
from chatproxy.web import held
from chatproxy.web.openapi import PATH_PARAMETERS
from chatproxy.web.operation import by_media_type, operation_of

JSON: Final = {"Content-Type": "application/json"}


def unbounded(hint: Any, path: str, metas: tuple[Meta, ...] = ()) -> Iterator[str]:
    """Yield the places in a type that may hold any amount of data; `metas` are of what it is in."""
    if get_origin(hint) is Annotated:
        inner, *found = get_args(hint)
        yield from unbounded(inner, path, (*metas, *(meta for meta in found if isinstance(meta, Meta))))
    elif any(meta.extra and "max_bytes" in meta.extra for meta in metas):
        return
    elif get_origin(hint) in {Union, UnionType}:
        for part in get_args(hint):
            yield from unbounded(part, path, metas)
    elif isinstance(hint, type) and issubclass(hint, Struct):
        for field in msgspec.structs.fields(hint):
            yield from unbounded(field.type, f"{path}.{field.encode_name}")
    elif hint in {bool, NoneType, UnsetType} or get_origin(hint) is Literal:
        return
    elif hint in {int, float}:
        if not any(meta.ge is not None and meta.le is not None for meta in metas):
            yield path
    elif get_origin(hint) is list:
        (item,) = get_args(hint)
        (kind, *_) = get_args(item) or (item,)
        if kind is not bytes or not any(meta.max_length is not None for meta in metas):
            yield path  # items are counted by their commas, of which base64 has none
        yield from unbounded(item, f"{path}[]")
    elif hint in {str, bytes}:
        if not any(meta.max_length is not None or is_bounded(meta.pattern) for meta in metas):
            yield path
    else:  # dict, Any, and whatever is added
        yield path


def is_bounded(pattern: str | None) -> bool:
    """Whether a pattern matches no text of any length: its classes aside, nothing in it repeats for ever."""
    return pattern is not None and not re.search(r"[*+]|,}", re.sub(r"\[[^]]*\]", "", pattern))


def requested() -> Iterator[tuple[str, Any]]:
    """Yield each type that a request may bring, and where."""
    for route in create_app(Config()).router.routes():
        if declared := operation_of(route.handler):
            for media_type, kind in by_media_type(declared.body).items():
                yield f"{declared.id} {media_type}", kind
            for name, kind in {**declared.query, **declared.headers}.items():
                yield f"{declared.id} {name}", kind
    yield from PATH_PARAMETERS.items()


def test_every_field_of_every_request_has_a_size() -> None:
    found = list(requested())
    assert len(found) > 20
    assert [place for path, kind in found for place in unbounded(kind, path)] == []


class Careless(Struct):
    """Fields as they should not be, and one that is in order."""

    text: str
    texts: Annotated[list[str], Meta(max_length=3)]
    images: Annotated[list[bytes], Meta(max_length=3)]
    many: list[bool] | None
    number: Annotated[int, Meta(ge=0)]
    anything: dict[str, Any]
    pattern: Annotated[str, Meta(pattern="^[a-z]+$")]
    fine: Annotated[str, Meta(pattern="^[a-z+]{1,3}$")] | None


def test_a_field_without_a_size_is_found() -> None:
    names = ["text", "texts", "texts[]", "images[]", "many", "number", "anything", "pattern"]
    assert list(unbounded(Careless, "")) == [f".{name}" for name in names]


# -- what the sizes are


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(context_window=1_000_000, allowed_options=("*",))


async def refusal(client: Client, session: str, **body: Any) -> tuple[int, str]:
    """Return status and sentence of a refusal, after which nothing is stored."""
    path = client.url(f"/api/chat/sessions/{session}/messages")
    async with client.http.post(path, json={"message": "a"} | body) as response:
        error = await response.json()
        assert response.status >= 400, body
    assert await client.messages(session) == []
    return response.status, error["error"]


@pytest.mark.usefixtures("sees")
async def test_what_a_message_brings_besides_is_bounded(client: Client) -> None:
    session = await client.new_session()
    long = "é" * (128 * 1024)
    with matrix() as cases:
        for body, status, said in (
            ({"images": ["YQ=="] * 33}, 422, "length <= 32"),
            ({"images": [""] * 2}, 422, "length >= 1"),
            ({"system": f"{long}a"}, 413, "system is longer than 256 KiB"),
            ({"message": f"{long}a"}, 413, "message is longer than 256 KiB"),
            ({"options": {"a": "x" * 64 * 1024}}, 413, "options is longer than 64 KiB"),
            ({"format": "x" * (64 * 1024 + 1)}, 413, "format is longer than 64 KiB"),
            ({"format": {"a": ["x"] * 20_000}}, 413, "format is longer than 64 KiB"),
            ({"keep_alive": "1" * 65}, 422, "length <= 64"),
        ):
            got, sentence = await refusal(client, session, **body)
            cases.expect(status, got, str(body)[:80])
            cases.check(said in sentence, sentence, str(body)[:80])
        await client.ask(session, system=long, images=["YQ=="] * 32, options={"a": "x" * 60 * 1024})


async def test_a_system_prompt_of_a_session_is_bounded_as_a_message_is(client: Client) -> None:
    most = "é" * (128 * 1024)
    session = await client.new_session(system=most)
    assert (await client.session(session))["system"] == most
    for method, path in (("POST", ""), ("PATCH", f"/{session}")):
        body = {"system": f"{most}a"}
        told = await client.call(method, f"/api/chat/sessions{path}", status=413, json=body)
        assert told["code"] == "too_large"
    assert (await client.session(session))["system"] == most


async def test_a_field_that_is_sent_twice_counts_as_the_last_one_does(
    client: Client, fake: FakeOllama
) -> None:
    """Nothing of the first is unfolded: it would take thirty times its size."""
    session = await client.new_session()
    first = ",".join(["{}"] * 1_000_000)
    body = f'{{"message": "a", "options": {{"a": [{first}]}}, "options": {{"seed": 1}}}}'.encode()
    path = f"/api/chat/sessions/{session}/messages"
    await client.call("POST", path, data=BytesIO(body), headers=JSON)
    assert fake.requests[-1]["options"] == {"seed": 1}


async def test_a_list_that_is_too_long_is_not_unfolded(client: Client) -> None:
    """Its refusal takes no more memory than that of a text of the same size."""
    path, peaks = client.url(f"/api/chat/sessions/{await client.new_session()}/messages"), []
    items = b'"AA==",' * 1_000_000 + b'"AA=="'
    for images in (b"[%s]" % items, b'"%s"' % (b"A" * len(items))):
        body = b'{"message":"a","images":%s}' % images
        tracemalloc.start()
        async with client.http.post(path, data=BytesIO(body), headers=JSON) as response:
            told = await response.json()
            assert (response.status, told["field"]) == (422, "images")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] < 1.5 * peaks[1]


async def test_what_is_passed_on_to_ollama_is_kept_encoded(
    client: Client, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unfolded, it takes 24 times its size, while the message is checked and while it waits."""
    fake.script = Script(answer("a"), head=(gate := Gate()))
    sessions = [await client.new_session() for _ in range(20)]
    items = ",".join(["{}"] * 20_000)
    body = f'{{"message":"a","options":{{"a":[{items}]}},"format":{{"a":[{items}]}}}}'.encode()
    planned, go, begin = list[Session](), asyncio.Event(), Planner.plan

    async def plan_later(
        planner: Planner, owner: str, session: Session, send: Send, counts: Sequence[PromptCount]
    ) -> Plan:
        planned.append(session)
        await go.wait()
        return await begin(planner, owner, session, send, counts)

    async def are_waiting() -> bool:
        return all([(await client.session(session))["activeMessageId"] for session in sessions])

    def check() -> None:
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 10 * len(body) * len(sessions)

    monkeypatch.setattr(Planner, "plan", plan_later)
    tracemalloc.start()
    path = "/api/chat/sessions/{}/messages"
    sends = [
        asyncio.create_task(client.call("POST", path.format(session), data=BytesIO(body), headers=JSON))
        for session in sessions
    ]
    try:
        await until(lambda: len(planned) == len(sessions))
        check()
        go.set()
        await until(are_waiting)
        check()
    finally:
        tracemalloc.stop()
    gate.open()
    await asyncio.gather(*sends)


@pytest.mark.parametrize("kind", [JSON["Content-Type"], "multipart/form-data; boundary=x"])
async def test_large_bodies_are_received_in_turns(start: Start, config: Config, kind: str) -> None:
    app = create_app(config)
    client = (await start(app)).client

    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        for _ in range(40):
            yield b"x" * 1024 * 1024

    async def upload() -> int:
        async with client.http.post(
            client.url("/api/documents"), data=body(), headers={"Content-Type": kind}
        ) as response:
            return response.status

    async with app[held.HELD].turn():
        uploading = asyncio.create_task(upload())
        for _ in range(50):  # of small ones, none waits
            await client.new_session()
        assert not uploading.done()
    assert await uploading == 413


async def test_who_holds_most_loses_requests_and_others_do_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "BUDGET", 2 * 1024 * 1024)
    client = await serve(trusted_user_header="X-User")
    body = json.dumps({"title": "Patience"}).ljust(1024 * 1024).encode()

    async def half(stack: AsyncExitStack, user: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = await stack.enter_async_context(opened(client))
        headers = {**JSON, "X-User": user, "Content-Length": str(len(body)), "Connection": "close"}
        connection[1].write(request("POST", "/api/chat/sessions", headers) + body[: len(body) // 2])
        await connection[1].drain()
        return connection

    async with AsyncExitStack() as stack:
        reader, writer = await half(stack, "patient")
        greedy = [await half(stack, "greedy") for _ in range(8)]
        ended = [asyncio.create_task(each.read()) for each, _ in greedy]
        await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        writer.write(body[len(body) // 2 :])
        assert (await reader.readline()).startswith(b"HTTP/1.1 201")
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)


async def test_work_on_large_bodies_leaves_half_of_the_loop() -> None:
    turns, begun = held.Held(), monotonic()

    async def work() -> None:
        async with turns.turn():
            sleep(0.02)  # noqa: ASYNC251
            raise ValueError  # refused bodies have been decoded, too

    await asyncio.gather(*[work() for _ in range(10)], return_exceptions=True)
    assert monotonic() - begun >= 2 * 10 * 0.02


@pytest.mark.parametrize(("name", "most"), [("HISTORY_BYTES", 4000), ("HISTORY_MESSAGES", 4)])
async def test_a_prompt_has_a_bounded_part_of_the_history(
    serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(plan, "FIRST_PAGE", 1)
    monkeypatch.setattr(plan, name, most)
    client = await serve(context_window=10_000_000)
    session = await client.new_session()
    for _ in range(8):
        last = await client.send(session, "x" * 1000)
    assert len(fake.requests[-1]["messages"]) in {5, 9}
    assert last["warnings"][0]["code"] == "history_truncated"


async def test_the_words_of_a_search_are_bounded(client: Client) -> None:
    document = await client.call("POST", "/api/documents", status=201, json={"title": "a", "text": "a b"})
    sessions, passages = "/api/chat/sessions", f"/api/documents/{document['id']}/search"
    with matrix() as cases:
        for path, q, status in (
            (sessions, "a " * 32, 200),
            (sessions, "a " * 33, 422),
            (sessions, "é" * 500, 200),
            (sessions, "é" * 501, 422),
            (passages, "a " * 250, 200),
            (passages, "a " * 251, 422),
        ):
            async with client.http.get(client.url(path), params={"q": q}) as response:
                cases.expect(status, response.status, path, len(q))
                if status != 200:
                    cases.expect("q", (await response.json())["field"], path, len(q))


# -- what is the operator's


SHARED: Final[list[dict[str, Any]]] = [
    {"keep_alive": 0},
    {"keep_alive": -1},
    {"keep_alive": "10m"},
    {"options": {"num_ctx": 4096}},
    {"options": {"use_mlock": None}},
]


async def test_what_concerns_all_users_of_a_model_is_the_operators(serve: Serve) -> None:
    client = await serve(allowed_options=("num_gpu",))
    session = await client.new_session()
    with matrix() as cases:
        for body in SHARED:
            status, sentence = await refusal(client, session, **body)
            cases.expect(422, status, body)
            cases.check("ALLOWED_OPTIONS" in sentence, sentence, body)
            cases.check(("OLLAMA_KEEP_ALIVE" in sentence) == ("keep_alive" in body), sentence, body)
        await client.ask(session, options={"num_gpu": 1})


@pytest.mark.parametrize("allowed", [("*",), ("keep_alive", "num_ctx", "use_mlock")])
async def test_the_operator_may_allow_it(serve: Serve, fake: FakeOllama, allowed: tuple[str, ...]) -> None:
    client = await serve(allowed_options=allowed)
    with matrix() as cases:
        for body in SHARED:
            await client.ask(await client.new_session(), **body)
            cases.check(fake.requests[-1].items() >= body.items(), json.dumps(fake.requests[-1]), body)


async def test_a_keep_alive_is_sent_as_ollama_takes_it(client: Client, fake: FakeOllama) -> None:
    with matrix() as cases:
        for given, sent in (
            ("-1", -1),
            ("0", 0),
            ("300", 300),
            ("+5", 5),
            ("1.5", 1.5),
            ("10m", "10m"),
            ("-1m", "-1m"),
            ("1h30m0.5s", "1h30m0.5s"),
            (".5h", ".5h"),
            ("1µs", "1µs"),
            (2.5, 2.5),
        ):
            await client.ask(await client.new_session(), keep_alive=given)
            cases.expect(sent, fake.requests[-1]["keep_alive"], given)


async def test_a_keep_alive_that_ollama_refuses_is_refused_first(client: Client) -> None:
    session = await client.new_session()
    with matrix() as cases:
        for given in ("soon", "", " 5m", "5 m", "5d", "m", "1h30", ".", "1e3", "3000000h", "9" * 20, 2**62):
            status, sentence = await refusal(client, session, keep_alive=given)
            cases.expect(422, status, given)
            cases.check(sentence.startswith("keep_alive cannot be used"), sentence, given)


@pytest.mark.usefixtures("sees")
async def test_what_waits_to_be_checked_is_bounded(
    serve: Serve, fake: FakeOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the budget, the oldest messages are given up as half-sent bodies are, and not stored."""
    monkeypatch.setattr(held, "BUDGET", 1024 * 1024)
    monkeypatch.setattr(held, "PATIENCE", 0)
    fake.instead["/api/tags"] = Script([json.dumps({"models": fake.models}).encode()], head=(gate := Gate()))
    client = await serve()
    images = [b64encode(b"a" * 300 * 1024).decode()]
    send = partial(client.send, images=images)
    sessions = [await client.new_session() for _ in range(5)]
    sends = {asyncio.create_task(send(session), name=session) for session in sessions}
    await until(lambda: sum(send.done() for send in sends) == 3)
    gate.open()
    await asyncio.wait(sends)
    broken = {send.get_name() for send in sends if isinstance(send.exception(), ClientConnectionError)}
    assert len(broken) == 3
    with matrix() as cases:
        for session in sessions:
            stored = await client.messages(session)
            cases.expect(0 if session in broken else 2, len(stored), session)
        for session in broken:
            cases.check(bool((await send(session))["fullResponse"]), "not answered", session)


@pytest.mark.usefixtures("sees")
async def test_kept_images_are_read_late_and_for_few_messages_at_once(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counts what was read from the store until the queue does."""
    find, images, join = ModelCatalog.find, Messages.images, Queue.join
    held_at_find: list[int] = []
    held, most = 0, 0

    async def found(*given: Any) -> KnownModel:
        held_at_find.append(held)
        return await find(*given)

    async def read(*given: Any) -> dict[int, list[bytes]]:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return await images(*given)

    def joined(*given: Any) -> Ticket:
        nonlocal held
        held -= 1
        return join(*given)

    questions = {}
    for _ in range(12):
        session = await client.new_session()
        reply = await client.send(session, images=[b64encode(b"the sun").decode()])
        questions[session] = reply["userMessageId"]
    monkeypatch.setattr(ModelCatalog, "find", found)
    monkeypatch.setattr(Messages, "images", read)
    monkeypatch.setattr(Queue, "join", joined)
    await client.send(session, replaces=questions.pop(session))
    assert held_at_find == [0]
    sends = [client.send(session, replaces=question) for session, question in questions.items()]
    assert all(each["fullResponse"] for each in await asyncio.gather(*sends))
    assert 1 < most <= plan.READS
