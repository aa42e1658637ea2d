"""Sessions: create, list, get, update, delete."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, Struct, UnsetType

from chatproxy.errors import ChatError
from chatproxy.models import selection
from chatproxy.models.selection import Need
from chatproxy.prompt.request import ModelName, Options, SystemPrompt, check_options
from chatproxy.store.records import Hit, Record, Session, SessionItem, Think
from chatproxy.web.json import MAX_QUERY, Limit, json_response, limit, read_json, search_text
from chatproxy.web.keys import CHAT, CONFIG, MODELS, STORE
from chatproxy.web.operation import operation
from chatproxy.web.security import owner
from chatproxy.web.sse import while_present

routes: Final = web.RouteTableDef()
SESSIONS: Final = "/api/chat/sessions"
SESSION: Final = f"{SESSIONS}/{{sid}}"
MAX_BODY: Final = 2 * 1024 * 1024  # bytes; JSON's escapes make up to six bytes of one
SETTING_ERRORS: Final = ("model_not_found", "no_suitable_model", "option_not_allowed")
MAX_WORDS: Final = 32  # of a search; each is looked up as a beginning


class SessionRequest(Struct, frozen=True, omit_defaults=True):
    """The fields of a new session, or of an update, where an absent field stays and null removes a value."""

    title: Annotated[str, Meta(min_length=1, max_length=500)] | UnsetType | None = UNSET
    model: ModelName | UnsetType | None = UNSET
    system: SystemPrompt | UnsetType | None = UNSET
    think: Think | UnsetType | None = UNSET
    options: Options | UnsetType | None = UNSET
    pinned: bool | UnsetType | None = UNSET

    def given(self) -> dict[str, Any]:
        """Return the fields that are present."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


class SessionPage(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Sessions, most recent activity first. `next` is what to pass as `before` for more, null at the end."""

    sessions: list[SessionItem]
    next: str | None
    hits: Annotated[
        list[Hit] | UnsetType, Meta(description="Where each session was found; absent without `q`.")
    ] = UNSET


PAGE: Final = {
    "limit": Limit,
    "before": Annotated[
        str, Meta(max_length=64, description="`next` of the previous page. Absent: the first page.")
    ],
    "pinned": Annotated[
        Literal["true"], Meta(description="Only those that are pinned; not together with `q`.")
    ],
    "q": Annotated[
        str,
        Meta(
            max_length=MAX_QUERY,
            description=f"Up to {MAX_WORDS} beginnings of words, all in the title or all in one message.",
        ),
    ],
}


@routes.post(SESSIONS)
@operation(
    "createSession",
    "Create a session. Without a title, its first message provides one.",
    tag="sessions",
    body=SessionRequest,
    body_optional=True,
    example={"title": "Rainbows"},
    answers={201: Session},
    errors=SETTING_ERRORS,
)
async def create_session(request: web.Request) -> web.StreamResponse:
    user = owner(request)
    given = (await read_json(request, SessionRequest, most=MAX_BODY)).given() if request.can_read_body else {}
    await _check(request, given)
    return json_response(await request.app[STORE].sessions.create(user, **given), status=201)


@routes.get(SESSIONS)
@operation(
    "listSessions",
    "List sessions, most recent activity first.",
    tag="sessions",
    query=PAGE,
    answers={200: SessionPage},
    errors=("invalid", "invalid_cursor"),
)
async def list_sessions(request: web.Request) -> web.StreamResponse:
    user, chat, sessions = owner(request), request.app[CHAT], request.app[STORE].sessions
    size, before = limit(request, default=50), request.query.get("before") or None
    q, pinned = _search_words(request), _only_pinned(request)
    hits: list[Hit] | UnsetType = UNSET
    if q and q.strip():
        searching = sessions.search(user, limit=size, before=before, q=q)
        found, following, hits = await while_present(request, searching)
    else:
        listing = sessions.page(user, limit=size, before=before, pinned=pinned)
        found, following = await while_present(request, listing)
    active = await chat.with_activities(found)
    return json_response(SessionPage(sessions=active, next=following, hits=hits))


@routes.get(SESSION)
@operation(
    "getSession",
    "Get a session.",
    tag="sessions",
    answers={200: Session},
)
async def get_session(request: web.Request) -> web.StreamResponse:
    session = await session_of(request)
    return json_response(await request.app[CHAT].with_activity(session))


@routes.patch(SESSION)
@operation(
    "updateSession",
    "Update a session.",
    tag="sessions",
    body=SessionRequest,
    example={"title": "Rainbows", "model": "auto"},
    answers={200: Session},
    errors=SETTING_ERRORS,
)
async def update_session(request: web.Request) -> web.StreamResponse:
    session = await session_of(request)
    changes = (await read_json(request, SessionRequest, most=MAX_BODY)).given()
    await _check(request, changes)
    session = await request.app[STORE].sessions.update(session, changes)
    return json_response(await request.app[CHAT].with_activity(session))


@routes.delete(SESSION)
@operation(
    "deleteSession",
    "Delete a session and its messages. A running answer is cancelled first.",
    tag="sessions",
    answers={204: None},
)
async def delete_session(request: web.Request) -> web.StreamResponse:
    await request.app[CHAT].delete_session(await session_of(request))
    return web.Response(status=204)


async def session_of(request: web.Request) -> Session:
    """Return the session that the path names; raise `not_found` if the user has no such session."""
    return await request.app[STORE].sessions.get(owner(request), request.match_info["sid"])


async def _check(request: web.Request, given: Mapping[str, Any]) -> None:
    """Raise `option_not_allowed`, or `model_not_found` or `no_suitable_model` for a model that cannot answer.

    Without Ollama's list, a name is trusted.
    """
    check_options(given.get("options"), request.app[CONFIG].allowed_options)
    name = given.get("model")
    if name is not None and selection.named(name, None, selection.AUTO):
        models = request.app[MODELS]
        await selection.check_named(await models.find(name), Need(), models)


def _only_pinned(request: web.Request) -> bool:
    """Return whether `?pinned=true`. Raises `invalid` for any other value, and beside `q`."""
    given = request.query.get("pinned")
    if given not in (None, "true"):
        raise ChatError("invalid", "pinned can only be true; leave it out for all sessions.", field="pinned")
    if given and request.query.get("q"):
        raise ChatError("invalid", "q searches all sessions; leave out pinned.", field="pinned")
    return given is not None


def _search_words(request: web.Request) -> str | None:
    """Return `?q=`, or None if it is absent or empty. Raises `invalid`."""
    text = search_text(request)
    if len(text.split()) > MAX_WORDS:
        raise ChatError("invalid", f"q has more than {MAX_WORDS} words; search for fewer.", field="q")
    return text or None
