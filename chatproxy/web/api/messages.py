"""What is said in a session: to send and to read, and to watch, resume and cancel an answer."""

from time import monotonic
from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta

from chatproxy.answers.answer import Answer
from chatproxy.answers.events import AnyEvent
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.prompt.request import SendRequest
from chatproxy.store.records import FinishReason, Message, Notice, Record, Source, Usage
from chatproxy.web.json import Before, Limit, before_message, limit, read_json, row_id
from chatproxy.web.keys import CHAT, CONFIG, STORE, owner
from chatproxy.web.operation import JSON, UPSTREAM, operation
from chatproxy.web.responses import error_response, json_response
from chatproxy.web.sse import EventStream, Waiting

routes: Final = web.RouteTableDef()
SESSION: Final = "/api/chat/sessions/{sid}"

STREAM: Final = {"text/event-stream": AnyEvent}
SENDING: Final = (
    "session_busy",
    "idempotency_conflict",
    "model_not_found",
    "no_suitable_model",
    "message_too_long",
    "option_not_allowed",
    "too_many_subscribers",
    "shutting_down",
    "no_models",
    *UPSTREAM,
)
EXAMPLE: Final = {"message": "Why are there rainbows?"}
Place = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,15}\.[0-9]{1,15}(\.end)?)?$",
        description="The cursor of the last event that had one; absent or empty: from the beginning.",
    ),
]


class MessagePage(Record, frozen=True, kw_only=True):
    """Oldest first; `next` is what to pass as `before` for those before them, null at the beginning."""

    messages: list[Message]
    next: int | None


class WholeAnswer(Record, frozen=True, kw_only=True):
    """An answer at its end, in one piece."""

    user_message_id: int
    assistant_message_id: int
    full_response: str
    thinking: str
    sources: list[Source]
    warnings: list[Notice]
    model: str | None
    model_reason: str | None
    finish_reason: FinishReason | None
    usage: Usage | None


@routes.post(f"{SESSION}/messages/stream")
@operation(
    "sendMessageStream",
    "Send a message and stream the answer. With ENABLE_STREAMING=false, the answer is JSON.",
    tag="messages",
    body=SendRequest,
    example=EXAMPLE,
    answers={200: {**STREAM, JSON: WholeAnswer}},
    errors=SENDING,
)
async def send_and_stream(request: web.Request) -> web.StreamResponse:
    answer = await _send(request)
    if not request.app[CONFIG].enable_streaming:
        return await _whole(request, answer)
    return await _stream(request, answer, after=None, ids=False)


@routes.post(f"{SESSION}/messages")
@operation(
    "sendMessage",
    "Send a message and return the answer once it is complete.",
    tag="messages",
    body=SendRequest,
    example=EXAMPLE,
    answers={200: WholeAnswer},
    errors=SENDING,
)
async def send_and_wait(request: web.Request) -> web.StreamResponse:
    return await _whole(request, await _send(request))


# Next to the other method of the same path: together they are one resource, whose one preflight knows both.
@routes.get(f"{SESSION}/messages")
@operation(
    "listMessages",
    "List the messages of a session, latest page first.",
    tag="messages",
    query={"limit": Limit, "before": Before},
    answers={200: MessagePage},
    errors=("invalid", "invalid_cursor"),
)
async def read(request: web.Request) -> web.StreamResponse:
    page, following = await request.app[CHAT].messages(
        owner(request),
        request.match_info["sid"],
        limit=limit(request, default=100),
        before=before_message(request),
    )
    return json_response(MessagePage(messages=page, next=following))


@routes.get(f"{SESSION}/messages/{{mid}}/stream", allow_head=False)
@operation(
    "resumeMessageStream",
    "Stream an answer, live or stored, from a cursor. Returns 204 if nothing is left to send.",
    tag="messages",
    query={"after": Place},
    headers={"Last-Event-ID": Place},
    answers={200: STREAM, 204: None},
    errors=("invalid_cursor", "too_many_subscribers"),
)
async def resume(request: web.Request) -> web.StreamResponse:
    user, after = owner(request), _cursor(request)
    answer = await request.app[CHAT].answer(
        user, request.match_info["sid"], row_id(request, "mid", "message")
    )
    if after is not None and after.end and after == answer.cursor:
        return web.Response(status=204)
    return await _stream(request, answer, after=after, ids=True)


@routes.post(f"{SESSION}/messages/{{mid}}/cancel")
@operation(
    "cancelMessage",
    "Stop an answer and keep the text so far. Idempotent.",
    tag="messages",
    answers={200: Message},
)
async def cancel(request: web.Request) -> web.StreamResponse:
    message = await request.app[CHAT].cancel(
        owner(request), request.match_info["sid"], row_id(request, "mid", "message")
    )
    return json_response(message)


async def _send(request: web.Request) -> Answer:
    arrived = monotonic()
    user, session_id = owner(request), request.match_info["sid"]
    await request.app[STORE].get_session(user, session_id)
    body = await read_json(request, SendRequest)
    return await request.app[CHAT].send(user, session_id, body.checked(), arrived)


async def _stream(
    request: web.Request, answer: Answer, *, after: Cursor | None, ids: bool
) -> web.StreamResponse:
    stream = EventStream(request, ids=ids, reader_timeout=request.app[CONFIG].reader_timeout)
    with request.app[CHAT].subscribed(answer, stream, after) as subscription:
        await stream.open()
        await subscription.follow()
    return stream.response


async def _whole(request: web.Request, answer: Answer) -> web.StreamResponse:
    """The answer as one JSON object, when it has ended."""
    with request.app[CHAT].subscribed(answer, Waiting(request), None) as subscription:
        await subscription.follow()
    outcome = answer.outcome
    if outcome is None:
        return web.Response(status=499)  # the reader has left, nobody will see this
    if failure := outcome.error:
        return error_response(
            ChatError(
                failure.code,
                failure.error,
                retryable=failure.retryable,
                assistantMessageId=answer.id,
                fullResponse=outcome.content,
            )
        )
    return json_response(
        WholeAnswer(
            user_message_id=answer.question_id,
            assistant_message_id=answer.id,
            full_response=outcome.content,
            thinking=outcome.thinking,
            sources=outcome.sources,
            warnings=outcome.warnings,
            model=outcome.model,
            model_reason=outcome.model_reason,
            finish_reason=outcome.finish_reason,
            usage=outcome.usage,
        )
    )


def _cursor(request: web.Request) -> Cursor | None:
    """`Last-Event-ID`, or else `?after=`; an empty one counts as absent."""
    text = request.headers.get("Last-Event-ID") or request.query.get("after")
    return Cursor.parse(text) if text else None
