"""Sessions: to make, list, change, read, take away."""

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from chatproxy.prompt.request import ModelName, SystemPrompt
from chatproxy.store.records import Record, Session
from chatproxy.web.json import Limit, limit, read_json
from chatproxy.web.keys import CHAT, STORE, owner
from chatproxy.web.operation import operation
from chatproxy.web.responses import json_response

routes: Final = web.RouteTableDef()
SESSIONS: Final = "/api/chat/sessions"
SESSION: Final = f"{SESSIONS}/{{sid}}"


class SessionRequest(Struct, frozen=True, omit_defaults=True):
    """In a change, an absent field stays as it is, and null takes the value off."""

    title: Annotated[str, Meta(min_length=1, max_length=500)] | UnsetType | None = UNSET
    model: ModelName | UnsetType | None = UNSET
    system: SystemPrompt | UnsetType | None = UNSET

    def given(self) -> dict[str, str | None]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class SessionPage(Record, frozen=True, kw_only=True):
    """`next` is what to pass as `before` to go on; null at the end."""

    sessions: list[Session]
    next: str | None


PAGE: Final = {
    "limit": Limit,
    "before": Annotated[str, Meta(description="What `next` said in the page before; absent: the first.")],
    "q": Annotated[str, Meta(description="Beginnings of words, of the title or of one message.")],
}


@routes.post(SESSIONS)
@operation(
    "createSession",
    "Create a session. Without a title, its first message names it.",
    tag="sessions",
    body=SessionRequest,
    body_optional=True,
    example={"title": "Rainbows"},
    answers={201: Session},
)
async def create(request: web.Request) -> web.StreamResponse:
    user = owner(request)
    given = (await read_json(request, SessionRequest)).given() if request.can_read_body else {}
    return json_response(await request.app[STORE].create_session(user, **given), status=201)


@routes.get(SESSIONS)
@operation(
    "listSessions",
    "List sessions, most recent activity first.",
    tag="sessions",
    query=PAGE,
    answers={200: SessionPage},
    errors=("invalid", "invalid_cursor"),
)
async def list_all(request: web.Request) -> web.StreamResponse:
    sessions, following = await request.app[STORE].list_sessions(
        owner(request),
        limit=limit(request, default=50),
        before=request.query.get("before") or None,
        q=request.query.get("q") or None,
    )
    return json_response(
        SessionPage(sessions=[_shown(request, session) for session in sessions], next=following)
    )


@routes.get(SESSION)
@operation(
    "getSession",
    "Get a session.",
    tag="sessions",
    answers={200: Session},
)
async def read(request: web.Request) -> web.StreamResponse:
    session = await request.app[STORE].get_session(owner(request), request.match_info["sid"])
    return json_response(_shown(request, session))


@routes.patch(SESSION)
@operation(
    "updateSession",
    "Update a session.",
    tag="sessions",
    body=SessionRequest,
    example={"title": "Rainbows", "model": "auto"},
    answers={200: Session},
)
async def change(request: web.Request) -> web.StreamResponse:
    user, session_id, store = owner(request), request.match_info["sid"], request.app[STORE]
    await store.get_session(user, session_id)
    changes = (await read_json(request, SessionRequest)).given()
    return json_response(_shown(request, await store.update_session(user, session_id, changes)))


@routes.delete(SESSION)
@operation(
    "deleteSession",
    "Delete a session and its messages. A running answer is cancelled first.",
    tag="sessions",
    answers={204: None},
)
async def delete(request: web.Request) -> web.StreamResponse:
    await request.app[CHAT].delete_session(owner(request), request.match_info["sid"])
    return web.Response(status=204)


def _shown(request: web.Request, session: Session) -> Session:
    return request.app[CHAT].with_activity(session)
