"""Every response to what schemathesis makes of `/openapi.json`, valid or not, is as described there."""

import asyncio
import copy
import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import schemathesis
from chat_client import Serve
from hypothesis import HealthCheck, Phase, given, seed, settings
from routes import EMPTY, existing
from schemathesis import Case, DeserializationContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from chatproxy import Config, create_app
from chatproxy.web.openapi import OPENAPI

EXAMPLES: Final = 10  # of each call, in each way
# Where something else is to blame: Ollama, the disk, the number of those who ask.
OTHERS: Final = {502, 503, 504, 507}

API: Final = json.loads(bytes(create_app(Config())[OPENAPI].content))


# Of these, bodies and answers are Ollama's.
PASSED: Final = {"ollama", "openai", "anthropic"}


def ways() -> Iterator[tuple[str, str, GenerationMode]]:
    """Yield each call with valid requests and, if anything can be wrong with one, with invalid ones."""
    for path, methods in API["paths"].items():
        for method, operation in methods.items():
            if not PASSED.isdisjoint(operation["tags"]):
                continue
            yield method.upper(), path, GenerationMode.POSITIVE
            if operation["parameters"] or "requestBody" in operation:
                yield method.upper(), path, GenerationMode.NEGATIVE


@schemathesis.deserializer("text/event-stream")
def events(context: DeserializationContext, response: Response) -> list[Any] | str:
    """Return the JSON of each frame, which the document describes; of the AI SDK's chunks, the text."""
    text = response.content.decode()
    if "x-vercel-ai-ui-message-stream" in response.headers:
        return text
    lines = text.split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize(("method", "path", "mode"), list(ways()))
async def test_a_call_answers_as_described(
    serve: Serve, method: str, path: str, mode: GenerationMode
) -> None:
    client = await serve(passthrough=False)  # else what is no kept Response is answered by Ollama
    api = copy.deepcopy(API)
    for name, real in (await existing(client)).items():
        for parameter in api["paths"][path][method.lower()]["parameters"]:
            if (parameter["in"], parameter["name"]) == ("path", name):
                parameter["schema"] = {"enum": [real]}
    operation = schemathesis.openapi.from_dict(api)[path][method]
    await asyncio.to_thread(send, client.base, operation, mode)


def is_judged(case: Case[Any], response: Response) -> bool:
    """Whether the document alone decides that a request is wrong.

    The fields of a form are all text, an empty parameter counts as absent, and of two cursors one wins. A
    chat need not exist. That 413 is a refusal is not known to the check.
    """
    query = parse_qs(urlsplit(str(response.request.url)).query, keep_blank_values=True)
    return not (
        response.status_code == 413
        or case.media_type == "multipart/form-data"
        or case.operation.path in EMPTY
        or any("" in values for values in query.values())
        or ("after" in query and "Last-Event-ID" in response.request.headers)
    )


def send(base: str, operation: Any, mode: GenerationMode) -> None:
    session = requests.Session()

    @seed(1)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        response = case.call(base_url=base, session=session, timeout=20)
        assert response.status_code < 500 or response.status_code in OTHERS, response.text
        excused = [] if is_judged(case, response) else [negative_data_rejection]
        # A name that fits the document may still be no model's.
        excluded: list[Any] = [positive_data_acceptance, not_a_server_error, *excused]
        case.validate_response(response, excluded_checks=excluded)

    run()
