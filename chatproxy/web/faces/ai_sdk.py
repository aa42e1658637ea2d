"""The AI SDK's API: `useChat`, and what else sends with `DefaultChatTransport`; see docs/api.md, The AI SDK.

A chat is a session under an id that the client has made. Its clients differ from those of chatproxy's own API
in three ways. They send the whole conversation, of which all but the last message is here already, unless the
chat is new. They know a question by one id, however often it is edited or answered again. And they stop an
answer by leaving, so that one which nobody watches does not keep them from going on.
"""

import asyncio
from contextlib import ExitStack, aclosing
from time import monotonic
from typing import Final
from weakref import WeakValueDictionary

import msgspec
from aiohttp import web
from msgspec.structs import replace

from chatproxy.answers.answer import Answer
from chatproxy.errors import ChatError
from chatproxy.fair import FairSlots
from chatproxy.prompt.request import Send
from chatproxy.store.records import NewSession, Session, Version
from chatproxy.web.api.export import IMAGE_BYTES, downloading
from chatproxy.web.api.messages import SENDING
from chatproxy.web.faces.ui_messages import (
    VERSION,
    UIMessage,
    UIMessageStream,
    answer_row,
    is_id,
    question_row,
    ui_message,
)
from chatproxy.web.faces.ui_request import IDS, ChatRequest, question, turns
from chatproxy.web.held import HELD
from chatproxy.web.json import json_body
from chatproxy.web.keys import CHAT, CONFIG, STORE
from chatproxy.web.operation import JSON, operation
from chatproxy.web.security import asker, owner

routes: Final = web.RouteTableDef()
PATH: Final = "/api/chat/ui"
MAX_UNREAD: Final = 10_000
# Unfolded, a history takes several times its size, until it is stored: so many at once, one of each who asks.
HISTORIES: Final = 4
PLACES: Final = 256
CHUNKS: Final = {"text/event-stream": str}
EXAMPLE: Final = {
    "id": "rainbows",
    "messages": [
        {"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Why are there rainbows?"}]}
    ],
    "trigger": "submit-message",
}


