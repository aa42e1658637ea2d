"""The whole way of one message: the request to Ollama, the events to the reader, the rows in the database."""

from dataclasses import replace
from typing import Any

import pytest
import stored
from chat_client import Client, Serve, Start
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, html, last, line, refused, replay, token
from matrix import matrix
from recordings import BROKEN, CUTS, STREAMS, about, by_byte, recorded, texts

from chatproxy import Config, create_app
from chatproxy.web.keys import STORE

WHOLE = [name for name in STREAMS if name not in BROKEN]
# Every character at which some reader of lines ends one.
BREAKERS = "\n\r\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029\0"


def rows(config: Config) -> list[tuple[str, str, str]]:
    """Return role, status and content of every message, read over another connection."""
    return stored.rows(config.database, "SELECT role, status, content FROM message ORDER BY id")


# -- the stream


async def test_the_events_come_in_their_order(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello there.", thinking="Let me see."))
    session = await client.new_session()
    stream = await client.ask(session)
    assert stream.kinds() == ["start", "thinking", "chunk", "done"]
    assert [event["type"] for event in stream.events].count("status") >= 1
    assert (stream.text("thinking"), stream.text()) == ("Let me see.", "Hello there.")


async def test_start_and_done_say_everything_about_the_answer(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello.", thinking="Hm"))
    session = await client.new_session()
    stream = await client.ask(session)
    question, reply = await client.messages(session)
    assert stream.events[0] == {
        "type": "start",
        "userMessageId": question["id"],
        "assistantMessageId": reply["id"],
        "documentIds": [],
        "sources": [],
        "model": MODEL,
        "modelReason": reply["modelReason"],
        "sessionId": session,
    }
    assert stream.last == {
        "type": "done",
        "assistantMessageId": reply["id"],
        "fullResponse": "Hello.",
        "sources": [],
        "finishReason": "stop",
        "model": MODEL,
        "modelReason": reply["modelReason"],
        "usage": reply["usage"],
        "cursor": "2.6.end",
    }
    assert reply["status"] == "complete"
    assert reply["cursor"] == "2.6.end"


async def test_the_headers_forbid_buffering(client: Client) -> None:
    session = await client.new_session()
    path = f"/api/chat/sessions/{session}/messages/stream"
    offered = {"Accept-Encoding": "gzip, deflate, br"}
    async with client.stream("POST", path, json={"message": "Hello"}, headers=offered) as stream:
        headers = stream.response.headers
        assert headers.getall("Content-Type") == ["text/event-stream; charset=utf-8"]
        assert headers.getall("Cache-Control") == ["no-store, no-transform"]
        assert headers.getall("X-Accel-Buffering") == ["no"]
        assert "Content-Encoding" not in headers
        assert "Content-Length" not in headers
        await stream.rest()


async def test_start_comes_when_both_rows_are_committed(
    client: Client, fake: FakeOllama, config: Config
) -> None:
    fake.script = Script(answer("Hello."), head=Gate())
    session = await client.new_session()
    async with client.sending(session, "Are you there?") as stream:
        await stream.until("start")
        assert rows(config) == [("user", "complete", "Are you there?"), ("assistant", "streaming", "")]


async def test_done_comes_when_the_outcome_is_committed(
    client: Client, fake: FakeOllama, config: Config
) -> None:
    session = await client.new_session()
    async with client.sending(session) as stream:
        done = await stream.until("done")
        assert rows(config)[1] == ("assistant", "complete", done["fullResponse"])


async def test_text_arrives_while_ollama_still_writes(client: Client, fake: FakeOllama) -> None:
    gate = Gate()
    fake.script = Script(answer("One two three."), gate=gate)
    session = await client.new_session()
    async with client.sending(session) as stream:
        for word in ("One", " two", " three."):
            gate.let()
            assert (await stream.until("chunk"))["content"] == word
        gate.open()
        assert (await stream.until("done"))["fullResponse"] == "One two three."


async def test_content_of_the_last_line_is_part_of_the_answer(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([token("Hello"), last(" there.")])
    stream = await client.ask(await client.new_session())
    assert stream.text() == stream.last["fullResponse"] == "Hello there."


async def test_lines_after_the_last_one_are_ignored(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([token("Hello"), last() + token(" again") + last(), token(" and again")])
    stream = await client.ask(await client.new_session())
    assert stream.kinds() == ["start", "chunk", "done"]
    assert stream.text() == stream.last["fullResponse"] == "Hello"


def told_apart(thinking: str, content: str) -> tuple[str, str]:
    """Return both as they are meant: in one recording, the model ends in its text what it thought unasked."""
    thought, tag, said = content.partition("</think>")
    return (thinking + thought, said.lstrip()) if tag else (thinking, content)


@pytest.mark.parametrize("cut", CUTS)
async def test_what_ollama_said_is_what_is_read_and_stored(serve: Serve, fake: FakeOllama, cut: Any) -> None:
    client = await serve(context_window=1_000_000)  # or it would learn one from the numbers of a recording
    with matrix() as cases:
        for name in WHOLE:
            if cut is by_byte and len(recorded(name)) >= 6000:
                continue  # which would take long
            fake.script = Script(cut(recorded(name)))
            session = await client.new_session()
            stream = await client.ask(session)
            _, stored = await client.messages(session)
            expected = told_apart(*texts(name))
            cases.expect(expected, (stream.text("thinking"), stream.text()), name, "read")
            cases.expect(expected, (stored["thinking"], stored["content"]), name, "stored")
            end = stream.last["type"], stream.last.get("fullResponse"), stream.last["cursor"]
            cases.expect(("done", stored["content"], stored["cursor"]), end, name)


@pytest.mark.parametrize("name", BROKEN)
async def test_the_text_of_a_recording_that_breaks_off_is_kept(
    client: Client, fake: FakeOllama, name: str
) -> None:
    fake.script = replay(name)
    session = await client.new_session()
    stream = await client.ask(session)
    _, stored = await client.messages(session)
    assert stream.kinds()[-1] == "error"
    assert stream.last["code"] == stored["error"]["code"] == BROKEN[name]
    assert (stream.text("thinking"), stream.text()) == texts(name)
    assert (stored["thinking"], stored["content"]) == texts(name)
    assert stream.last["fullResponse"] == stored["content"]
    assert (stored["status"], stored["finishReason"], stored["usage"]) == ("failed", None, None)


async def test_no_character_breaks_a_frame(client: Client, fake: FakeOllama) -> None:
    text = f"a{BREAKERS}data: b\n\nid: 9\n\n\ufeff😀"
    fake.script = Script([token(thinking=text), token(text), last()])
    session = await client.new_session()
    path = f"/api/chat/sessions/{session}/messages/stream"
    async with client.http.post(client.url(path), json={"message": "Hello"}) as response:
        raw = (await response.read()).decode()
    lines = raw.splitlines()  # breaks at all of them
    assert raw == "".join(f"{each}\n" for each in lines)
    assert all(each.startswith('data: {"type":') for each in lines[::2])
    assert set(lines[1::2]) == {""}
    _, stored = await client.messages(session)
    assert (stored["thinking"], stored["content"]) == (text, text)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "é☃😀" * 100_000, "\0" * 100_000], ids=["x", "é", "NUL"])
async def test_a_huge_line_arrives_in_bounded_frames(client: Client, fake: FakeOllama, text: str) -> None:
    fake.script = Script([token(text), last()])
    stream = await client.ask(await client.new_session())
    chunks = [event["content"] for event in stream.events if event["type"] == "chunk"]
    assert "".join(chunks) == text
    assert max(len(chunk.encode()) for chunk in chunks) <= 16 * 1024


# -- how it ended


@pytest.mark.parametrize(("reason", "told"), [("stop", "stop"), ("length", "length"), ("unload", "stop")])
async def test_the_finish_reason_is_passed_on(
    client: Client, fake: FakeOllama, reason: str, told: str
) -> None:
    fake.script = Script(answer("Hello.", reason=reason))
    session = await client.new_session()
    assert (await client.ask(session)).last["finishReason"] == told
    assert (await client.messages(session))[1]["finishReason"] == told


async def test_usage_is_what_ollama_measured(client: Client, fake: FakeOllama) -> None:
    fake.script = replay("answer_cold")
    session = await client.new_session()
    usage = (await client.ask(session)).last["usage"]
    assert (await client.messages(session))[1]["usage"] == usage
    assert usage.pop("timeToFirstTokenMs") >= 0
    assert usage == {
        "promptTokens": 74,
        "completionTokens": 18,
        "tokensPerSecond": 45.85,
        "thinkingMs": None,
        "loadMs": 1328,
        "totalMs": 1904,
    }


async def test_what_ollama_did_not_measure_is_null(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([line(message={"role": "assistant", "content": ""}, done=True, done_reason="stop")])
    usage = (await client.ask(await client.new_session())).last["usage"]
    assert set(usage.values()) == {None}


async def test_the_time_to_the_first_text_counts_from_the_request(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello."), delays=[0.2, 0])
    usage = (await client.ask(await client.new_session())).last["usage"]
    assert 200 <= usage["timeToFirstTokenMs"] < 10_000


async def test_the_time_of_thinking_ends_with_the_first_word_of_the_answer(
    client: Client, fake: FakeOllama
) -> None:
    lines = [token(thinking="Hm"), token(thinking=", so"), token("Yes"), token("."), last()]
    fake.script = Script(lines, delays=[0.1, 0.1, 0.1, 0.3, 0])
    usage = (await client.ask(await client.new_session())).last["usage"]
    assert 200 <= usage["thinkingMs"] < 10_000


# -- the JSON call


async def test_the_json_call_gives_the_answer_as_one_object(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello there.", thinking="Hm."))
    session = await client.new_session()
    given = await client.send(session)
    question, reply = await client.messages(session)
    assert given == {
        "userMessageId": question["id"],
        "assistantMessageId": reply["id"],
        "fullResponse": "Hello there.",
        "thinking": "Hm.",
        "documentIds": [],
        "sources": [],
        "warnings": [],
        "model": MODEL,
        "modelReason": reply["modelReason"],
        "finishReason": "stop",
        "usage": reply["usage"],
    }


async def test_the_json_call_gives_a_cancelled_answer_like_any_other(
    client: Client, fake: FakeOllama
) -> None:
    fake.script = Script(answer("Hello there."), gate=(gate := Gate()))
    session = await client.new_session()
    gate.let()
    async with client.sending(session, clientMessageId="a") as stream:
        await stream.until("chunk")
        reply = stream.events[0]["assistantMessageId"]
        await client.cancel(session, reply)
    given = await client.send(session, clientMessageId="a")
    assert (given["fullResponse"], given["finishReason"]) == ("Hello", "cancelled")
    assert given["assistantMessageId"] == reply


@pytest.mark.parametrize(
    ("script", "status", "code", "text"),
    [
        (replay("runner_killed"), 502, "upstream_error", texts("runner_killed")[1]),
        (replay("ends_without_done"), 502, "upstream_incomplete", texts("ends_without_done")[1]),
        (Script([token("Hello"), b"<html>\n"]), 502, "upstream_invalid", "Hello"),
        (refused(500, "out of memory"), 502, "upstream_error", ""),
    ],
)
async def test_the_json_call_of_a_failed_answer_has_a_status_and_the_text(
    client: Client, fake: FakeOllama, script: Script, status: int, code: str, text: str
) -> None:
    fake.script = script
    session = await client.new_session()
    body = await client.send(session, status=status)
    _, reply = await client.messages(session)
    assert body == {
        "error": reply["error"]["error"],
        "code": code,
        "requestId": reply["error"]["requestId"],
        "assistantMessageId": reply["id"],
        "fullResponse": text,
    }


async def test_with_streaming_disabled_the_stream_call_answers_like_the_json_call(serve: Serve) -> None:
    client = await serve(enable_streaming=False)
    session = await client.new_session()
    path = f"/api/chat/sessions/{session}/messages"
    body = {"message": "Hello", "clientMessageId": "a"}
    async with client.http.post(client.url(f"{path}/stream"), json=body) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        streamed = await response.json()
    assert streamed == await client.call("POST", path, json=body)
    assert streamed["fullResponse"] == "Hello from a fake."


# -- what Ollama is asked


async def test_options_are_passed_on_exactly(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(allowed_options=("keep_alive",))
    wishes: dict[str, Any] = {
        "options": {"temperature": 0.7, "seed": 2**53, "stop": ["\n\n", "é"], "top_k": 0, "unheard_of": None},
        "think": False,
        "format": {"type": "object", "properties": {"a": {"type": "string"}}},
        "keep_alive": 0,
    }
    await client.ask(await client.new_session(), "Hi", **wishes)
    assert fake.requests == [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Hi"}],
            "truncate": False,
            **wishes,
        }
    ]


async def test_each_form_of_an_option_is_passed_on(serve: Serve, fake: FakeOllama) -> None:
    client = await serve(allowed_options=("keep_alive",))
    thinker = {"model": "thinker:270m"}
    forms: tuple[dict[str, Any], ...] = (
        {"think": True, **thinker},
        {"think": "high", **thinker},
        {"format": "json"},
        {"keep_alive": "10m"},
        {"keep_alive": -1},
    )
    for option in forms:
        await client.ask(await client.new_session(), "Hi", **option)
        assert fake.requests[-1].items() >= option.items()


async def test_no_option_is_passed_on_that_was_not_given(client: Client, fake: FakeOllama) -> None:
    await client.ask(await client.new_session(), "Hi")
    assert fake.requests == [
        {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "truncate": False}
    ]


@pytest.mark.parametrize(
    ("of_request", "of_session", "of_config"),
    [
        ("request", "session", "config"),
        (None, "session", "config"),
        (None, None, "config"),
        (None, None, None),
    ],
)
async def test_the_most_specific_system_prompt_wins(
    fake: FakeOllama, serve: Serve, of_request: str | None, of_session: str | None, of_config: str | None
) -> None:
    client = await serve(system_prompt=of_config)
    session = await client.new_session(system=of_session)
    await client.ask(session, "Hi", system=of_request)
    system = of_request or of_session or of_config
    told = [{"role": "system", "content": system}] if system else []
    assert fake.requests[0]["messages"] == [*told, {"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("of_request", "of_session", "asked"),
    [
        ("echo:270m", "thinker:270m", "echo:270m"),
        (None, "thinker:270m", "thinker:270m"),
        (None, None, MODEL),
        ("GEMMA3:270M", None, MODEL),
        (None, "Echo:270m", "echo:270m"),
    ],
)
async def test_the_most_specific_model_wins_in_ollamas_spelling(
    client: Client, fake: FakeOllama, of_request: str | None, of_session: str | None, asked: str
) -> None:
    session = await client.new_session(model=of_session)
    stream = await client.ask(session, model=of_request)
    _, reply = await client.messages(session)
    assert fake.requests[0]["model"] == asked
    assert stream.events[0]["model"] == stream.last["model"] == reply["model"] == asked


async def test_a_name_without_a_tag_means_latest(client: Client, fake: FakeOllama) -> None:
    fake.models.append(fake.models[0] | {"name": "mine:latest", "model": "mine:latest"})
    fake.shows["mine:latest"] = fake.shows[MODEL]
    stream = await client.ask(await client.new_session(), model="Mine")
    assert fake.requests[0]["model"] == stream.last["model"] == "mine:latest"


async def test_the_refusal_of_a_missing_model_lists_the_installed_ones(
    client: Client, fake: FakeOllama
) -> None:
    session = await client.new_session()
    body = await client.send(session, status=422, model="gemma3:27b")
    assert body["code"] == "model_not_found"
    assert [name for name in fake.shows if name not in body["error"]] == []
    assert await client.messages(session) == []


async def test_without_any_model_the_error_says_what_to_type(client: Client, fake: FakeOllama) -> None:
    fake.models = []
    session = await client.new_session()
    body = await client.send(session, status=503, model="auto")
    assert body["code"] == "no_models"
    assert "`ollama pull " in body["error"]
    assert await client.messages(session) == []


@pytest.mark.parametrize("unreadable", [html(), refused(500, "no")], ids=["page", "refused"])
async def test_a_named_model_is_tried_if_the_list_cannot_be_read(
    client: Client, fake: FakeOllama, unreadable: Script
) -> None:
    fake.instead["/api/tags"] = unreadable
    stream = await client.ask(await client.new_session(), model="echo:270m")
    assert (stream.last["type"], stream.last["model"]) == ("done", "echo:270m")
    assert fake.requests[0]["model"] == "echo:270m"


# -- the session around it


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("\n  Two\t lines \nare here", "Two lines"),
        ("word " * 100, "word " * 15 + "word…"),
    ],
)
async def test_the_first_message_names_the_session(client: Client, message: str, title: str) -> None:
    session = await client.new_session()
    await client.ask(session, message)
    await client.ask(session, "Something else")
    assert (await client.session(session))["title"] == title


async def test_a_title_given_by_the_client_stays(client: Client) -> None:
    session = await client.new_session(title="Sky")
    await client.ask(session, "Why is it blue?")
    assert (await client.session(session))["title"] == "Sky"


async def test_a_streaming_answer_is_listed_with_its_text_so_far(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello there.", thinking="Hm."), gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        gate.let(2)
        reply = (await stream.until("start"))["assistantMessageId"]
        assert (await client.session(session))["activeMessageId"] == reply
        await stream.until("chunk")
        _, shown = await client.messages(session)
        assert (shown["id"], shown["status"], shown["cursor"]) == (reply, "streaming", "3.5")
        assert (shown["thinking"], shown["content"]) == ("Hm.", "Hello")
        assert (shown["finishReason"], shown["usage"], shown["error"]) == (None, None, None)
        gate.open()
        await stream.until("done")
        assert (await client.session(session))["activeMessageId"] is None


async def test_the_session_is_free_on_done(client: Client) -> None:
    session = await client.new_session()
    for _ in range(50):
        async with client.sending(session) as stream:
            await stream.until("done")
    assert (await client.session(session))["messageCount"] == 100


async def test_the_session_is_free_on_the_response_to_a_cancel(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([token("Hello"), token(" there")], end="hang")
    session = await client.new_session()
    for _ in range(50):
        async with client.sending(session) as stream:
            reply = (await stream.until("start"))["assistantMessageId"]
            assert (await client.cancel(session, reply))["status"] == "cancelled"
    assert (await client.session(session))["messageCount"] == 100


async def test_the_session_is_free_on_an_error(client: Client, fake: FakeOllama) -> None:
    fake.script = Script([token("Hello")])
    session = await client.new_session()
    for _ in range(20):
        async with client.sending(session) as stream:
            await stream.until("error")


def test_every_recording_of_a_stream_was_a_success() -> None:
    assert [name for name in STREAMS if about(name)["status"] != 200] == []


# -- what it costs


@pytest.mark.sqlite
async def test_a_send_reads_its_session_once_and_its_documents_once(start: Start, config: Config) -> None:
    """The session is read under its lock, with its earlier send; both are handed on as records."""
    app = create_app(replace(config, default_model="auto"))
    client = (await start(app)).client
    texts = [{"title": title, "text": "Sunlight, bent by drops of water. " + title} for title in ("A", "B")]
    made = [await client.call("POST", "/api/documents", status=201, json=text) for text in texts]
    session, ids = await client.new_session(), [each["id"] for each in made]
    reads: list[str] = []
    await stored.sqlite_of(app[STORE])._reader.set_trace_callback(reads.append)
    await client.send(session, "What about rainbows?", document_ids=ids, clientMessageId="a")
    assert sum("pinned" in sql for sql in reads) == 1, reads
    assert sum("AS wanted FROM json_each" in sql for sql in reads) == 1, reads
