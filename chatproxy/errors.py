"""Errors as clients see them: one sentence that says what to do, a code and an HTTP status.

An error is raised where it is noticed. `web.middleware` turns it into a response, `answers.events` into an
`error` event; nothing in between translates it.
"""

from collections.abc import Mapping
from typing import Final, TypedDict, Unpack

STATUS: Final[Mapping[str, int]] = {
    "malformed": 400,
    "invalid_cursor": 400,
    "unsupported_parameter": 400,
    "unauthorized": 401,
    "host_not_allowed": 403,
    "origin_not_allowed": 403,
    "managed_elsewhere": 403,
    "not_for_visitors": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "session_busy": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid": 422,
    "idempotency_conflict": 422,
    "model_not_found": 422,
    "no_suitable_model": 422,
    "message_too_long": 422,
    "option_not_allowed": 422,
    "too_many_subscribers": 429,
    "visitor_limit": 429,
    "internal": 500,
    "upstream_unavailable": 502,
    "upstream_error": 502,
    "upstream_incomplete": 502,
    "upstream_invalid": 502,
    "interrupted": 502,
    "overloaded": 503,
    "shutting_down": 503,
    "no_models": 503,
    "upstream_timeout": 504,
    "storage_full": 507,
}

# The same request may succeed later, unchanged.
RETRYABLE: Final = frozenset(
    {
        "session_busy",
        "too_many_subscribers",
        "visitor_limit",
        "overloaded",
        "shutting_down",
        "interrupted",
        "upstream_unavailable",
        "upstream_incomplete",
        "upstream_timeout",
        "storage_full",
    }
)


class Details(TypedDict, total=False):
    """Fields that only some errors have.

    `field` names the request field that cannot be used. `activeMessageId` is the answer that keeps the
    session busy. `assistantMessageId` and `fullResponse` are a failed answer's id and its text so far.
    `installed` lists installed models. `neededTokens` and `contextLength` are the sizes of a prompt and
    of the window. `visitors` is true if clients without credentials may ask for a visitor's token.
    `requestId` is that of the request that asked for a failed answer.
    """

    field: str
    activeMessageId: int
    assistantMessageId: int
    fullResponse: str
    installed: list[str]
    neededTokens: int
    contextLength: int
    visitors: bool
    requestId: str


class ErrorBody(Details):
    """The body of an error: `error` is one sentence that says what to do; `code` is for programs."""

    error: str
    code: str


class ChatError(Exception):
    """An error that the client sees: `sentence` is for people, `code` for programs.

    `code` is a key of STATUS. `retryable` defaults to whether RETRYABLE has the code. `retry_after` is in
    seconds and becomes the `Retry-After` header. `details` are further fields of the error body.
    """

    def __init__(
        self,
        code: str,
        sentence: str,
        *,
        retryable: bool | None = None,
        retry_after: int | None = None,
        **details: Unpack[Details],
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.retryable = code in RETRYABLE if retryable is None else retryable
        self.retry_after = retry_after
        self.details = details

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return STATUS[self.code]

    @property
    def body(self) -> ErrorBody:
        """The JSON object of an error (docs/api.md, Errors)."""
        return {"error": self.sentence, "code": self.code, **self.details}


def unusable(field: str, problem: str) -> ChatError:
    """Return `invalid` for a field of a request; `problem` says what is wrong with it, or what to do."""
    return ChatError("invalid", f"{field} cannot be used: {problem}.", field=field)


def internal() -> ChatError:
    """Return the error for an unexpected exception, which the caller logs."""
    return ChatError("internal", "Something went wrong in chatproxy; its log says what.")


def shutting_down(advice: str) -> ChatError:
    """Return the error for a shutdown. `advice` ends its sentence: what to do instead."""
    return ChatError("shutting_down", f"The server is shutting down; {advice}.", retry_after=1)


class StartError(Exception):
    """The process cannot start. The message is one sentence with the cause and what to do."""
