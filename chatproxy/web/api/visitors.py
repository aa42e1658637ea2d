"""Visitors: those who open a page that may call this server, without a name, each apart from all others."""

from typing import Final

from aiohttp import web

from chatproxy.errors import ChatError
from chatproxy.store.records import Record
from chatproxy.web.json import json_response
from chatproxy.web.keys import CONFIG
from chatproxy.web.operation import operation
from chatproxy.web.security import GATE

routes: Final = web.RouteTableDef()
DAY: Final = 86_400  # seconds


class VisitorToken(Record, frozen=True, kw_only=True):
    """A visitor's token, for the `Authorization` of further requests, and in how many seconds it expires."""

    token: str
    expires_in: int


@routes.post("/api/chat/visitors")
@operation(
    "createVisitor",
    "Get a token for a new visitor, or with a visitor's token a later one for the same visitor.",
    tag="visitors",
    answers={201: VisitorToken, 200: VisitorToken},
    errors=("unauthorized", "not_found"),
)
async def create_visitor(request: web.Request) -> web.StreamResponse:
    """Return a token. Nothing is stored of a visitor who makes nothing; no body is read of strangers."""
    gate = request.app[GATE]
    if gate.signed is None or gate.visitors is None:
        raise ChatError(
            "not_found", "There are no visitors here; to let pages ask for their tokens, set VISITORS=true."
        )
    visitor = gate.visitor(request)
    if visitor is None:
        gate.visitors.admit_new(gate.address(request))
    lifetime = request.app[CONFIG].visitor_days * DAY
    token = VisitorToken(token=gate.signed.visitor(visitor, lifetime), expires_in=lifetime)
    return json_response(token, status=200 if visitor else 201)
