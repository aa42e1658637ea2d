"""Export of a session as a download, written message by message as it is read."""

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from aiohttp import web
from msgspec import Meta

from chatproxy.errors import ChatError
from chatproxy.store.records import Message, Record, Session
from chatproxy.web.api.sessions import SESSION, session_of
from chatproxy.web.held import HELD, PIECE
from chatproxy.web.keys import CHAT
from chatproxy.web.operation import JSON, operation

routes: Final = web.RouteTableDef()

Messages = AsyncGenerator[Message, None]
Parts = AsyncGenerator[bytes, None]


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
    media_type, ending, written = FORMATS[wanted]
    chat = request.app[CHAT]
    session = chat.with_activity(await session_of(request))
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{media_type}; charset=utf-8",
            "Content-Disposition": disposition(session.title or "conversation", ending),
        }
    )
    await response.prepare(request)
    messages = chat.transcript.conversation(session)
    async with aclosing(messages), aclosing(written(session, messages)) as parts:
        try:
            waiting = bytearray()
            async for part in parts:
                waiting += part
                del part  # which may be long, and the client slow
                if len(waiting) >= PIECE:
                    await request.app[HELD].write(request, response, waiting)
                    waiting = bytearray()
            await response.write(waiting)
        except ChatError:  # such as a deletion; only a broken connection shows that this is not all
            if request.transport is not None:
                request.transport.abort()
    return response


async def as_json(session: Session, messages: Messages) -> Parts:
    """Yield `{"session": session, "messages": [message, …]}`, oldest first."""
    yield b'{"session":' + msgspec.json.encode(session) + b',"messages":['
    between = b""
    async for message in messages:
        yield between + msgspec.json.encode(message)
        between = b","
    yield b"]}\n"


async def as_markdown(session: Session, messages: Messages) -> Parts:
    """Yield a heading and the text of each message, oldest first."""
    yield f"# {_one_line(session.title or 'Conversation')}\n".encode()
    async for message in messages:
        ended = "" if message.status == "complete" else f" ({message.status})"
        who = "You" if message.role == "user" else f"{message.model or 'Assistant'}{ended}"
        yield f"\n## {who}\n\n{message.content}\n".encode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def disposition(title: str, ending: str) -> str:
    """Return a Content-Disposition with a file name for any system, and the real title (RFC 6266)."""
    name = _one_line(re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', " ", title))[:80].strip(" .") or "conversation"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(f'{name}.{ending}')}"


FORMATS: Final[dict[str, tuple[str, str, Callable[[Session, Messages], Parts]]]] = {
    "json": ("application/json", "json", as_json),
    "markdown": ("text/markdown", "md", as_markdown),
}
