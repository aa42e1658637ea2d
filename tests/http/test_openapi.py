"""`/openapi.json` is valid and whole: every route, event and error; and what it says, the server does."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from aiohttp import web
from chat_client import Client, Server, serving
from fake_ollama import FakeOllama, Script, answer, error, token
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from chatproxy import Config, create_app
from chatproxy.answers import events
from chatproxy.errors import STATUS
from chatproxy.web.middleware import unknown
from chatproxy.web.openapi import OPENAPI

SESSIONS: Final = "/api/chat/sessions"
# Not a call: the mount without its slash leads to the page.
NO_CALLS: Final = {""}


def document(config: Config | None = None) -> Any:
    return json.loads(bytes(create_app(config or Config())[OPENAPI].content))


API: Final = document()


def operations() -> Iterator[tuple[str, str, Any]]:
    """Method, path and what is said of it."""
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def routes() -> set[tuple[str, str]]:
    """Those of the application; a HEAD goes with its GET."""
    return {
        (route.method, route.resource.canonical)
        for route in create_app(Config()).router.routes()
        if route.resource is not None and route.handler is not unknown
        if route.method not in {"HEAD", "OPTIONS"} and route.resource.canonical not in NO_CALLS
    }


def faults(name: str, value: object) -> list[str]:
    """What of the value is not as the schema of that name has it."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    return [fault.message for fault in OAS31Validator(schema).iter_errors(value)]


async def names(client: Client) -> dict[str, Any]:
    """Something real for each name that a path may have in braces."""
    session = await client.new_session()
    said = await client.send(session)
    text = {"title": "Rainbows", "text": "Bent light."}
    document = await client.call("POST", "/api/documents", status=201, json=text)
    return {"sid": session, "mid": said["assistantMessageId"], "id": document["id"], "path": "page.js"}


# -- the document


def test_it_is_openapi() -> None:
    validate(API)


def test_every_route_is_in_it_and_nothing_else() -> None:
    assert routes() == {(method, path) for method, path, _ in operations()}


def test_every_route_that_is_found_could_be_missing() -> None:
    assert {("POST", f"{SESSIONS}/{{sid}}/messages/stream"), ("GET", "/"), ("GET", "/docs")} <= routes()


def test_every_event_is_in_it() -> None:
    known = {kind.__struct_config__.tag: kind.__name__ for kind in events.Event.__subclasses__()}
    union = API["components"]["schemas"]["Event"]
    assert set(known) == {"start", "status", "thinking", "chunk", "warning", "done", "error"}
    assert union["discriminator"]["mapping"] == {
        str(tag): f"#/components/schemas/{name}" for tag, name in known.items()
    }
    assert [each["$ref"] for each in union["anyOf"]] == list(union["discriminator"]["mapping"].values())


