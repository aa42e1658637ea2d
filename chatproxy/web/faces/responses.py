"""OpenAI's Responses API, for Responses that are kept: each is one of a session's answers.

A Response may be read again, watched from any of its events on, cancelled and followed by another one. Which
are kept is in `response_request.is_kept`; all others are passed on to Ollama.
"""

import re
from collections.abc import Iterable
from time import monotonic
from typing import Annotated, Final, Literal

from aiohttp import web
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from chatproxy.answers.answer import Answer
from chatproxy.answers.events import Frame
from chatproxy.errors import ChatError
from chatproxy.models.selection import SUGGESTED
from chatproxy.store.records import Session
from chatproxy.web.api.messages import SENDING
from chatproxy.web.faces.passing.passage import forward
from chatproxy.web.faces.response_events import (
    Response,
    ResponseEvent,
    ResponseEvents,
    response,
    response_id,
)
from chatproxy.web.faces.response_request import (
    Question,
    ResponseRequest,
    is_kept,
    question_of,
    unsupported,
)
from chatproxy.web.held import HELD
from chatproxy.web.json import decoded, json_response, read_body
from chatproxy.web.keys import CHAT, CONFIG, STORE
from chatproxy.web.operation import JSON, operation
from chatproxy.web.security import asker, owner
from chatproxy.web.sse import EventStream, NullSink

routes: Final = web.RouteTableDef()
RESPONSES: Final = "/v1/responses"
RESPONSE: Final = f"{RESPONSES}/{{rid}}"

