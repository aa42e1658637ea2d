"""Kept Responses, as OpenAI's own clients use them: in the background, read again, cancelled, continued."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from chat_client import Client, Serve
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, error, token
from node import run
from openai import AsyncOpenAI, AsyncStream

TEXT: Final = "One 🌈 two\u2028 three 𠀀 four."
THINKING: Final = "Hm 😀 let me see."
SCRIPT: Final = Path(__file__).with_name("kept-responses.js")
USER: Final = "X-Forwarded-User"

thinking_or_not = pytest.mark.parametrize("thinking", [THINKING, ""], ids=["thinking", "at once"])


@pytest.fixture
async def sdk(client: Client) -> AsyncIterator[AsyncOpenAI]:
    async with speaking_to(client) as sdk:
        yield sdk


def speaking_to(client: Client, **more: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=client.url("/v1"), api_key="none", max_retries=0, **more)


async def create(sdk: AsyncOpenAI, **more: Any) -> Any:
    return await sdk.responses.create(**{"model": MODEL, "input": "Hello", "background": True, **more})


async def ended(sdk: AsyncOpenAI, response: Any) -> Any:
    """Poll, as OpenAI's guide says."""
    while response.status in {"queued", "in_progress"}:
        await asyncio.sleep(0.01)
        response = await sdk.responses.retrieve(response.id)
    return response


def delta(events: list[Any], kind: str = "output_text") -> str:
    return "".join(event.delta for event in events if event.type.endswith(f"{kind}.delta"))


def numbers(events: list[Any]) -> list[int]:
    found = [event.sequence_number for event in events]
    assert found == sorted(set(found))
    return found


def in_full(event: Any) -> str:
    return str(event.to_json())


async def stream_of(sdk: AsyncOpenAI, id: str, after: int | None = None) -> AsyncStream[Any]:
    if after is None:
        return await sdk.responses.retrieve(id, stream=True)
    return await sdk.responses.retrieve(id, stream=True, starting_after=after)


async def replay(sdk: AsyncOpenAI, id: str, after: int | None = None) -> list[Any]:
    return [event async for event in await stream_of(sdk, id, after)]


# -- c1: a stream that breaks


@thinking_or_not
async def test_a_stream_that_broke_after_any_event_is_read_on(
    sdk: AsyncOpenAI, fake: FakeOllama, thinking: str
) -> None:
    gate = Gate()
    fake.script = lambda request: Script(answer(TEXT, thinking=thinking), gate=gate)
    count = 1
    while True:
        gate = Gate()
        had: list[Any] = []
        stream = await create(sdk, stream=True)
        gate.let(1)
        async for event in stream:
            had.append(event)
            gate.let(1)
            if len(had) == count:
                break
        await stream.close()
        gate.open()
        id = had[0].response.id
        rest = await replay(sdk, id, had[-1].sequence_number)
        assert delta(had + rest) == TEXT
        assert delta(had + rest, "reasoning_summary_text") == thinking
        numbers(had + rest)
        again = await replay(sdk, id)
        assert numbers(again)[-1] == (had + rest)[-1].sequence_number
        assert in_full(again[-1]) == in_full((had + rest)[-1])
        assert [in_full(event) for event in await replay(sdk, id)] == [in_full(event) for event in again]
        if had[-1].type == "response.completed":
            break
        count += 1
    assert count > 8


@thinking_or_not
async def test_every_number_is_a_place_to_go_on_from(
    sdk: AsyncOpenAI, fake: FakeOllama, thinking: str
) -> None:
    fake.script = Script(answer(TEXT, thinking=thinking))
    first = await create(sdk, background=False, store=True)
    assert (first.output_text, first.status) == (TEXT, "completed")
    whole = await replay(sdk, first.id)
    begin = 6 + len(thinking) if thinking else 3
    for after in range(whole[-1].sequence_number + 2):
        rest = await replay(sdk, first.id, after)
        assert delta(rest) == TEXT[max(after - begin, 0) :]
        assert delta(rest, "reasoning_summary_text") == thinking[max(after - 2, 0) :]
        closing = [event for event in whole if event.sequence_number > after and "delta" not in event.type]
        assert [in_full(event) for event in rest if "delta" not in event.type] == list(map(in_full, closing))
    assert rest == []