@pytest.mark.parametrize("kind", events.Event.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_field_of_an_event_is_in_it(kind: type[events.Event]) -> None:
    fields = API["components"]["schemas"][kind.__name__]["properties"]
    assert set(fields) == {"type", *kind.__struct_encode_fields__}


def test_every_code_is_in_it_under_its_status() -> None:
    assert API["components"]["schemas"]["Code"]["enum"] == list(STATUS)
    said = {
        (code, int(status))
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        if status >= "400"
        for code in response["content"]["application/json"]["schema"]["properties"]["code"]["enum"]
    }
    of_no_call = {"method_not_allowed"}
    assert said == {(code, status) for code, status in STATUS.items() if code not in of_no_call}


def test_every_call_says_in_a_sentence_what_it_does() -> None:
    said = [operation["summary"] for _, _, operation in operations()]
    assert [summary for summary in said if not summary.endswith(".")] == []


def test_operation_ids_and_tags_stay_as_generated_clients_know_them() -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for _, _, operation in operations():
        (tag,) = operation["tags"]
        assert operation["operationId"] not in found[tag]
        found[tag].add(operation["operationId"])
    assert found == {
        "sessions": {
            "createSession",
            "listSessions",
            "getSession",
            "updateSession",
            "deleteSession",
            "exportSession",
        },
        "messages": {
            "sendMessage",
            "sendMessageStream",
            "listMessages",
            "resumeMessageStream",
            "cancelMessage",
        },
        "documents": {
            "createDocument",
            "listDocuments",
            "getDocument",
            "deleteDocument",
            "searchDocument",
        },
        "models": {"listModels"},
        "operations": {"getHealth", "getReadiness", "getMetrics"},
        "pages": {"getPage", "getDocs", "getStaticFile", "getOpenAPI"},
    }


def test_every_name_in_an_address_is_a_parameter() -> None:
    for _, path, operation in operations():
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert named == re.findall(r"{(\w+)}", path)


# -- as it is served


async def test_it_knows_where_the_application_is_mounted(config: Config) -> None:
    host = web.Application()
    host.add_subapp("/tools/chat", create_app(config))
    async with Server(host, "/tools/chat") as server:
        told = await server.client.call("GET", "/openapi.json")
    assert told["servers"] == [{"url": "/tools/chat"}]
    assert told["paths"] == API["paths"]


async def test_at_the_root_it_is_the_same_for_everybody(client: Client) -> None:
    assert await client.call("GET", "/openapi.json") == API
    assert API["servers"] == [{"url": "/"}]


async def test_a_token_is_asked_for_where_it_says_so(config: Config) -> None:
    config = replace(config, api_token="secret")
    told = document(config)
    assert (API["security"], told["security"]) == ([], [{"bearer": []}])
    async with serving(config) as client:
        for method, path, operation in operations():
            place = path.format_map({"sid": "1", "mid": "1", "id": "1", "path": "page.js"})
            async with client.http.request(method, client.url(place)) as response:
                asked = operation.get("security") != []
                assert (response.status == 401) == asked, (method, path)


# -- what it says of requests


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for method, path, operation in operations()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ],
)
async def test_its_examples_are_accepted(client: Client, method: str, path: str) -> None:
    operation = API["paths"][path][method.lower()]
    body = operation["requestBody"]["content"]["application/json"]
    assert faults(body["schema"]["$ref"].rpartition("/")[2], body["example"]) == []
    address = client.url(path.format_map(await names(client)))
    async with client.http.request(method, address, json=body["example"]) as response:
        assert str(response.status) in operation["responses"]
        assert response.ok, await response.text()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": ""},
        {"message": 1},
        {"message": "a", "model": ""},
        {"message": "a", "model": "m" * 513},
        {"message": "a", "document_id": 0},
        {"message": "a", "documentId": "1"},
        {"message": "a", "replaces": 0},
        {"message": "a", "replaces": 2**63},
        {"message": "a", "clientMessageId": "a b"},
        {"message": "a", "clientMessageId": ""},
        {"message": "a", "clientMessageId": "c" * 65},
        {"message": "a", "think": "hard"},
        {"message": "a", "options": []},
        {"message": "a", "images": "none"},
        {"message": "a", "keep_alive": True},
    ],
    ids=str,
)
async def test_what_it_excludes_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert faults("SendRequest", body)
    path = f"{SESSIONS}/{await client.new_session()}/messages"
    assert (await client.call("POST", path, status=422, json=body))["code"] == "invalid"


@pytest.mark.parametrize(
    "body",
    [
        {"message": "a", "model": None, "system": None, "images": None, "options": None, "think": None},
        {"message": "a", "format": {"type": "object"}, "keep_alive": -1, "think": False},
        {"message": "a", "documentId": None, "clientMessageId": "a-b:c", "unknown": 1},
    ],
    ids=str,
)
async def test_what_it_allows_is_accepted(client: Client, body: dict[str, Any]) -> None:
    assert faults("SendRequest", body) == []
    path = f"{SESSIONS}/{await client.new_session()}/messages"
    assert faults("WholeAnswer", await client.call("POST", path, json=body)) == []


@pytest.mark.parametrize("path", [SESSIONS, f"{SESSIONS}/{{sid}}/messages", "/api/documents"])
async def test_a_page_has_the_limits_that_it_says(client: Client, path: str) -> None:
    schema = next(
        each["schema"] for each in API["paths"][path]["get"]["parameters"] if each["name"] == "limit"
    )
    address = path.format(sid=await client.new_session())
    for limit in (schema["minimum"], schema["maximum"]):
        await client.call("GET", address, params={"limit": limit})
    for limit in (schema["minimum"] - 1, schema["maximum"] + 1):
        told = await client.call("GET", address, status=422, params={"limit": limit})
        assert (told["code"], told["field"]) == ("invalid", "limit")


# -- what it says of answers


@pytest.mark.parametrize(
    ("script", "last"),
    [
        (Script(answer("One two", thinking="Hm")), "done"),
        (Script([token("One"), error("out of memory")]), "error"),
    ],
)
async def test_every_event_of_a_stream_is_as_it_says(
    client: Client, fake: FakeOllama, script: Script, last: str
) -> None:
    fake.script = script
    stream = await client.ask(await client.new_session())
    assert stream.last["type"] == last
    assert [fault for event in stream.events for fault in faults("Event", event)] == []


def test_a_field_that_is_always_there_is_required() -> None:
    message = API["components"]["schemas"]["Message"]
    assert set(message["required"]) == set(message["properties"])
    status = API["components"]["schemas"]["Status"]
    assert set(status["required"]) == {"type", "state", "elapsedMs"}
    assert "position" in status["properties"]
