"""Sessions: to make, list, change, read, take away."""

from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from chatproxy.chat.request import ModelName
from chatproxy.store.records import Session
from chatproxy.web.bodies import limit, read_json
from chatproxy.web.keys import CONVERSATION, STORE, owner
from chatproxy.web.responses import json_response

routes: Final = web.RouteTableDef()
SESSIONS: Final = "/api/chat/sessions"
SESSION: Final = f"{SESSIONS}/{{sid}}"


class SessionRequest(Struct, frozen=True, omit_defaults=True):
    """In a change, an absent field stays as it is, and null takes the value off."""

    title: Annotated[str, Meta(min_length=1, max_length=500)] | UnsetType | None = UNSET
    model: ModelName | UnsetType | None = UNSET
    system: str | UnsetType | None = UNSET

    def given(self) -> dict[str, str | None]:
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


@routes.post(SESSIONS)
async def create(request: web.Request) -> web.StreamResponse:
    user = owner(request)
    given = (await read_json(request, SessionRequest)).given() if request.can_read_body else {}
    session = await request.app[STORE].create_session(
        user, title=given.get("title"), model=given.get("model"), system=given.get("system")
    )
    return json_response(session, status=201)


@routes.get(SESSIONS)
async def list_all(request: web.Request) -> web.StreamResponse:
    sessions, following = await request.app[STORE].list_sessions(
        owner(request),
        limit=limit(request, default=50),
        before=request.query.get("before") or None,
        q=request.query.get("q") or None,
    )
    return json_response({"sessions": [_shown(request, session) for session in sessions], "next": following})


@routes.get(SESSION)
async def read(request: web.Request) -> web.StreamResponse:
    session = await request.app[STORE].get_session(owner(request), request.match_info["sid"])
    return json_response(_shown(request, session))


@routes.patch(SESSION)
async def change(request: web.Request) -> web.StreamResponse:
    user, session_id, store = owner(request), request.match_info["sid"], request.app[STORE]
    await store.get_session(user, session_id)
    changes = (await read_json(request, SessionRequest)).given()
    return json_response(_shown(request, await store.update_session(user, session_id, changes)))


@routes.delete(SESSION)
async def delete(request: web.Request) -> web.StreamResponse:
    await request.app[CONVERSATION].delete_session(owner(request), request.match_info["sid"])
    return web.Response(status=204)


def _shown(request: web.Request, session: Session) -> Session:
    return request.app[CONVERSATION].with_activity(session)
