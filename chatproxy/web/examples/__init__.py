"""Examples for `/openapi.json` and `/docs`: of each operation's answers, and of each error.

The answers in `answers.json` are what a server sent to `tests/support/examples.py`, which writes the file, by
operation, status, media type and name. Long texts and lists are cut there.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from chatproxy.errors import ChatError
from chatproxy.models.selection import SUGGESTED

Answers = Mapping[str, Mapping[str, Mapping[str, Any]]]


@cache
def answers() -> Mapping[str, Answers]:
    """Return the examples of answers, by operation."""
    content = (Path(__file__).parent / "answers.json").read_bytes()
    return msgspec.json.decode(content, type=dict[str, Answers])


ERRORS: Final[Mapping[str, ChatError]] = {
    error.code: error
    for error in (
        ChatError("malformed", "The body is not valid JSON in UTF-8; check how it is encoded."),
        ChatError("invalid_cursor", "before must be what `next` said in the page before."),
        ChatError(
            "unsupported_parameter",
            "conversation is not possible here; go on with previous_response_id instead.",
            field="conversation",
        ),
        ChatError(
            "unauthorized",
            "The token is missing or wrong; send this server's as `Authorization: Bearer <token>`, as the"
            " password of Basic, or as `x-api-key`.",
        ),
        ChatError(
            "host_not_allowed",
            "This server does not go by the name 'chat.example'; to use it, set"
            " ALLOWED_HOSTS=chat.example, or add it there.",
        ),
        ChatError(
            "origin_not_allowed",
            "Pages elsewhere may not load or open this; to let them fetch it, name their origin in"
            " CORS_ORIGINS.",
        ),
        ChatError(
            "managed_elsewhere",
            "Models are managed where Ollama runs, not through chatproxy; run `ollama` there.",
        ),
        ChatError(
            "not_for_visitors",
            "Visitors may use their own conversations and documents, and nothing else; log in for this.",
        ),
        ChatError("not_found", "There is nothing at /api/chat/session; check the address."),
        ChatError("method_not_allowed", "PUT is not possible here; use GET, POST."),
        ChatError(
            "session_busy",
            "This session's last message is still being answered; wait for that, or cancel it.",
            activeMessageId=2,
        ),
        ChatError("too_large", "The body is larger than 64 MiB; send less."),
        ChatError("unsupported_media_type", "Send the body as JSON, with Content-Type: application/json."),
        ChatError("invalid", "limit must be a whole number from 1 to 200.", field="limit"),
        ChatError(
            "idempotency_conflict",
            "This clientMessageId was used for another message; use a new one for each message.",
        ),
        ChatError(
            "model_not_found",
            f"Ollama has no model {SUGGESTED}; install it with `ollama pull {SUGGESTED}` or choose another.",
        ),
        ChatError(
            "no_suitable_model",
            f"The model {SUGGESTED} cannot read images; send the message without images, or install another"
            " one with `ollama pull`.",
        ),
        ChatError(
            "message_too_long",
            f"The message needs about 5371 tokens, and the window of {SUGGESTED} holds 4096; shorten it, or"
            " raise OLLAMA_CONTEXT_LENGTH where Ollama runs.",
            neededTokens=5371,
            contextLength=4096,
        ),
        ChatError(
            "option_not_allowed",
            "keep_alive would load or unload the model for everybody who uses it; set OLLAMA_KEEP_ALIVE in"
            " Ollama's own environment, or name keep_alive in ALLOWED_OPTIONS.",
            field="keep_alive",
        ),
        ChatError(
            "too_many_subscribers",
            "100 readers watch this answer; try again in a few seconds.",
            retry_after=5,
        ),
        ChatError(
            "visitor_limit",
            "There are many new visitors at the moment; try again in a minute.",
            retry_after=60,
        ),
        ChatError("internal", "Something went wrong in chatproxy; its log says what."),
        ChatError(
            "upstream_unavailable",
            "Ollama cannot be reached at http://127.0.0.1:11434; start it with `ollama serve` or set"
            " OLLAMA_HOST.",
        ),
        ChatError("upstream_error", "Ollama reports: out of memory"),
        ChatError("upstream_incomplete", "Ollama's answer stopped before its end; please try again."),
        ChatError(
            "upstream_invalid",
            "Ollama's answer cannot be read: it is not JSON; check that OLLAMA_HOST is the address of Ollama"
            " itself.",
        ),
        ChatError(
            "interrupted",
            "The server stopped in the middle of this answer; send the message again to get a whole one.",
        ),
        ChatError(
            "overloaded", "Too many requests are under way; try again in a few seconds.", retry_after=5
        ),
        ChatError("shutting_down", "The server is shutting down; ask another one."),
        ChatError(
            "no_models",
            f"No model is installed; type `ollama pull {SUGGESTED}` where Ollama runs, and try again.",
        ),
        ChatError(
            "upstream_timeout",
            "Ollama did not answer within 10 s; look into its log, and try again.",
        ),
        ChatError("storage_full", "The disk that holds the database is full; free some space and try again."),
    )
}
