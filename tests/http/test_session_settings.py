"""What a session keeps for its messages: `think` and options, as Ollama is sent them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from chat_client import Client, serving
from fake_ollama import MODEL, FakeOllama

from chatproxy import Config

THINKER = "thinker:270m"


async def sent(client: Client, fake: FakeOllama, session: str, **body: Any) -> tuple[Any, Any]:
    """Send a message; return the `think` and the options that Ollama was sent."""
    await client.ask(session, "Hello", **body)
    request = fake.requests[-1]
    return request.get("think"), request.get("options")


async def test_a_message_that_brings_none_has_those_of_its_session(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session(model=THINKER, think="low", options={"temperature": 0.5})
    assert await sent(client, fake, session) == ("low", {"temperature": 0.5})
    assert await sent(client, fake, session, think=False) == (False, {"temperature": 0.5})
    assert await sent(client, fake, session, options={"top_k": 1}) == ("low", {"top_k": 1})
    assert await sent(client, fake, session, options={}) == ("low", {})


async def test_think_counts_only_where_the_model_can(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session(model=MODEL, think=True)
    assert (await sent(client, fake, session))[0] is None
    assert (await sent(client, fake, session, model=THINKER))[0] is True


async def test_auto_selects_a_model_that_can_think(config: Config, fake: FakeOllama) -> None:
    async with serving(replace(config, default_model="auto")) as client:
        session = await client.new_session(think=True)
        assert (await sent(client, fake, session))[0] is True
        assert fake.requests[-1]["model"] == THINKER


async def test_an_option_that_was_allowed_once_is_left_out(
    config: Config, fake: FakeOllama, tmp_path: Path
) -> None:
    async with serving(replace(config, allowed_options=("num_gpu",))) as client:
        session = await client.new_session(options={"num_gpu": 1, "top_p": 0.5})
        assert (await sent(client, fake, session))[1] == {"num_gpu": 1, "top_p": 0.5}
    async with serving(config) as client:
        assert (await sent(client, fake, session))[1] == {"top_p": 0.5}


async def test_an_export_brings_them_back(client: Client, fake: FakeOllama) -> None:
    given: dict[str, Any] = {"think": "high", "options": {"seed": 7}, "pinned": True}
    session = await client.new_session(**given)
    await client.ask(session, "Hello")
    export = await client.call("GET", "/api/chat/export")
    await client.call("DELETE", f"/api/chat/sessions/{session}", status=204)
    result = await client.call("POST", "/api/chat/sessions/import", json=export)
    restored = await client.session(result["sessions"][0]["sessionId"])
    assert {name: restored[name] for name in given} == given
