"""What Prometheus gets: documented names, each answer counted once, labels from bounded sets."""

import re
from pathlib import Path
from typing import Final

import pytest
from chat_client import Client, Serve
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer, html, refused, token
from prometheus_client.parser import text_string_to_metric_families

from chatproxy import __version__
from chatproxy.errors import STATUS
from chatproxy.generation.generation import Figures
from chatproxy.store.records import Message
from chatproxy.web.metrics import MOST_MODELS, Histogram, Load, Metrics

# As the parser says them: a counter without its `_total`.
NAMES: Final = {
    "chatproxy_generations": "counter",
    "chatproxy_passed": "counter",
    "chatproxy_active_generations": "gauge",
    "chatproxy_queued_generations": "gauge",
    "chatproxy_queue_eta_seconds": "gauge",
    "chatproxy_subscribers": "gauge",
    "chatproxy_time_to_first_token_seconds": "histogram",
    "chatproxy_tokens": "counter",
    "chatproxy_tokens_per_second": "histogram",
    "chatproxy_inter_token_gap_seconds": "histogram",
    "chatproxy_errors": "counter",
    "chatproxy_upstream_errors": "counter",
    "chatproxy_replicas": "gauge",
    "chatproxy_followed": "gauge",
    "chatproxy_host_failures": "counter",
    "chatproxy_host_up": "gauge",
    "chatproxy_commit_seconds": "histogram",
    "chatproxy_build_info": "gauge",
}

Samples = dict[str, float]


async def samples(client: Client) -> Samples:
    """Return the samples by name and labels, as `name{label="value"}`."""
    async with client.http.get(client.url("/metrics")) as response:
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return parsed(await response.text())


def parsed(page: str) -> Samples:
    found = {}
    for family in text_string_to_metric_families(page):
        if family.name.startswith("process_"):
            continue
        assert (family.name, family.type) in NAMES.items()
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def outcomes(found: Samples) -> Samples:
    return {name: value for name, value in found.items() if name.startswith("chatproxy_generations_total")}


def one(outcome: str, model: str = MODEL) -> str:
    return f'chatproxy_generations_total{{model="{model}",outcome="{outcome}"}}'


async def test_the_metrics_have_their_documented_names(client: Client) -> None:
    async with client.http.get(client.url("/metrics")) as response:
        page = await response.text()
    told = dict(re.findall(r"^# TYPE (chatproxy_\w+) (\w+)$", page, re.MULTILINE))
    short = {name.removesuffix("_total"): kind for name, kind in told.items()}
    assert short == NAMES
    assert {name for name in told if name.endswith("_total")} == {
        f"{name}_total" for name, kind in NAMES.items() if kind == "counter"
    }
    assert f'chatproxy_build_info{{version="{__version__}"}} 1.0' in page


async def test_a_complete_answer(client: Client, fake: FakeOllama) -> None:
    lines = answer("One two three", eval_count=3, eval_duration=1_500_000_000)
    fake.script = Script(lines, gate=(gate := Gate()))
    session = await client.new_session()
    async with client.sending(session) as stream:
        for text in ("One", "One two", "One two three"):
            gate.let(1)
            await stream.has(text)
        gate.open()
        await stream.rest()
    await client.ask(session)
    found = await samples(client)
    assert outcomes(found) == {one("complete"): 2}
    assert found[f'chatproxy_tokens_total{{model="{MODEL}"}}'] == 6
    assert found['chatproxy_tokens_per_second_bucket{le="2.0"}'] == 2
    assert found['chatproxy_tokens_per_second_bucket{le="1.0"}'] == 0
    assert found["chatproxy_tokens_per_second_sum"] == 4
    for name in ("time_to_first_token_seconds", "inter_token_gap_seconds"):
        assert found[f"chatproxy_{name}_count"] == found[f'chatproxy_{name}_bucket{{le="+Inf"}}'] == 2
        assert found[f"chatproxy_{name}_sum"] > 0
    assert found["chatproxy_commit_seconds_count"] >= 5
    assert sum(value for name, value in found.items() if "upstream_errors" in name) == 0


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (refused(500, "out of memory"), "upstream_error"),
        (Script([token("One"), token(" two")]), "upstream_incomplete"),
        (Script([b"<html>\n"]), "upstream_invalid"),
    ],
)
async def test_a_failed_answer(client: Client, fake: FakeOllama, script: Script, code: str) -> None:
    fake.script = script
    await client.ask(await client.new_session())
    found = await samples(client)
    assert outcomes(found) == {one("failed"): 1}
    errors = {name: value for name, value in found.items() if "upstream_errors" in name}
    assert {name: value for name, value in errors.items() if value} == {
        f'chatproxy_upstream_errors_total{{code="{code}"}}': 1
    }
    assert {re.findall(r'"(\w+)"', name)[0] for name in errors} <= set(STATUS)
    spoken = code == "upstream_incomplete"
    assert found[f'chatproxy_tokens_total{{model="{MODEL}"}}'] == (2 if spoken else 0)
    assert found["chatproxy_time_to_first_token_seconds_count"] == spoken
    assert found["chatproxy_tokens_per_second_count"] == 0


