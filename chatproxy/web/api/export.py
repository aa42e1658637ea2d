"""Export of a session as a download, written page by page as it is read."""

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
from chatproxy.web.keys import CHAT
from chatproxy.web.operation import JSON, operation

routes: Final = web.RouteTableDef()

Pages = AsyncGenerator[list[Message], None]
Text = AsyncGenerator[str, None]


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
    pages = chat.transcript.pages(session)
    async with aclosing(pages), aclosing(written(session, pages)) as text:
        try:
            async for part in text:
                await response.write(part.encode())
        except ChatError:  # such as a deletion; only a broken connection shows that this is not all
            if request.transport is not None:
                request.transport.abort()
    return response


async def as_json(session: Session, pages: Pages) -> Text:
    """Yield `{"session": session, "messages": [message, …]}`, oldest first."""
    yield f'{{"session":{_json(session)},"messages":['
    between = ""
    async for page in pages:
        if not page:  # the rest was replaced while it was read
            continue
        yield between + ",".join(_json(message) for message in page)
        between = ","
    yield "]}\n"


async def as_markdown(session: Session, pages: Pages) -> Text:
    """Yield a heading and the text of each message, oldest first."""
    yield f"# {_one_line(session.title or 'Conversation')}\n"
    async for page in pages:
        for message in page:
            ended = "" if message.status == "complete" else f" ({message.status})"
            who = "You" if message.role == "user" else f"{message.model or 'Assistant'}{ended}"
            yield f"\n## {who}\n\n{message.content}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def disposition(title: str, ending: str) -> str:
    """Return a Content-Disposition with a file name for any system, and the real title (RFC 6266)."""
    name = _one_line(re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', " ", title))[:80].strip(" .") or "conversation"
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}.{ending}\"; filename*=UTF-8''{quote(f'{name}.{ending}')}"


FORMATS: Final[dict[str, tuple[str, str, Callable[[Session, Pages], Text]]]] = {
    "json": ("application/json", "json", as_json),
    "markdown": ("text/markdown", "md", as_markdown),
}