class Chats:
    """What calls for chats have to know of each other."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._unread: dict[str, tuple[int, int]] = {}  # by session: an answer, and how many ask for it
        self.histories = FairSlots(
            HISTORIES,
            PLACES,
            slots_per_user=1,
            places_per_user=PLACES,
            refusal=lambda: ChatError(
                "overloaded", "Too many conversations are being stored; try again in a moment.", retry_after=5
            ),
        )

    def lock(self, user: str, chat_id: str) -> asyncio.Lock:
        """Return the lock with which messages of a chat are accepted one at a time."""
        return self._locks.setdefault((user, chat_id), asyncio.Lock())

    def leave_unread(self, session_id: str, answer_id: int) -> None:
        """Note that a client has not been sent all of a session's last answer, and will ask for the rest.

        Otherwise, an answer that ends between a list, which leaves it out, and the call for its stream would
        be in neither.
        """
        known, clients = self._unread.pop(session_id, (answer_id, 0))
        self._unread[session_id] = answer_id, clients + 1 if known == answer_id else 1
        if len(self._unread) > MAX_UNREAD:
            del self._unread[next(iter(self._unread))]

    def unread(self, session_id: str) -> int | None:
        """Return the answer that a client was not sent all of."""
        return self._unread[session_id][0] if session_id in self._unread else None

    def read(self, session_id: str) -> None:
        """Note that one of these clients is sent the answer."""
        answer_id, clients = self._unread.pop(session_id, (0, 0))
        if clients > 1:
            self._unread[session_id] = answer_id, clients - 1

    def forget_unread(self, session_id: str, answer_id: int | None = None) -> None:
        """Note that an answer, or whichever it is, is in a list or not the last one now."""
        if answer_id is None or answer_id == self.unread(session_id):
            self._unread.pop(session_id, None)


CHATS: Final = web.AppKey("CHATS", Chats)


def set_up(app: web.Application) -> None:
    """Add the routes, and what they share."""
    app[CHATS] = Chats()
    app.add_routes(routes)


@routes.post(PATH)
@operation(
    "sendUIMessage",
    "Send the last of the messages, and stream the answer as UI message chunks.",
    tag="ai-sdk",
    body=ChatRequest,
    example=EXAMPLE,
    answers={200: CHUNKS},
    errors=("not_found", *SENDING),
)
async def send(request: web.Request) -> web.StreamResponse:
    arrived = monotonic()
    user, chats, intake = owner(request), request.app[CHATS], request.app[CHAT].intake
    with ExitStack() as watching:
        async with (
            intake.slot(asker(request)),
            json_body(request, ChatRequest) as body,
            chats.lock(user, body.id),
        ):
            answer = await _answer(request, user, body, arrived)
            stream = _stream(request, body.id)
            # Before the next message is let in, which would stop an answer that nobody watches.
            subscription = watching.enter_context(request.app[CHAT].subscribed(answer, stream, None))
            del body
        await stream.open()
        await subscription.run()
        return stream.response
    chats.leave_unread(answer.session_id, answer.id)
    return stream.response


@routes.get(f"{PATH}/{{sid}}", allow_head=False)
@operation(
    "listUIMessages",
    "List the messages of a chat, without an answer that is being written. A chat without messages has none.",
    tag="ai-sdk",
    answers={200: list[UIMessage]},
)
async def list_messages(request: web.Request) -> web.StreamResponse:
    session, chats = await _session(request), request.app[CHATS]
    async with downloading(request, JSON) as download:
        between, question_id, room = b"[", None, IMAGE_BYTES
        if session is not None:
            async with aclosing(download.messages(session)) as messages:
                async for message in messages:
                    if message.status == "streaming":
                        chats.leave_unread(session.id, message.id)
                        continue
                    chats.forget_unread(session.id, message.id)
                    images: list[bytes] = []
                    if message.role == "user":
                        question_id = message.id
                        if message.image_count:
                            images = await download.images(session, message, room)
                            room -= sum(map(len, images))
                    shown = ui_message(message, images, question_id)
                    await download.add(between + msgspec.json.encode(shown))
                    between = b","
                    del message, images, shown  # which may be long, and the client slow
        await download.add(b"]\n" if between == b"," else b"[]\n")
    return download.response


@routes.get(f"{PATH}/{{sid}}/stream", allow_head=False)
@operation(
    "resumeUIMessageStream",
    "Stream the answer that is being written, from its start. Returns 204 if there is none.",
    tag="ai-sdk",
    answers={200: CHUNKS, 204: None},
    errors=("too_many_subscribers",),
)
async def resume(request: web.Request) -> web.StreamResponse:
    session, chat, chats = await _session(request), request.app[CHAT], request.app[CHATS]
    if session is None:
        return web.Response(status=204)
    answer = await chat.under_way(session)
    if answer is None and (unread := chats.unread(session.id)) is not None:
        answer = await chat.transcript.answer(session, unread)
    if answer is None:
        return web.Response(status=204)
    stream = _stream(request, session.id)
    with chat.subscribed(answer, stream, None) as subscription:
        chats.read(session.id)
        await stream.open()
        await subscription.run()
        return stream.response
    chats.leave_unread(session.id, answer.id)
    return stream.response


@routes.post(f"{PATH}/{{sid}}/stop")
@operation(
    "stopUIMessage",
    "Stop the answer that is being written, and keep the text so far. Idempotent.",
    tag="ai-sdk",
    answers={204: None},
)
async def stop(request: web.Request) -> web.StreamResponse:
    user, name, chat = owner(request), request.match_info["sid"], request.app[CHAT]
    async with request.app[CHATS].lock(user, name):  # a message that is being checked may be the one to stop
        session = await request.app[STORE].sessions.get(user, name)
        if answer := await chat.under_way(session):
            await chat.cancel(session, answer.id)
    return web.Response(status=204)


async def _session(request: web.Request) -> Session | None:
    """Return the session of a chat; None without one, as pages ask before the first message.

    Raises `not_found` for an id that no chat can have.
    """
    name = request.match_info["sid"]
    session = await request.app[STORE].sessions.find(owner(request), name)
    if session is None and not is_id(name):
        raise ChatError("not_found", f"There is no such chat; its id is {IDS}.")
    return session


def _stream(request: web.Request, chat_id: str) -> UIMessageStream:
    headers = {"x-vercel-ai-ui-message-stream": "v1", "X-Resumable-Stream-Id": chat_id}
    return UIMessageStream(request, reader_timeout=request.app[CONFIG].reader_timeout, headers=headers)


async def _answer(request: web.Request, user: str, body: ChatRequest, arrived: float) -> Answer:
    """Return the answer to the last message: a new one, or that of the same message sent before."""
    chat, messages = request.app[CHAT], request.app[STORE].messages
    async with request.app[HELD].turn_for(body.size):
        name, asked = question(body)
    send = await asked.checked(request.app[CONFIG].allowed_options)
    session = await _get_or_create(request, user, body, name)
    version = await messages.find_version(session, first=name, prefix=name + VERSION, row=question_row(name))
    if version is not None:
        if version.answer_id is not None and not await _is_new(request, session, body, send, version):
            return await chat.transcript.answer(session, version.answer_id)
        send = replace(
            send,
            client_message_id=f"{name}{VERSION}{version.question_id}",
            replaces=version.question_id if version.is_shown else None,
        )
    chat.check_begins()  # before it ends the last answer
    await chat.cancel_unwatched(session)
    accepted = await chat.accept(user, session.id, send, arrived, asker=asker(request))
    answer = await chat.begun(accepted)
    request.app[CHATS].forget_unread(session.id)
    return answer


async def _is_new(
    request: web.Request, session: Session, body: ChatRequest, send: Send, version: Version
) -> bool:
    """Return whether a question that is known is asked again, and not only sent again."""
    if body.trigger == "submit-message":
        edited = body.message_id == send.client_message_id
        return send.fingerprint != version.fingerprint or (edited and not version.is_last)
    answer_id = answer_row(body.message_id or "")
    if answer_id is None:
        return True
    try:
        answer = await request.app[CHAT].transcript.answer(session, answer_id)
    except ChatError as error:
        if error.code != "not_found":
            raise
        return True
    return answer.question_id == version.question_id  # or else it has been written again already


async def _get_or_create(request: web.Request, user: str, body: ChatRequest, name: str) -> Session:
    """Return the session of a chat, made if it is new, with what the client has of it before the message."""
    store = request.app[STORE]
    if session := await store.sessions.find(user, body.id):
        return session
    async with request.app[CHATS].histories.slot(asker(request)):
        async with request.app[HELD].turn_for(body.size):
            earlier = turns(body, name)
        if earlier:
            await store.messages.import_session(user, NewSession(id=body.id), earlier)
        return await store.sessions.get_or_create(user, body.id)
