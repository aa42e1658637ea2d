"""Messages: send one, list them, and stream, resume or cancel an answer."""

import asyncio
from time import monotonic
from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta

from chatproxy.answers.answer import Answer
from chatproxy.answers.events import AnyEvent
from chatproxy.cursor import Cursor
from chatproxy.errors import ChatError
from chatproxy.prompt.images import KINDS, kind_of
from chatproxy.prompt.request import SendRequest
from chatproxy.store.records import DocumentIds, FinishReason, Message, Notice, Record, Source, Usage
from chatproxy.web.api.sessions import SESSION, session_of
from chatproxy.web.json import (
    Before,
    Limit,
    before_message,
    json_body,
    json_response,
    limit,
    position,
    row_id,
    whole_number,
)
from chatproxy.web.keys import CHAT, CONFIG, STORE
from chatproxy.web.operation import GATEWAY_ERRORS, JSON, operation
from chatproxy.web.security import asker, owner
from chatproxy.web.sse import EventStream, NullSink, while_present

routes: Final = web.RouteTableDef()

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
    *GATEWAY_ERRORS,
)
EXAMPLE: Final = {"message": "Why are there rainbows?"}
OTHER: Final = "application/octet-stream"
# An image never changes, but the next one at the browser may be another user.
IMAGE_HEADERS: Final = {
    "Cache-Control": "private, max-age=86400, immutable",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Vary": "Authorization, Cookie, X-Api-Key",
}
After = Annotated[
    str,
    Meta(
        pattern=r"^([0-9]{1,15}\.[0-9]{1,15}(\.end)?)?$",
        description="The cursor of the last event that had one. Absent or empty: from the beginning.",
    ),
]

MAX_AWAY: Final = 120  # seconds
Away = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_AWAY,
        description="Seconds within which the client will be back; until then it counts as a subscriber.",
    ),
]


Image = Annotated[str, Meta(extra_json_schema={"contentEncoding": "binary"})]


class MessagePage(Record, frozen=True, kw_only=True):
    """Messages, oldest first. `next` is what to pass as `before` for earlier ones; null if there are none."""

    messages: list[Message]
    next: int | None


class VersionPage(MessagePage, frozen=True, kw_only=True):
    """Versions, oldest first. `total` is how many there are on all pages."""

    total: int


class WholeAnswer(Record, frozen=True, kw_only=True):
    """A complete or cancelled answer in one piece."""

    user_message_id: int | None
    assistant_message_id: int
    full_response: str
    thinking: str
    document_ids: DocumentIds
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


# Registered right after the POST to the same path: together they are one resource with one preflight.
@routes.get(f"{SESSION}/messages")
@operation(
    "listMessages",
    "List the messages of a session, latest page first.",
    tag="messages",
    query={"limit": Limit, "before": Before},
    answers={200: MessagePage},
    errors=("invalid", "invalid_cursor"),
)
async def list_messages(request: web.Request) -> web.StreamResponse:
    size, before = limit(request, default=100), before_message(request)
    session = await session_of(request)
    page, following = await request.app[CHAT].transcript.page(session, limit=size, before=before)
    return json_response(MessagePage(messages=page, next=following))


@routes.delete(f"{SESSION}/messages/{{mid:[0-9]+}}")
@operation(
    "deleteMessage",
    "Delete a message and its versions from the conversation.",
    tag="messages",
    answers={204: None},
    errors=("session_busy",),
)
async def delete(request: web.Request) -> web.StreamResponse:
    session = await session_of(request)
    await request.app[CHAT].delete_message(session, row_id(request, "mid", "message"))
    return web.Response(status=204)


@routes.get(f"{SESSION}/messages/{{mid}}/versions")
@operation(
    "listVersions",
    "List what stood in a message's place, the message itself included.",
    tag="messages",
    query={"limit": Limit, "before": Before},
    answers={200: VersionPage},
    errors=("invalid", "invalid_cursor"),
)
async def list_versions(request: web.Request) -> web.StreamResponse:
    session = await session_of(request)
    reading = request.app[CHAT].transcript.versions(
        session,
        owner(request),
        row_id(request, "mid", "message"),
        limit=limit(request, default=50),
        before=before_message(request),
    )
    versions, following, total = await while_present(request, reading)
    return json_response(VersionPage(messages=versions, next=following, total=total))