async def test_two_hundred_readers_that_leave_at_random(client: Client, fake: FakeOllama) -> None:
    chance = random.Random(13)
    lines = [token(thinking=f"h{n} ") for n in range(20)] + answer(" ".join(map(str, range(60))))
    fake.script = lambda request: Script(lines, delays=[0.002] * len(lines))
    async with speaking_to(client) as sdk:
        response = await create(sdk)
        id = response.id

        async def read() -> list[Any]:
            had: list[Any] = []
            while not (had and had[-1].type == "response.completed"):
                left = chance.randint(1, 30)
                stream = await stream_of(sdk, id, had[-1].sequence_number if had else None)
                async for event in stream:
                    had.append(event)
                    if not (left := left - 1):
                        break
                await stream.close()
            return had

        limit = asyncio.Semaphore(20)

        async def one() -> list[Any]:
            async with limit:
                return await read()

        readers = await asyncio.gather(*(one() for _ in range(200)))
        for had in readers:
            numbers(had)
            assert delta(had) == " ".join(map(str, range(60)))
            assert in_full(had[-1]) == in_full(readers[0][-1])


# -- c2: the helper that asks for all events and leaves out those that it has


@thinking_or_not
async def test_the_stream_helper_goes_on_after_a_number(
    sdk: AsyncOpenAI, fake: FakeOllama, thinking: str
) -> None:
    fake.script = Script(answer(TEXT, thinking=thinking))
    response = await ended(sdk, await create(sdk))
    whole = await replay(sdk, response.id)
    for event in whole:
        after = event.sequence_number
        async with sdk.responses.stream(response_id=response.id, starting_after=after) as stream:
            rest = [each async for each in stream]
            final = await stream.get_final_response()
        assert numbers(rest) == [each for each in numbers(whole) if each > after]
        assert final.output_text == TEXT


# -- c3: poll, cancel, continue


async def test_a_response_in_the_background_is_polled(sdk: AsyncOpenAI, fake: FakeOllama) -> None:
    fake.script = Script(answer(TEXT, thinking=THINKING), gate=(gate := Gate()))
    response = await create(sdk, metadata={"job": "7"}, temperature=0.5, max_output_tokens=99)
    assert response.status in {"queued", "in_progress"}
    assert (response.background, response.output, response.usage) == (True, [], None)
    await fake.arrived()
    assert (await sdk.responses.retrieve(response.id)).status == "in_progress"
    gate.open()
    done = await ended(sdk, response)
    assert (done.id, done.created_at, done.output_text) == (response.id, response.created_at, TEXT)
    assert [item.type for item in done.output] == ["reasoning", "message"]
    assert done.output[0].summary[0].text == THINKING
    assert (done.metadata, done.temperature, done.max_output_tokens) == ({"job": "7"}, 0.5, 99)
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (74, 18, 92)
    assert fake.requests[0]["options"] == {"temperature": 0.5, "num_predict": 99}
    items: list[Any] = (await sdk.responses.input_items.list(done.id)).data
    (item,) = items
    assert item.content[0].text == "Hello"


