"""`/openapi.json` is valid and complete: every route, event and error; and the server does what it says."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from chat_client import Client, Serve
from fake_ollama import MODEL, FakeOllama, Script, answer, error, token
from matrix import matrix
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from routes import NOT_FOUND, is_open, place, routes

from chatproxy import Config, create_app
from chatproxy.answers import events
from chatproxy.errors import STATUS
from chatproxy.models.selection import SUGGESTED
from chatproxy.web.openapi import OPENAPI

SESSIONS: Final = "/api/chat/sessions"


def document(config: Config | None = None) -> Any:
    return json.loads(bytes(create_app(config or Config())[OPENAPI].content))


API: Final = document()


def operations() -> Iterator[tuple[str, str, Any]]:
    """Yield method, path and description of each call."""
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def documented() -> set[tuple[str, str]]:
    """Return the routes that are calls: no HEAD beside its GET, no redirect, no "not found"."""
    return {(method, path) for method, path in routes() if method != "HEAD" and path not in {"", NOT_FOUND}}


def faults(name: str, value: object) -> list[str]:
    """Return how the value differs from the schema of that name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": API["components"]}
    return [fault.message for fault in OAS31Validator(schema).iter_errors(value)]


# -- the document


def test_it_is_openapi() -> None:
    validate(API)


def test_every_route_is_in_it_and_nothing_else() -> None:
    assert {(method, path) for method, path, _ in operations()} == documented()


def test_every_event_is_in_it() -> None:
    known = {kind.__struct_config__.tag: kind.__name__ for kind in events.Event.__subclasses__()}
    union = API["components"]["schemas"]["Event"]
    assert set(known) == {"start", "status", "thinking", "chunk", "warning", "done", "error"}
    assert union["discriminator"]["mapping"] == {
        str(tag): f"#/components/schemas/{name}" for tag, name in known.items()
    }
    assert [each["$ref"] for each in union["anyOf"]] == list(union["discriminator"]["mapping"].values())


def test_every_field_of_an_event_is_in_it() -> None:
    with matrix() as cases:
        for kind in events.Event.__subclasses__():
            fields = API["components"]["schemas"][kind.__name__]["properties"]
            cases.expect({"type", *kind.__struct_encode_fields__}, set(fields), kind.__name__)


def test_every_code_is_in_it_under_its_status() -> None:
    assert API["components"]["schemas"]["Code"]["enum"] == list(STATUS)
    said = {
        (code, int(status))
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        if status >= "400"
        for code in response["description"].split(", ")
    }
    of_no_call = {"method_not_allowed", "managed_elsewhere"}
    assert said == {(code, status) for code, status in STATUS.items() if code not in of_no_call}


def test_every_call_has_a_sentence_as_its_summary() -> None:
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
            "exportAll",
            "importSessions",
        },
        "messages": {
            "sendMessage",
            "sendMessageStream",
            "listMessages",
            "getImage",
            "deleteMessage",
            "listVersions",
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
        "visitors": {"createVisitor"},
        "ai-sdk": {"sendUIMessage", "listUIMessages", "resumeUIMessageStream", "stopUIMessage"},
        "ollama": {
            "ollamaChat",
            "ollamaGenerate",
            "ollamaEmbed",
            "ollamaEmbeddings",
            "ollamaShow",
            "ollamaVersion",
            "ollamaTags",
            "ollamaPs",
            "ollamaStatus",
        },
        "openai": {
            "openaiChatCompletion",
            "openaiCompletion",
            "openaiEmbedding",
            "openaiTranscription",
            "openaiListModels",
            "openaiGetModel",
            "passGet",
            "passPost",
        },
        "anthropic": {"anthropicMessage"},
        "responses": {
            "createResponse",
            "getResponse",
            "deleteResponse",
            "cancelResponse",
            "listInputItems",
        },
        "operations": {"getHealth", "getReadiness", "checkReadiness", "getMetrics"},
        "pages": {"getPage", "getDocs", "getElementDocs", "getStaticFile", "getOpenAPI", "logIn"},
    }


def test_every_name_in_an_address_is_a_parameter() -> None:
    for _, path, operation in operations():
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert named == re.findall(r"{(\w+)}", path)


# -- as it is served


async def test_it_knows_where_the_application_is_mounted(serve: Serve) -> None:
    client = await serve("/tools/chat")
    served = await client.call("GET", "/openapi.json")
    assert served["servers"] == [{"url": "/tools/chat"}]
    assert served["paths"] == API["paths"]


async def test_at_the_root_its_server_is_the_root(client: Client) -> None:
    assert await client.call("GET", "/openapi.json") == API
    assert API["servers"] == [{"url": "/"}]


