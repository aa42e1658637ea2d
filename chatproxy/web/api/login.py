"""Logging in to the page: a code that is good for one login is exchanged for the token.

If there are several, it is the first one. The command prints the page's address with a code, because what is
printed is kept: in a browser's history, in a container's log. There it soon opens nothing.
"""

import hmac
import secrets
from time import monotonic
from typing import Annotated, Final

from aiohttp import web
from msgspec import Meta, Struct

from chatproxy.errors import ChatError
from chatproxy.web.json import json_response
from chatproxy.web.operation import operation
from chatproxy.web.security import GATE

routes: Final = web.RouteTableDef()
CODE_BYTES: Final = 24  # of randomness, so that guesses need not be counted
CODE_LIFETIME: Final = 15 * 60  # seconds
HEADER: Final = "Login-Code"


class Token(Struct):
    """The token, for the `Authorization` of further requests."""

    token: str


class LoginCodes:
    """The code that is good for a login, if there is one; only this process knows it."""

    def __init__(self) -> None:
        self._code = ""
        self._expires = 0.0  # on the monotonic clock

    def create(self) -> str:
        """Return a new code, in place of the one before."""
        self._code = secrets.token_urlsafe(CODE_BYTES)
        self._expires = monotonic() + CODE_LIFETIME
        return self._code

    def redeem(self, code: str) -> bool:
        """Return whether the code is good; it is not good again."""
        given = code.encode(errors="surrogateescape")
        if monotonic() >= self._expires or not hmac.compare_digest(given, self._code.encode()):
            return False
        self._expires = 0.0
        return True


LOGIN_CODES: Final = web.AppKey("LOGIN_CODES", LoginCodes)


def set_up(app: web.Application) -> None:
    """Add the route and the codes, of which there are none until `LoginCodes.create` is called."""
    app[LOGIN_CODES] = LoginCodes()
    app.add_routes(routes)


@routes.post("/api/login")
@operation(
    "logIn",
    "Exchange a one-time code for the token.",
    tag="pages",
    headers={
        HEADER: Annotated[
            str, Meta(min_length=1, max_length=100, description="The code in the page's address.")
        ]
    },
    required=(HEADER,),
    answers={200: Token},
    errors=("unauthorized",),
)
async def log_in(request: web.Request) -> web.StreamResponse:
    """Return the first token. Raises `unauthorized`.

    The code comes in a header, so that no body is read for those who may be strangers.
    """
    tokens = request.app[GATE].tokens
    if not tokens or not request.app[LOGIN_CODES].redeem(request.headers.get(HEADER, "")):
        raise ChatError(
            "unauthorized",
            "This link has been used, or is too old; enter the token, or restart chatproxy for a new link.",
        )
    return json_response(Token(tokens[0].secret))
