"""Export of a session as a download, written message by message as it is read."""

import re
from collections.abc import Callable
from contextlib import aclosing
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from chatproxy.errors import ChatError
from chatproxy.store.records import Message, Record, Session
from chatproxy.web.api.sessions import SESSION, session_of
from chatproxy.web.held import HELD, PIECE
from chatproxy.web.keys import CHAT
from chatproxy.web.operation import JSON, operation
from chatproxy.web.security import owner
from chatproxy.web.sse import abort

routes: Final = web.RouteTableDef()


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
    chat, held = request.app[CHAT], request.app[HELD]
    session = chat.with_activity(await session_of(request))
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{form.media_type}; charset=utf-8",
            "Content-Disposition": disposition(session.title or "conversation", form.ending),
        }
    )
    await response.prepare(request)
    waiting = bytearray(form.before(session))
    between = b""
    async with aclosing(chat.transcript.conversation(session, owner(request))) as messages:
        try:
            async for message in messages:
                waiting += between + form.message(message)
                between = form.between
                del message  # which may be long, and the client slow
                if len(waiting) >= PIECE:
                    await held.write(request, response, waiting)
                    waiting = bytearray()
            await response.write(waiting + form.after)
        except ChatError:  # such as a deletion; only a broken connection shows that this is not all
            abort(request)
    return response


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