async def test_a_cancelled_response_keeps_its_text(sdk: AsyncOpenAI, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two three."), gate=(gate := Gate()))
    stream = await create(sdk, stream=True)
    gate.let(2)
    had = []
    async for event in stream:
        had.append(event)
        if delta(had) == "One two":
            break
    cancelled = await sdk.responses.cancel(had[0].response.id)
    assert (cancelled.status, cancelled.output_text) == ("cancelled", "One two")
    await (await fake.arrived()).closed.wait()
    had += [event async for event in stream]
    assert (had[-1].type, had[-1].response.status) == ("response.incomplete", "cancelled")
    assert in_full(await sdk.responses.cancel(cancelled.id)) == in_full(cancelled)
    assert (await sdk.responses.retrieve(cancelled.id)).status == "cancelled"


async def test_a_response_that_has_ended_is_not_cancelled(sdk: AsyncOpenAI) -> None:
    response = await ended(sdk, await create(sdk))
    assert (await sdk.responses.cancel(response.id)).status == "completed"


async def test_a_conversation_goes_on_after_any_response(sdk: AsyncOpenAI, fake: FakeOllama) -> None:
    fake.script = lambda request: Script(answer(f"to {request['messages'][-1]['content']}"))

    async def follow(text: str, **more: Any) -> Any:
        return await create(sdk, background=False, input=text, **more)

    first = await follow("one", store=True, instructions="Be brief.")
    second = await follow("two", previous_response_id=first.id)
    third = await follow("three", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    assert [message["content"] for message in fake.requests[-1]["messages"]] == [
        *("one", "to one", "two", "to two", "three")
    ]
    assert fake.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}
    other = await follow("other", previous_response_id=first.id)
    assert [message["content"] for message in fake.requests[-1]["messages"]] == ["one", "to one", "other"]
    assert other.output_text == "to other"
    assert (await sdk.responses.retrieve(third.id)).output_text == "to three"  # superseded, not deleted
    with pytest.raises(openai.UnprocessableEntityError, match="went on without"):
        await follow("four", previous_response_id=third.id)


async def test_what_is_not_kept_is_not_found(sdk: AsyncOpenAI) -> None:
    response = await ended(sdk, await create(sdk))
    session, row = response.id.removeprefix("resp_").rsplit("_", 1)
    for id in ("resp_x_1", "resp_1", "x", f"resp_{session}_{int(row) - 1}", f"resp_{session}_99", "resp__1"):
        for call in (
            sdk.responses.retrieve(id),
            sdk.responses.cancel(id),
            sdk.responses.delete(id),
            create(sdk, previous_response_id=id),
        ):
            with pytest.raises(
                openai.NotFoundError, match="was not kept, or was deleted; send store: true with the first"
            ):
                await call


async def test_a_response_of_another_user_is_as_if_it_were_missing(serve: Serve) -> None:
    client = await serve(trusted_user_header=USER)
    async with (
        speaking_to(client, default_headers={USER: "ann"}) as ann,
        speaking_to(client, default_headers={USER: "bob"}) as bob,
    ):
        response = await ended(ann, await create(ann))
        told = []
        for id in (response.id, response.id.replace("resp_", "resp_x")):
            for call in (
                bob.responses.retrieve(id),
                bob.responses.cancel(id),
                bob.responses.delete(id),
                bob.responses.input_items.list(id),
                create(bob, previous_response_id=id),
            ):
                with pytest.raises(openai.NotFoundError) as missing:
                    await call
                told.append(json.dumps(missing.value.body).replace(id, ""))
        assert told[:5] == told[5:]
        assert (await ann.responses.retrieve(response.id)).status == "completed"


async def test_a_deleted_response_takes_its_session_with_it(client: Client, sdk: AsyncOpenAI) -> None:
    first = await ended(sdk, await create(sdk))
    second = await ended(sdk, await create(sdk, previous_response_id=first.id))
    for id in (first.id, second.id):
        with pytest.raises(openai.UnprocessableEntityError, match="DELETE /api/chat/sessions/"):
            await sdk.responses.delete(id)
    alone = await create(
        sdk, input=[{"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Hi"}]
    )
    await sdk.responses.delete(alone.id)
    with pytest.raises(openai.NotFoundError):
        await sdk.responses.retrieve(alone.id)
    assert len((await client.call("GET", "/api/chat/sessions"))["sessions"]) == 1


async def test_a_failure_is_told(sdk: AsyncOpenAI, fake: FakeOllama) -> None:
    fake.script = Script([token("One"), error("model runner has unexpectedly stopped")])
    response = await ended(sdk, await create(sdk))
    assert (response.status, response.output_text) == ("failed", "One")
    assert "model runner has unexpectedly stopped" in response.error.message
    events = await replay(sdk, response.id)
    assert (events[-1].type, events[-1].response.error.code) == ("response.failed", "server_error")


async def test_a_length_that_is_reached_makes_it_incomplete(sdk: AsyncOpenAI, fake: FakeOllama) -> None:
    fake.script = Script(answer("One two", reason="length"))
    response = await ended(sdk, await create(sdk))
    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (await replay(sdk, response.id))[-1].type == "response.incomplete"


TOOLS: Final[Any] = [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}]


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"tools": TOOLS}, "tools", "cannot have tools"),
        ({"tools": TOOLS, "background": False, "previous_response_id": "resp_x_1"}, "tools", "tools"),
        ({"conversation": "conv_1"}, "conversation", "previous_response_id instead"),
        ({"prompt": {"id": "p"}}, "prompt", "instructions and input"),
        ({"top_logprobs": 3}, "top_logprobs", "leave it out"),
        ({"store": False}, "store", "send store: true"),
        (
            {"input": [{"type": "function_call_output", "call_id": "1", "output": "x"}]},
            "input[0].type",
            "leave",
        ),
        (
            {
                "input": [
                    {"role": "user", "content": [{"type": "input_image", "image_url": "http://a/b.png"}]}
                ]
            },
            "input[0].content[0].image_url",
            "data URL",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input[0].content[0].type",
            "text or images",
        ),
    ],
)
async def test_what_would_change_the_meaning_is_refused_by_name(
    client: Client, sdk: AsyncOpenAI, given: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=said) as refused:
        await create(sdk, **given)
    assert (refused.value.param, refused.value.code) == (field, "unsupported_parameter")
    assert (await client.call("GET", "/api/chat/sessions"))["sessions"] == []