@pytest.mark.parametrize(
    ("script", "code"),
    [(html(401), "upstream_error"), (html(502), "upstream_unavailable"), (html(), "upstream_invalid")],
)
async def test_an_ollama_that_lets_nothing_in_counts_with_each_message(
    serve: Serve, fake: FakeOllama, script: Script, code: str
) -> None:
    """Also where no model can be chosen, so that no answer fails: deploy/alerts.yaml counts on it."""
    fake.script = script
    fake.instead = dict.fromkeys(("/api/version", "/api/tags", "/api/ps", "/api/show"), script)
    client = await serve(default_model="auto")
    session = await client.new_session()
    for model in ("auto", MODEL):
        await client.send(session, status=502, model=model)
    found = await samples(client)
    assert found[f'chatproxy_errors_total{{code="{code}"}}'] == 2
    assert outcomes(found) == {one("failed", "other"): 1}  # no list says that there is the model


async def test_gauges_count_what_is_in_progress(serve: Serve, fake: FakeOllama) -> None:
    fake.script = Script(answer("Hello world"), gate=(gate := Gate()))
    client = await serve(max_concurrent_generations=1)
    first, second = await client.new_session(), await client.new_session()
    async with client.sending(first) as stream, client.sending(second) as waiting:
        await stream.until("start")
        await waiting.until("start")
        async with client.resuming(first, stream.answer_id):
            found = await samples(client)
            assert found["chatproxy_active_generations"] == 1
            assert found["chatproxy_queued_generations"] == 1
            assert found["chatproxy_queue_eta_seconds"] > 0
            assert found["chatproxy_subscribers"] == 3
        await client.cancel(first, stream.answer_id)
        await fake.arrived(2)
        gate.open()
        await waiting.rest()
    found = await samples(client)
    assert outcomes(found) == {one("cancelled"): 1, one("complete"): 1}
    names = ("active_generations", "queued_generations", "queue_eta_seconds", "subscribers")
    assert [found[f"chatproxy_{name}"] for name in names] == [0, 0, 0, 0]


@pytest.fixture
async def blind(serve: Serve, fake: FakeOllama) -> Client:
    """A server whose Ollama lists no models, so that any name is tried."""
    fake.instead["/api/tags"] = refused(500, "no list")
    return await serve()


async def test_unknown_model_names_are_not_labels(blind: Client, fake: FakeOllama) -> None:
    fake.script = refused(404, "model 'made-up' not found")
    for number in range(3):
        await blind.ask(await blind.new_session(), model=f"made-up-{number}")
    assert outcomes(await samples(blind)) == {one("failed", "other"): 3}
    fake.script = Script(answer("Hello"))
    await blind.ask(await blind.new_session(), model="real:1b")
    fake.script = refused(500, "broken")
    await blind.ask(await blind.new_session(), model="real:1b")
    assert outcomes(await samples(blind)) == {
        one("failed", "other"): 3,
        one("complete", "real:1b"): 1,
        one("failed", "real:1b"): 1,
    }


async def test_no_text_is_in_the_metrics(client: Client, fake: FakeOllama) -> None:
    fake.script = Script(answer("Marmalade"))
    session = await client.new_session(title="Marmalade", system="Marmalade")
    await client.ask(session, "Marmalade", options={"stop": ["Marmalade"]})
    async with client.http.get(client.url("/metrics")) as response:
        page = await response.text()
    assert "armalade" not in page
    assert session not in page


def ended(model: str) -> Figures:
    outcome = Message(
        id=1,
        session_id="s",
        role="assistant",
        content="",
        status="complete",
        model=model,
        created_at="",
        updated_at="",
    )
    return Figures(outcome=outcome, installed=True, tokens=0, to_first_text=None, text_duration=None)


def test_the_number_of_model_labels_is_bounded() -> None:
    metrics = Metrics()
    for number in range(MOST_MODELS + 10):
        metrics.ended(ended(f"model-{number}"))
    metrics.ended(ended("model-0"))
    found = outcomes(parsed(metrics.page(Load(0, 0, 0)).decode()))
    assert len(found) == MOST_MODELS + 1
    assert found[one("complete", "other")] == 10
    assert found[one("complete", "model-0")] == 2


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "ä", 'x"} 1\nchatproxy_evil 1'])
def test_a_model_name_cannot_break_the_page(name: str) -> None:
    metrics = Metrics()
    metrics.ended(ended(name))
    page = metrics.page(Load(0, 0, 0)).decode()
    assert not re.search(r"^chatproxy_evil", page, re.MULTILINE)
    assert len(outcomes(parsed(page))) == 1


def test_a_histogram_counts_a_value_up_to_its_bound() -> None:
    histogram = Histogram(1, 2.5)
    for value in (0.5, 1, 2, 2.5, 3):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2), ("2.5", 4), ("+Inf", 5)]
    assert histogram.sum == 9


async def test_two_applications_in_one_process_count_separately(serve: Serve, tmp_path: Path) -> None:
    first, second = await serve(), await serve(database_url=f"sqlite:///{tmp_path}/other.db")
    await first.ask(await first.new_session())
    assert outcomes(await samples(first)) == {one("complete"): 1}
    assert outcomes(await samples(second)) == {}


async def test_refused_requests_and_failed_answers_are_counted_once(client: Client, fake: FakeOllama) -> None:
    session = await client.new_session()
    await client.refused(session, 422, json={"message": ""})
    await client.call("GET", "/nothing", status=404)
    fake.script = refused(500, "no")
    await client.ask(session)
    path = f"/api/chat/sessions/{session}/messages"
    await client.call("POST", path, json={"message": "Hello"}, status=502)
    found = await samples(client)
    counted = {name: value for name, value in found.items() if "chatproxy_errors" in name and value}
    assert counted == {
        'chatproxy_errors_total{code="invalid"}': 1,
        'chatproxy_errors_total{code="not_found"}': 1,
        'chatproxy_errors_total{code="upstream_error"}': 2,
    }
