"""Every refusal in the words of the API that the path belongs to, whatever refuses it."""

from typing import Any, Final

import pytest
from chat_client import Client, Serve
from matrix import matrix

from chatproxy.errors import ChatError
from chatproxy.web.faces.dialects import AI_SDK, ANTHROPIC, CHATPROXY, OLLAMA, OPENAI, PAGES, Dialect

TOKEN: Final = "correct-horse-battery"
# Paths that look alike, and whose words they get.
PATHS: Final = {
    "/api/chat/sessions": CHATPROXY,
    "/api/chatter": CHATPROXY,
    "/api/models": CHATPROXY,
    "/v11/models": CHATPROXY,
    "/docs/": CHATPROXY,
    "/nothing": CHATPROXY,
    "/api/chat": OLLAMA,
    "/api/tags": OLLAMA,
    "/api/blobs/sha256:1": OLLAMA,
    "/api/experimental/web_search": OLLAMA,
    "/v1/chat/completions": OPENAI,
    "/v1/none": OPENAI,
    "/v1/messages": ANTHROPIC,
    "/v1/messages/count_tokens": ANTHROPIC,
    "/": PAGES,
    "/docs": PAGES,
    "/docs/element": PAGES,
    "/api/chat/ui": AI_SDK,
    "/api/chat/ui/none/stream": AI_SDK,
}


def expected(dialect: Dialect, status: int, code: str, sentence: str) -> Any:
    types = {401: "authentication_error", 403: "permission_error", 405: "invalid_request_error"}
    kind = types.get(status, "")
    return {
        "chatproxy": {"error": sentence, "code": code},
        "ollama": {"error": sentence, "code": code},
        "openai": {"error": {"message": sentence, "type": kind, "param": None, "code": code}},
        "anthropic": {"type": "error", "error": {"type": kind, "message": sentence}},
        "ai_sdk": sentence,
        "pages": sentence,
    }[dialect.name]


@pytest.mark.parametrize("prefix", ["", "/v1/messages"], ids=["root", "mounted"])
async def test_each_path_is_refused_in_its_own_words(serve: Serve, prefix: str) -> None:
    client = await serve(prefix, api_token=TOKEN)
    no_token = (
        "The token is missing or wrong; send this server's as `Authorization: Bearer <token>`, as the"
        " password of Basic, or as `x-api-key`."
    )
    no_name = (
        "This server does not go by the name 'evil.example'; to use it, set ALLOWED_HOSTS=evil.example,"
        " or add it there."
    )
    with matrix() as cases:
        for path, dialect in PATHS.items():
            for status, code, sentence, headers in (
                (401, "unauthorized", no_token, {}),
                (403, "host_not_allowed", no_name, {"Host": "evil.example"}),
            ):
                got = await refusal(client, "POST", path, headers=headers)
                cases.expect((status, expected(dialect, status, code, sentence)), got, path)


async def refusal(client: Client, method: str, path: str, **more: Any) -> tuple[int, Any]:
    async with client.http.request(method, client.url(path), **more) as response:
        if response.status == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
        if response.content_type == "application/json":
            return response.status, await response.json()
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert response.headers["X-Error-Code"]
        return response.status, await response.text()


def test_a_last_frame_is_one_frame_of_the_stream() -> None:
    error = ChatError("upstream_incomplete", "It stopped; try again.")
    assert OLLAMA.last_frame(error) == b'{"error":"It stopped; try again.","code":"upstream_incomplete"}\n'
    assert OPENAI.last_frame(error) == (
        b'data: {"error":{"message":"It stopped; try again.","type":"api_error","param":null,'
        b'"code":"upstream_incomplete"}}\n\n'
    )
    assert ANTHROPIC.last_frame(error) == (
        b"event: error\n"
        b'data: {"type":"error","error":{"type":"api_error","message":"It stopped; try again."}}\n\n'
    )


def test_a_wait_that_was_too_long_is_not_repeated_by_itself() -> None:
    late, full = (
        ChatError("upstream_timeout", "Too long."),
        ChatError("overloaded", "Full.", retry_after=5),
    )
    for dialect in (OPENAI, ANTHROPIC):
        assert dialect.error_response(late).headers["x-should-retry"] == "false"
        assert "x-should-retry" not in dialect.error_response(full).headers
        assert dialect.error_response(full).headers["Retry-After"] == "5"