@pytest.mark.parametrize("given", ["-1", "x", "1.5", "9" * 16, "1 2"])
async def test_a_malformed_number_is_refused(sdk: AsyncOpenAI, given: str) -> None:
    response = await ended(sdk, await create(sdk))
    with pytest.raises(openai.BadRequestError, match="sequence_number of the last event"):
        await sdk.responses.retrieve(response.id, stream=True, extra_query={"starting_after": given})


async def test_a_schema_is_not_forgotten(client: Client, sdk: AsyncOpenAI) -> None:
    for without in ({}, {"schema": None}):
        with pytest.raises(openai.UnprocessableEntityError, match="json_schema needs one") as refused:
            await create(sdk, text={"format": {"type": "json_schema", "name": "n", **without}})
        assert refused.value.param == "text.format.schema"
    assert (await client.call("GET", "/api/chat/sessions"))["sessions"] == []


async def test_a_refused_request_leaves_no_session(client: Client, sdk: AsyncOpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="is not installed"):
        await create(sdk, model="nobody:1b")
    assert (await client.call("GET", "/api/chat/sessions"))["sessions"] == []


@pytest.mark.usefixtures("sees")
async def test_items_become_a_conversation(client: Client, sdk: AsyncOpenAI, fake: FakeOllama) -> None:
    earlier = await ended(sdk, await create(sdk))
    pixel = "iVBORw0KGgo="
    response = await create(
        sdk,
        background=False,
        store=True,
        instructions="Rhyme.",
        input=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            *earlier.output,
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{pixel}", "detail": "auto"},
                ],
            },
        ],
        reasoning={"effort": "none"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
    )
    asked = fake.requests[-1]
    assert [message["content"] for message in asked["messages"]] == [
        *("Rhyme.\n\nBe brief.", "Hello", "Hello from a fake.", "What is this?")
    ]
    assert (asked["messages"][-1]["images"], asked["think"]) == ([pixel], False)
    assert asked["format"] == {"type": "object"}
    sessions = (await client.call("GET", "/api/chat/sessions"))["sessions"]
    assert sessions[0]["title"] == "Hello"
    await create(sdk, background=False, previous_response_id=response.id, input="And?")
    assert fake.requests[-1]["messages"][0]["content"] == "Be brief."


# -- c4: OpenAI's client for JavaScript


@thinking_or_not
async def test_openai_for_javascript(client: Client, fake: FakeOllama, node: str, thinking: str) -> None:
    lines = answer(TEXT, thinking=thinking)
    fake.script = lambda request: Script(lines, delays=[0.005] * len(lines))
    expected = json.dumps({"text": TEXT, "thinking": thinking})
    said = await run(node, SCRIPT, client.url("/v1"), expected, cwd=SCRIPT.parent)
    assert said.strip() == "as expected"
