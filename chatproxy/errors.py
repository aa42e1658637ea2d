"""What can go wrong, as everybody is told it: one sentence that says what to do, a code, a status.

Errors are raised where they are noticed and turned into HTTP or into an `error` event in one place
each (`web.guard` and `chat.events`); nothing between translates them.
"""

from collections.abc import Mapping
from typing import Final, TypedDict, Unpack

STATUS: Final[Mapping[str, int]] = {
    "malformed": 400,
    "invalid_cursor": 400,
    "unauthorized": 401,
    "host_not_allowed": 403,
    "origin_not_allowed": 403,
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

# The same request, sent again unchanged after a while, may well succeed.
RETRYABLE: Final = frozenset(
    {
        "session_busy",
        "too_many_subscribers",
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
    """What some errors say besides: the field that cannot be used, the answer that keeps the session busy,
    what of an answer there is, which models there are, and how many tokens were needed where so many fit."""

    field: str
    activeMessageId: int
    assistantMessageId: int
    fullResponse: str
    installed: list[str]
    neededTokens: int
    contextLength: int


class ErrorBody(Details):
    """`error` is one sentence that says what to do; `code` is for programs."""

    error: str
    code: str


class ChatError(Exception):
    """A failure that a reader is told about: `sentence` for people, `code` for programs.

    `details` are further fields of the error body;
    `retry_after` is in seconds and becomes a `Retry-After` header.
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
        return STATUS[self.code]

    @property
    def body(self) -> ErrorBody:
        """The JSON object of API.md's section "Errors"."""
        return {"error": self.sentence, "code": self.code, **self.details}


def internal() -> ChatError:
    """For what nobody foresaw; whoever says so logs it."""
    return ChatError("internal", "Something went wrong in chatproxy; its log says what.")


def shutting_down(advice: str) -> ChatError:
    """`advice` is the sentence's second half: what to do instead."""
    return ChatError("shutting_down", f"The server is shutting down; {advice}.")


class StartError(Exception):
    """The process cannot start; its one sentence names the cause and the cure."""