@routes.get(f"{SESSION}/messages/{{mid}}/images/{{n}}")
@operation(
    "getImage",
    "Get an image that was sent with a message.",
    tag="messages",
    answers={200: dict.fromkeys((*KINDS, OTHER), Image)},
)
async def image(request: web.Request) -> web.StreamResponse:
    """Return the bytes as they were sent; what browsers might run, as a download of no kind."""
    session = await session_of(request)
    number = position(request, "n", "image")
    messages = request.app[STORE].messages
    reading = messages.image(session, owner(request), row_id(request, "mid", "message"), number)
    body = await while_present(request, reading)
    kind = kind_of(body)
    shown, ending = ("inline", kind.partition("/")[2]) if kind else ("attachment", "bin")
    headers = {
        **IMAGE_HEADERS,
        "Content-Type": kind or OTHER,
        "Content-Disposition": f'{shown}; filename="image-{number + 1}.{ending}"',
    }
    return web.Response(body=body, headers=headers)


@routes.get(f"{SESSION}/messages/{{mid}}/stream", allow_head=False)
@operation(
    "resumeMessageStream",
    "Stream an answer, live or stored, from a cursor. Returns 204 if nothing is left to send.",
    tag="messages",
    query={"after": After, "away": Away},
    headers={"Last-Event-ID": After},
    answers={200: STREAM, 204: None},
    errors=("invalid", "invalid_cursor", "too_many_subscribers"),
)
async def resume(request: web.Request) -> web.StreamResponse:
    after, away = _cursor(request), whole_number(request, "away", most=MAX_AWAY, default=0)
    session = await session_of(request)
    answer = await request.app[CHAT].transcript.answer(session, row_id(request, "mid", "message"), after)
    answer.expect(away)
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
    session = await session_of(request)
    return json_response(await request.app[CHAT].cancel(session, row_id(request, "mid", "message")))


async def _send(request: web.Request) -> Answer:
    arrived, chat, who = monotonic(), request.app[CHAT], asker(request)
    async with chat.intake.slot(who):
        accepted = await _accept(request, arrived, who)
        return await chat.begun(accepted)


async def _accept(request: web.Request, arrived: float, who: str) -> asyncio.Future[Answer]:
    """Read a message and have it accepted. A missing session comes before all errors of the body."""
    chat = request.app[CHAT]
    if not request.content.is_eof():  # it is still to come, and perhaps long
        await session_of(request)
    is_read = False
    try:
        async with json_body(request, SendRequest) as body:
            message = await body.checked(request.app[CONFIG].allowed_options)
            del body  # unfolded, it takes much more than is counted
            is_read = True  # from here on, `accept` says whether there is such a session
            return await chat.accept(owner(request), request.match_info["sid"], message, arrived, asker=who)
    except ChatError:
        if not is_read:
            await session_of(request)
        raise


async def _stream(
    request: web.Request, answer: Answer, *, after: Cursor | None, ids: bool
) -> web.StreamResponse:
    stream = EventStream(request, ids=ids, reader_timeout=request.app[CONFIG].reader_timeout)
    with request.app[CHAT].subscribed(answer, stream, after) as subscription:
        await stream.open()
        await subscription.run()
    return stream.response


async def _whole(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Respond with the answer as one JSON object, once it has ended."""
    with request.app[CHAT].subscribed(answer, NullSink(request), None) as subscription:
        await subscription.run()
    if not answer.ended:
        return web.Response(status=499)  # the client has disconnected and will not see it
    outcome = answer.message
    if failure := outcome.error:
        raise failure.as_error(assistantMessageId=answer.id, fullResponse=outcome.content)
    return json_response(
        WholeAnswer(
            user_message_id=answer.question_id,
            assistant_message_id=answer.id,
            full_response=outcome.content,
            thinking=outcome.thinking,
            document_ids=outcome.document_ids,
            sources=outcome.sources,
            warnings=outcome.warnings,
            model=outcome.model,
            model_reason=outcome.model_reason,
            finish_reason=outcome.finish_reason,
            usage=outcome.usage,
        )
    )


def _cursor(request: web.Request) -> Cursor | None:
    """Return the cursor in `Last-Event-ID`, or else in `?after=`; an empty one counts as absent."""
    text = request.headers.get("Last-Event-ID") or request.query.get("after")
    return Cursor.parse(text) if text else None
