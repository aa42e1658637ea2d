"""The examples in `/openapi.json` are what the server sends: recorded again, they have the same shape."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from chat_client import Server, Start
from fake_ollama import FakeOllama
from matrix import matrix
from openapi_schema_validator import OAS31Validator

import chatproxy
from chatproxy import Config, create_app
from chatproxy.errors import STATUS
from chatproxy.web.api.login import LOGIN_CODES
from chatproxy.web.examples import ERRORS
from chatproxy.web.examples import answers as kept_answers
from chatproxy.web.openapi import OPENAPI
from examples import SETTINGS, events, record, shape

API: Final = json.loads(bytes(create_app(Config())[OPENAPI].content))
# They answer what Ollama, or a file, is; the document itself would contain itself.
WITHOUT: Final = {"passPost", "getImage", "getOpenAPI"}


def contents() -> Iterator[tuple[str, str, str, Any]]:
    """Yield operation, status, media type and content of each response."""
    for methods in API["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for media_type, content in response.get("content", {}).items():
                    yield operation["operationId"], status, media_type, content


async def test_recorded_again_they_have_the_same_shape(
    fake: FakeOllama, config: Config, start: Start
) -> None:
    app = create_app(Config(ollama_host=fake.url, database_url=config.database_url, **SETTINGS))
    server: Server = await start(app)
    api = await server.client.call("GET", "/openapi.json")
    answers = await record(server.client, fake, api, app[LOGIN_CODES].create)
    with matrix() as cases:
        cases.expect(set(kept_answers()), set(answers), "operations")
        for id, kept in kept_answers().items():
            cases.expect(shape(kept), shape(answers.get(id)), id)


def test_each_fits_its_schema() -> None:
    with matrix() as cases:
        for id, status, media_type, content in contents():
            schema = {**content["schema"], "components": API["components"]}
            for name, example in content.get("examples", {}).items():
                if ref := example.get("$ref"):
                    example = API["components"]["examples"][ref.rpartition("/")[2]]
                value = example["value"]
                is_stream = media_type == "text/event-stream" and content["schema"] != {"type": "string"}
                for each in events(value) if is_stream else [value]:
                    if media_type != "application/x-ndjson":
                        faults = [fault.message for fault in OAS31Validator(schema).iter_errors(each)]
                        cases.expect([], faults, id, status, media_type, name)


def test_every_answer_has_one() -> None:
    """An answer that has several media types has an example of each that it is usually sent as."""
    found = {(id, status) for id, status, _, content in contents() if content.get("examples")}
    assert {(id, status) for id, status, _, _ in contents() if id not in WITHOUT} - found == set()


def test_every_stream_has_one_and_they_show_every_event() -> None:
    streams = [(id, each) for id, _, media_type, each in contents() if media_type == "text/event-stream"]
    assert [id for id, each in streams if "examples" not in each] == []
    sending = next(each for id, each in streams if id == "sendMessageStream")
    kinds = {event["type"] for each in sending["examples"].values() for event in events(each["value"])}
    assert kinds == set(API["components"]["schemas"]["Event"]["discriminator"]["mapping"])


def test_every_code_of_an_operation_has_one() -> None:
    assert set(ERRORS) == set(STATUS)
    with matrix() as cases:
        for methods in API["paths"].values():
            for operation in methods.values():
                for status, response in operation["responses"].items():
                    if status >= "400":
                        (content,) = response["content"].values()
                        codes = response["description"].split(", ")
                        cases.expect(codes, list(content["examples"]), operation["operationId"], status)


def test_the_sentences_of_errors_are_the_servers() -> None:
    texts, patterns = sentences()
    missing = {error.sentence for error in ERRORS.values()} - texts
    assert [text for text in missing if not any(re.fullmatch(pattern, text) for pattern in patterns)] == []


def sentences() -> tuple[set[str], list[str]]:
    """Return the texts in the sources, without the examples, and patterns of those that are filled in."""
    texts: set[str] = set()
    patterns: list[str] = []
    for path in Path(chatproxy.__file__).parent.rglob("*.py"):
        if path.parent.name == "examples":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Constant(value=str(text)):
                    texts.add(text)
                case ast.JoinedStr(values=parts):
                    known = [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]
                    if sum(len(text) for text in known if text) > 8:
                        patterns.append("".join(".+" if text is None else re.escape(text) for text in known))
    return texts, patterns
