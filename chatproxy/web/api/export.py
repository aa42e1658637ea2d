"""Exports as downloads, written message by message as they are read: of a session, or of all a user has."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from chatproxy.errors import ChatError
from chatproxy.prompt.images import data_url
from chatproxy.store.records import ExportedMessage, Message, Record, Session
from chatproxy.web.api.sessions import SESSION, session_of
from chatproxy.web.held import HELD, PIECE
from chatproxy.web.keys import CHAT, STORE
from chatproxy.web.operation import JSON, operation
from chatproxy.web.security import owner
from chatproxy.web.sse import abort, while_present

routes: Final = web.RouteTableDef()
EXPORT: Final = "/api/chat/export"
# Of one conversation as JSON, which is to be small enough for an import.
IMAGE_BYTES: Final = 16 * 1024 * 1024


class Format(Struct, frozen=True, kw_only=True):
    """How a conversation is written."""

    media_type: str
    ending: str
    write: Callable[["Download", Session], Awaitable[None]]


class Export(Record, frozen=True, kw_only=True):
    """A session and its messages with their images, oldest first."""

    session: Session
    messages: list[ExportedMessage]


class WholeExport(Export, frozen=True, kw_only=True):
    """A session and its messages with their images, oldest first.

    `complete` is false if the session was deleted while it was written.
    """

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
    session = await request.app[CHAT].with_activity(await session_of(request))
    title = disposition(session.title or "conversation", form.ending)
    async with downloading(request, form.media_type, {"Content-Disposition": title}) as download:
        await form.write(download, session)
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
            await _add_whole(download, await request.app[CHAT].with_activity(session))
            between = b",\n"
        await download.add(b"]\n" if between == b",\n" else b"[]\n")
    return download.response


async def _add_whole(download: "Download", session: Session) -> None:
    """Write a session with the images of its messages; say in the end if it was deleted meanwhile."""
    complete = b"true"
    try:
        await _add_messages(download, session)
    except ChatError as error:
        if error.code != "not_found":
            raise
        complete = b"false"
    await download.add(b'],"complete":' + complete + b"}")


async def _add_messages(download: "Download", session: Session) -> None:
    """Write a session and its messages with their images, up to the end of the list."""
    await download.add(b'{"session":' + msgspec.json.encode(session) + b',"messages":[')
    between, room = b"", IMAGE_BYTES
    async with aclosing(download.messages(session)) as messages:
        async for message in messages:
            images: list[bytes] = []
            if message.image_count:
                images = await download.images(session, message, room)
                room -= sum(map(len, images))
            await download.add(between + msgspec.json.encode(_with_images(message, images)))
            between = b","
            del message, images  # which may be long, and the client slow


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

    async def image(self, session: Session, message_id: int, position: int) -> bytes:
        """Return an image of a message, in turn with other owners."""
        messages = self._request.app[STORE].messages
        return await messages.image(session, owner(self._request), message_id, position)

    async def add(self, part: bytes) -> None:
        """Write a part, once there is enough for a piece."""
        self._waiting += part
        del part
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


async def _write_json(download: Download, session: Session) -> None:
    await _add_messages(download, session)
    await download.add(b"]}\n")


async def _write_markdown(download: Download, session: Session) -> None:
    """Write a session with its images as data URLs, which are long, and so at the end of the file."""
    await download.add(f"# {_one_line(session.title or 'Conversation')}\n".encode())
    pictures: list[tuple[int, int]] = []  # a message, and how many images it has
    async with aclosing(download.messages(session)) as messages:
        async for message in messages:
            await download.add(markdown(message))
            if message.image_count:
                pictures.append((message.id, message.image_count))
            del message  # which may be long, and the client slow
    for message_id, count in pictures:
        for position in range(count):
            await download.add(
                _definition(message_id, position, await download.image(session, message_id, position))
            )


def markdown(message: Message) -> bytes:
    """Return who wrote the message as a heading, its text, and references to its images."""
    ended = "" if message.status == "complete" else f" ({message.status})"
    who = "You" if message.role == "user" else f"{message.model or 'Assistant'}{ended}"
    shown = [
        f"![Image {position + 1}][{_label(message.id, position)}]" for position in range(message.image_count)
    ]
    parts = [f"## {who}", message.content, " ".join(shown)]
    return "".join([f"\n{part}\n" for part in parts if part]).encode()


def _definition(message_id: int, position: int, image: bytes) -> bytes:
    return f"\n[{_label(message_id, position)}]: {data_url(image)}\n".encode()


def _label(message_id: int, position: int) -> str:
    return f"image-{message_id}-{position + 1}"


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
        write=_write_json,
    ),
    "markdown": Format(
        media_type="text/markdown",
        ending="md",
        write=_write_markdown,
    ),
}
