"""Exports as downloads, written message by message as they are read: of a session, or of all a user has."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from chatproxy.errors import ChatError
from chatproxy.store.records import ExportedMessage, Message, Record, Session
from chatproxy.web.api.sessions import SESSION, session_of
from chatproxy.web.held import HELD, PIECE
from chatproxy.web.keys import CHAT, STORE
from chatproxy.web.operation import JSON, operation
from chatproxy.web.security import owner
from chatproxy.web.sse import abort, while_present

routes: Final = web.RouteTableDef()
EXPORT: Final = "/api/chat/export"
IMAGE_BYTES: Final = 16 * 1024 * 1024  # of one conversation, which is to be small enough for an import


class Format(Struct, frozen=True, kw_only=True):
    """How a conversation is written: the text before its messages, of each one, between and after them."""

    media_type: str
    ending: str
    before: Callable[[Session], bytes]
    message: Callable[[Message], bytes]
    between: bytes
    after: bytes


class Export(Record, frozen=True, kw_only=True):
    """A session and its messages, oldest first."""

    session: Session
    messages: list[Message]


class WholeExport(Record, frozen=True, kw_only=True):
    """A session and its messages with their images, oldest first.

    `complete` is false if the session was deleted while it was written.
    """

    session: Session
    messages: list[ExportedMessage]
    complete: bool


@routes.get(f"{SESSION}/export", allow_head=False)
@operation(
    "exportSession",
    "Export a session as a download.",
    tag="sessions",
    query={"format": Annotated[Literal["json", "markdown"], Meta(description="Absent: json.")]},
    answers={200: {JSON: Export, "text/markdown": str}},
    errors=("invalid",),
)
async def export_session(request: web.Request) -> web.StreamResponse:
    wanted = request.query.get("format") or "json"
    if wanted not in FORMATS:
        raise ChatError("invalid", "format must be json or markdown.", field="format")
    form = FORMATS[wanted]
    session = request.app[CHAT].with_activity(await session_of(request))
    title = disposition(session.title or "conversation", form.ending)
    async with downloading(request, form.media_type, {"Content-Disposition": title}) as download:
        await download.add(form.before(session))
        between = b""
        async with aclosing(download.messages(session)) as messages:
            async for message in messages:
                await download.add(between + form.message(message))
                between = form.between
                del message  # which may be long, and the client slow
        await download.add(form.after)
    return download.response


@routes.get(EXPORT, allow_head=False)
@operation(
    "exportAll",
    "Export all sessions as one download, which importSessions takes.",
    tag="sessions",
    answers={200: list[WholeExport]},
)
async def export_all(request: web.Request) -> web.StreamResponse:
    user, sessions = owner(request), request.app[STORE].sessions
    ids = await while_present(request, sessions.ids(user))
    title = disposition("chatproxy", "json")
    async with downloading(request, JSON, {"Content-Disposition": title}) as download:
        between = b"["
        for session_id in ids:
            session = await sessions.find(user, session_id)
            if session is None:  # deleted meanwhile
                continue
            await download.add(between)
            await _add_whole(download, request.app[CHAT].with_activity(session))
            between = b",\n"
        await download.add(b"]\n" if between == b",\n" else b"[]\n")
    return download.response


async def _add_whole(download: "Download", session: Session) -> None:
    """Write a session with the images of its messages; say in the end if it was deleted meanwhile."""
    await download.add(b'{"session":' + msgspec.json.encode(session) + b',"messages":[')
    between, room, complete = b"", IMAGE_BYTES, b"true"
    try:
        async with aclosing(download.messages(session)) as messages:
            async for message in messages:
                images: list[bytes] = []
                if message.image_count:
                    images = await download.images(session, message, room)
                    room -= sum(map(len, images))
                await download.add(between + msgspec.json.encode(_with_images(message, images)))
                between = b","
                del message, images
    except ChatError as error:
        if error.code != "not_found":
            raise
        complete = b"false"
    await download.add(b'],"complete":' + complete + b"}")


def _with_images(message: Message, images: list[bytes]) -> ExportedMessage:
    fields = {name: getattr(message, name) for name in Message.__struct_fields__}
    return ExportedMessage(**fields, images=images)


class Download:
    """A response that is written in pieces as fast as the client takes them."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self.response = response
        self._request = request
        self._waiting = bytearray()

    def messages(self, session: Session) -> AsyncGenerator[Message, None]:
        """Yield the messages of a session, in turn with other owners."""
        return self._request.app[CHAT].transcript.conversation(session, owner(self._request))

    async def images(self, session: Session, message: Message, size: int) -> list[bytes]:
        """Return the images of a message; none if they have more than `size` bytes."""
        found = await self._request.app[STORE].messages.images(session, [message.id], size)
        return found.get(message.id, [])

    async def add(self, part: bytes) -> None:
        """Write a part, once there is enough for a piece."""
        self._waiting += part
        if len(self._waiting) >= PIECE:
            waiting, self._waiting = self._waiting, bytearray()
            await self._request.app[HELD].write(self._request, self.response, waiting)

    async def end(self) -> None:
        """Write what is left."""
        await self.response.write(self._waiting)


@asynccontextmanager
async def downloading(
    request: web.Request, media_type: str, headers: Mapping[str, str] = {}
) -> AsyncIterator[Download]:
    """Send the head of a response, and let the block write it.

    If the block raises ChatError, only a broken connection shows that this is not all.
    """
    response = web.StreamResponse(headers={"Content-Type": f"{media_type}; charset=utf-8", **headers})
    download = Download(request, response)
    await download.response.prepare(request)
    try:
        yield download
        await download.end()
    except ChatError:
        abort(request)


def markdown_heading(session: Session) -> bytes:
    """Return the title as a heading."""
    return f"# {_one_line(session.title or 'Conversation')}\n".encode()


def markdown(message: Message) -> bytes:
    """Return who wrote the message as a heading, and its text."""
    ended = "" if message.status == "complete" else f" ({message.status})"
    who = "You" if message.role == "user" else f"{message.model or 'Assistant'}{ended}"
    return f"\n## {who}\n\n{message.content}\n".encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def disposition(title: str, ending: str) -> str:
    """Return a Content-Disposition with a file name for any system, and the real title (RFC 6266)."""
    name = _one_line(re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', " ", title))[:80].strip(" .") or "conversation"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(f'{name}.{ending}')}"


FORMATS: Final[dict[str, Format]] = {
    "json": Format(
        media_type="application/json",
        ending="json",
        before=lambda session: b'{"session":' + msgspec.json.encode(session) + b',"messages":[',
        message=msgspec.json.encode,
        between=b",",
        after=b"]}\n",
    ),
    "markdown": Format(
        media_type="text/markdown",
        ending="md",
        before=markdown_heading,
        message=markdown,
        between=b"",
        after=b"",
    ),
}