STREAM: Final = {"text/event-stream": ResponseEvent}
MAX_ID: Final = 128  # characters
_ID: Final = re.compile(r"resp_(.{1,64})_([1-9][0-9]{0,17})", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_TRUE: Final = frozenset({"true", "1"})
QUERY: Final = {
    "stream": Annotated[bool, Meta(description="Whether to stream the events.")],
    "starting_after": Annotated[
        int,
        Meta(
            ge=0,
            le=10**15 - 1,
            description="The `sequence_number` of the last event received. Absent: from the beginning.",
        ),
    ],
}


class InputText(Struct, frozen=True, tag_field="type", tag="input_text"):
    """The text of a message."""

    text: str


class InputMessage(Struct, frozen=True, tag_field="type", tag="message"):
    """The message that a Response answers."""

    id: str
    content: list[InputText]
    role: Literal["user"] = "user"
    status: Literal["completed"] = "completed"


class InputItems(Struct, frozen=True, kw_only=True):
    """What a Response was asked: one message, or none for an imported answer without a question."""

    object: Literal["list"] = "list"
    data: list[InputMessage]
    first_id: str | None
    last_id: str | None
    has_more: Literal[False] = False


class Deleted(Struct, frozen=True, kw_only=True):
    """A Response that was deleted."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class ResponseStream(EventStream):
    """A stream of a Response's events."""

    def __init__(self, request: web.Request, events: ResponseEvents, *, reader_timeout: float) -> None:
        super().__init__(request, reader_timeout=reader_timeout)
        self._events = events

    def push(self, frame: Frame) -> bool:
        """Write a frame if nothing waits in the transport, and it is short; return whether it was taken."""
        return self._events.is_short(frame) and super().push(frame)

    async def send(self, frame: Frame) -> None:
        """Write what a frame brings, and wait until the socket has taken it."""
        await self._send(self._events.of(frame))

    def encode(self, frame: Frame) -> bytes:
        """Return a frame that is pushed as it is sent."""
        return b"".join(self._events.of(frame))

    def ending(self, answer: Answer) -> Iterable[bytes]:
        """Return the events after the last text in pieces."""
        return self._events.ending()


@routes.post(RESPONSES)
@operation(
    "createResponse",
    "Create a Response: kept with `store`, `background` or a previous one, else Ollama's.",
    tag="responses",
    body=ResponseRequest,
    example={"model": SUGGESTED, "input": "Why are there rainbows?", "store": True},
    answers={200: {JSON: Response, **STREAM}},
    errors=("unsupported_parameter", "not_found", "not_for_visitors", *SENDING),
)
async def create_response(request: web.Request) -> web.StreamResponse:
    arrived = monotonic()
    async with request.app[HELD].holding(request) as hold:
        body = await read_body(request, hold)
        async with request.app[HELD].turn_for(len(body)):
            kept = is_kept(body)
            if kept:
                wanted = decoded(body, ResponseRequest)
                wanted.check()
                question = question_of(wanted.input)
                wanted = replace(wanted, input=Raw())  # it may be large, and the answer may take long
        if kept:
            del body
            async with request.app[CHAT].intake.slot(asker(request)):
                answer = await _begin(request, wanted, question, arrived)
            del question
    if not kept:
        passing = forward(request, body)
        del body
        return await passing
    if wanted.stream:
        return await _stream(request, answer, after=-1)
    if not wanted.background:
        with request.app[CHAT].subscribed(answer, NullSink(request), None) as subscription:
            await subscription.run()
    return _object(answer)


@routes.get(RESPONSE)
@operation(
    "getResponse",
    "Get a Response as it is now, or stream its events.",
    tag="responses",
    query=QUERY,
    answers={200: {JSON: Response, **STREAM}},
    errors=("invalid_cursor", "too_many_subscribers"),
)
async def get_response(request: web.Request) -> web.StreamResponse:
    after = _starting_after(request)
    _, answer = await _find(request, request.match_info["rid"])
    # HEAD is allowed, as it would be passed on to Ollama otherwise; it has nothing to stream.
    if request.query.get("stream", "").lower() in _TRUE and request.method == "GET":
        return await _stream(request, answer, after=after)
    return _object(answer)


@routes.delete(RESPONSE)
@operation(
    "deleteResponse",
    "Delete a Response that is all of its conversation. A running one is cancelled first.",
    tag="responses",
    answers={200: Deleted},
    errors=("invalid",),
)
async def delete_response(request: web.Request) -> web.StreamResponse:
    session, answer = await _find(request, request.match_info["rid"])
    if answer.asked is None or not await request.app[STORE].messages.is_alone(session, answer.id):
        raise ChatError(
            "invalid",
            "This Response is part of a conversation; delete all of it with"
            f" DELETE /api/chat/sessions/{session.id}.",
        )
    await request.app[CHAT].delete_session(session)
    return json_response(Deleted(id=response_id(answer)))


@routes.post(f"{RESPONSE}/cancel")
@operation(
    "cancelResponse",
    "Stop a Response and keep the text so far. Idempotent.",
    tag="responses",
    answers={200: Response},
)
async def cancel_response(request: web.Request) -> web.StreamResponse:
    session, answer = await _find(request, request.match_info["rid"])
    await request.app[CHAT].cancel(session, answer.id)
    return _object(answer)


@routes.get(f"{RESPONSE}/input_items")
@operation(
    "listInputItems",
    "List what a Response was asked: the message that it answers.",
    tag="responses",
    answers={200: InputItems},
)
async def list_input_items(request: web.Request) -> web.StreamResponse:
    session, answer = await _find(request, request.match_info["rid"])
    items: list[InputMessage] = []
    if answer.question_id is not None:
        question = await request.app[CHAT].transcript.message(session, answer.question_id)
        items.append(InputMessage(f"msg_{session.id}_{question.id}", [InputText(question.content)]))
    ids = [item.id for item in items]
    return json_response(
        InputItems(data=items, first_id=next(iter(ids), None), last_id=next(iter(ids), None))
    )


async def _begin(request: web.Request, wanted: ResponseRequest, question: Question, arrived: float) -> Answer:
    """Check a request, and begin its answer, in a new session unless it follows another Response."""
    chat, store, user = request.app[CHAT], request.app[STORE], owner(request)
    allowed = request.app[CONFIG].allowed_options
    if wanted.previous_response_id:
        session, previous = await _find(request, wanted.previous_response_id, field="previous_response_id")
        if any(turn.role != "system" for turn in question.earlier):
            raise unsupported(
                "input",
                "After a previous Response, input has one message only; send the rest as it was said.",
            )
        message = await wanted.send(question, session.system, allowed)
        message = replace(message, follows=previous.id)
        return await chat.begun(await chat.accept(user, session.id, message, arrived, asker=asker(request)))
    message = await wanted.send(question, None, allowed)
    session = await store.sessions.create(user)
    try:
        if question.earlier:
            await store.messages.import_turns(session, question.earlier)
        accepted = await chat.accept(user, session.id, message, arrived, asker=asker(request))
    except BaseException:
        await chat.delete_session(session)  # nothing is kept of what was refused
        raise
    try:
        return await chat.begun(accepted)
    except ChatError:
        if not accepted.cancelled():  # what was may be stored all the same
            await chat.delete_session(session)
        raise


async def _find(request: web.Request, rid: str, **field: str) -> tuple[Session, Answer]:
    """Return a Response of the user's, and its session.

    Raises `not_found`, in the same words whatever there is none for.
    """
    try:
        if form := _ID.fullmatch(rid):
            session = await request.app[STORE].sessions.get(owner(request), form[1])
            return session, await request.app[CHAT].transcript.answer(session, int(form[2]))
    except ChatError as error:
        if error.code != "not_found":
            raise
    raise ChatError(
        "not_found",
        f"The response {rid[:MAX_ID]} was not kept, or was deleted; send store: true with the first.",
        **field,  # type: ignore[arg-type]
    )


def _starting_after(request: web.Request) -> int:
    """Return `?starting_after=`, or -1 if it is absent or empty. Raises `invalid_cursor`."""
    text = request.query.get("starting_after", "")
    if text and not _NUMBER.fullmatch(text):
        raise ChatError(
            "invalid_cursor",
            "starting_after must be the sequence_number of the last event received, or absent.",
            field="starting_after",
        )
    return int(text or -1)


async def _stream(request: web.Request, answer: Answer, *, after: int) -> web.StreamResponse:
    events = ResponseEvents(answer, after)
    stream = ResponseStream(request, events, reader_timeout=request.app[CONFIG].reader_timeout)
    with request.app[CHAT].subscribed(answer, stream, events.cursor) as subscription:
        await stream.open()
        await subscription.run()
    return stream.response


def _object(answer: Answer) -> web.Response:
    return web.Response(body=b"".join(response(answer)), content_type=JSON)