def test_it_says_which_calls_ask_for_the_token() -> None:
    with_token = document(replace(Config(), api_token="secret"))
    any_of: list[dict[str, Any]] = [{"bearer": []}, {"basic": []}, {"apiKey": []}]
    assert (API["security"], with_token["security"]) == ([], any_of)
    schemes = API["components"]["securitySchemes"]
    assert [(schemes[name]["type"], schemes[name].get("scheme")) for each in any_of for name in each] == [
        ("http", "bearer"),
        ("http", "basic"),
        ("apiKey", None),
    ]
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "x-api-key")
    said = {(method, path) for method, path, operation in operations() if operation.get("security") == []}
    assert said == {(method, path) for method, path in documented() if is_open(method, path)}


# -- what it says of requests


async def test_its_examples_are_accepted(client: Client, fake: FakeOllama) -> None:
    """They name the model that the README says to install."""
    fake.models.append({**fake.models[2], "name": f"{SUGGESTED}:latest"})
    fake.shows[SUGGESTED] = fake.shows[MODEL]
    with matrix() as cases:
        for method, path, operation in operations():
            if body := operation.get("requestBody", {}).get("content", {}).get("application/json"):
                example = body["example"]
                if "$ref" in body["schema"]:
                    cases.expect([], faults(body["schema"]["$ref"].rpartition("/")[2], example), method, path)
                address = client.url(await place(client, path))
                async with client.http.request(method, address, json=example) as response:
                    described = response.ok and str(response.status) in operation["responses"]
                    cases.check(described, f"{response.status} {await response.text()}", method, path)


EXCLUDED: Final[list[dict[str, Any]]] = [
    {},
    {"message": 1},
    {"message": "a", "model": ""},
    {"message": "a", "model": "m" * 513},
    {"message": "a", "document_id": 0},
    {"message": "a", "documentId": "1"},
    {"message": "a", "document_ids": [0]},
    {"message": "a", "documentIds": list(range(1, 18))},
    {"message": "a", "replaces": 0},
    {"message": "a", "replaces": 2**63},
    {"message": "a", "clientMessageId": "a b"},
    {"message": "a", "clientMessageId": ""},
    {"message": "a", "clientMessageId": "c" * 65},
    {"message": "a", "think": "hard"},
    {"message": "a", "options": []},
    {"message": "a", "images": "none"},
    {"message": "a", "keep_alive": True},
]
ALLOWED: Final[list[dict[str, Any]]] = [
    {"message": "a", "model": None, "system": None, "images": None, "options": None, "think": None},
    {"message": "a", "format": {"type": "object"}, "keep_alive": None, "think": False},
    {"message": "a", "document_ids": [], "documentIds": None},
    {"message": "a", "documentId": None, "clientMessageId": "a-b:c", "unknown": 1},
]


async def test_a_body_that_its_schema_excludes_is_refused(client: Client) -> None:
    path = client.url(f"{SESSIONS}/{await client.new_session()}/messages")
    with matrix() as cases:
        for body in EXCLUDED:
            cases.check(faults("SendRequest", body) != [], "the schema allows it", body)
            async with client.http.post(path, json=body) as response:
                got = response.status, (await response.json()).get("code")
                cases.expect((422, "invalid"), got, body)


async def test_a_body_that_its_schema_allows_is_accepted(client: Client) -> None:
    path = client.url(f"{SESSIONS}/{await client.new_session()}/messages")
    with matrix() as cases:
        for body in ALLOWED:
            cases.expect([], faults("SendRequest", body), body)
            async with client.http.post(path, json=body) as response:
                cases.expect(200, response.status, body)
                cases.expect([], faults("WholeAnswer", await response.json()), body)


async def test_the_length_of_a_page_has_the_limits_that_it_says(client: Client) -> None:
    session = await client.new_session()
    with matrix() as cases:
        for path in (SESSIONS, f"{SESSIONS}/{{sid}}/messages", "/api/documents"):
            parameters = API["paths"][path]["get"]["parameters"]
            schema = next(each["schema"] for each in parameters if each["name"] == "limit")
            least, most = schema["minimum"], schema["maximum"]
            for limit, status in ((least, 200), (most, 200), (least - 1, 422), (most + 1, 422)):
                address = client.url(path.format(sid=session))
                async with client.http.get(address, params={"limit": limit}) as response:
                    cases.expect(status, response.status, path, limit)
                    if status == 422:
                        refusal = await response.json()
                        cases.expect(("invalid", "limit"), (refusal["code"], refusal["field"]), path, limit)


# -- what it says of answers


@pytest.mark.parametrize(
    ("script", "last"),
    [
        (Script(answer("One two", thinking="Hm")), "done"),
        (Script([token("One"), error("out of memory")]), "error"),
    ],
)
async def test_every_event_of_a_stream_fits_its_schema(
    client: Client, fake: FakeOllama, script: Script, last: str
) -> None:
    fake.script = script
    stream = await client.ask(await client.new_session())
    assert stream.last["type"] == last
    assert [fault for event in stream.events for fault in faults("Event", event)] == []


def test_a_field_that_is_always_present_is_required() -> None:
    message = API["components"]["schemas"]["Message"]
    assert set(message["required"]) == set(message["properties"])
    status = API["components"]["schemas"]["Status"]
    assert set(status["required"]) == {"type", "state", "elapsedMs"}
    assert "position" in status["properties"]
