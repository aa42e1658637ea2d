"""How each API says that something went wrong: as a response, and as the last frame of a stream.

Clients of an API read its own errors only, so that each raises its own typed exception with our sentence. The
dialect of a request follows from its path alone, because a request may be refused before it has a handler.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from chatproxy.errors import ChatError, ErrorBody
from chatproxy.web.operation import JSON

MOUNT: Final = "mount"  # the name of the route at the mount point
TEXT: Final = "text/plain; charset=utf-8"
# What Ollama itself serves below /api/, by the first segment; /api/chat has more of ours below it.
OLLAMA_SEGMENTS: Final = frozenset(
    {
        *("blobs", "copy", "create", "delete", "embed", "embeddings", "experimental", "generate", "me"),
        *("ps", "pull", "push", "show", "signout", "status", "tags", "user", "version"),
    }
)
# OpenAI's and Anthropic's types of errors, by status.
TYPES: Final[Mapping[int, str]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class OpenAIErrorBody(Struct, frozen=True):
    """What is wrong: one sentence that says what to do, and the field that it is about."""

    message: str
    type: str
    param: str | None
    code: str


class OpenAIError(Struct, frozen=True):
    """An error as OpenAI's clients read it."""

    error: OpenAIErrorBody


class AnthropicErrorBody(Struct, frozen=True):
    """What is wrong: one sentence that says what to do."""

    type: str
    message: str


class AnthropicError(Struct, frozen=True, tag_field="type", tag="error"):
    """An error as Anthropic's clients read it."""

    error: AnthropicErrorBody


class Dialect(Struct, frozen=True, kw_only=True):
    """The errors of one API.

    `encode` returns the body of an error, which is of type `body`; `frame` makes a frame of it. `has_code` is
    false where the body has no place for the code, which a header then carries. `sdk_retries` says that
    the API's own clients repeat a request that failed unless a header says otherwise.
    """

    name: str
    encode: Callable[[ChatError], bytes]
    body: Any = ErrorBody
    frame: bytes = b"data: %b\n\n"
    media_type: str = JSON
    has_code: bool = True
    sdk_retries: bool = False

    def error_response(self, error: ChatError) -> web.Response:
        """Return an error as a response."""
        headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
        if error.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if error.status == 504 and self.sdk_retries:
            headers["x-should-retry"] = "false"  # the same wait would follow three times
        if not self.has_code:
            headers["X-Error-Code"] = error.code
        return web.Response(
            body=self.encode(error), status=error.status, headers={"Content-Type": self.media_type, **headers}
        )

    def last_frame(self, error: ChatError) -> bytes:
        """Return an error as the frame that ends a stream."""
        return self.frame % self.encode(error)


def _chatproxy(error: ChatError) -> bytes:
    return msgspec.json.encode(error.body)


def _ollama(error: ChatError) -> bytes:
    return msgspec.json.encode({"error": error.sentence, "code": error.code})


def _openai(error: ChatError) -> bytes:
    said = OpenAIErrorBody(error.sentence, _type(error), error.details.get("field"), error.code)
    return msgspec.json.encode(OpenAIError(said))


def _anthropic(error: ChatError) -> bytes:
    return msgspec.json.encode(AnthropicError(AnthropicErrorBody(_type(error), error.sentence)))


def _type(error: ChatError) -> str:
    return TYPES.get(error.status, "api_error")


def _sentence(error: ChatError) -> bytes:
    return error.sentence.encode()


CHATPROXY: Final = Dialect(name="chatproxy", encode=_chatproxy)
OLLAMA: Final = Dialect(name="ollama", encode=_ollama, frame=b"%b\n")
OPENAI: Final = Dialect(name="openai", encode=_openai, body=OpenAIError, sdk_retries=True)
ANTHROPIC: Final = Dialect(
    name="anthropic",
    encode=_anthropic,
    body=AnthropicError,
    frame=b"event: error\ndata: %b\n\n",
    has_code=False,
    sdk_retries=True,
)
# `useChat` shows the body of a refusal as it is.
AI_SDK: Final = Dialect(name="ai_sdk", encode=_sentence, body=str, media_type=TEXT, has_code=False)
# A browser shows them in place of the page.
PAGES: Final = Dialect(name="pages", encode=_sentence, body=str, media_type=TEXT, has_code=False)


def dialect_of(request: web.Request) -> Dialect:
    """Return the dialect of the request's path."""
    return dialect_at(path_of(request))


def path_of(request: web.Request) -> str:
    """Return the request's path as it was sent, relative to where the application is mounted."""
    mount = request.app.router[MOUNT].canonical.rstrip("/")
    return request.rel_url.raw_path.removeprefix(mount)


def dialect_at(path: str) -> Dialect:
    """Return the dialect of a path of the application, which may have names in braces."""
    match path.split("/")[1:]:
        case [] | [""] | ["docs"] | ["docs", "element"]:
            return PAGES
        case ["v1", "messages", *_]:
            return ANTHROPIC
        case ["v1", *_]:
            return OPENAI
        case ["api", "chat"]:
            return OLLAMA
        case ["api", "chat", "ui", *_]:
            return AI_SDK
        case ["api", segment, *_] if segment in OLLAMA_SEGMENTS:
            return OLLAMA
    return CHATPROXY
