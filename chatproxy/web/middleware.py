"""Around every request: its id, who may make it, and whatever goes wrong as API.md's JSON."""

import logging
import re
import secrets
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from chatproxy import log
from chatproxy.config import Config
from chatproxy.errors import ChatError, internal
from chatproxy.web.access import CREDENTIALS, HOST, Access, spared
from chatproxy.web.json import error_response
from chatproxy.web.security import Hosts

logger: Final = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-Id"
# What aiohttp-cors repeats in headers and sentences.
ECHOED: Final = ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
_FORM: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
# Unless a response says otherwise of itself: it is what it says it is, no page, and leads nowhere.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Gate:
    """What a request has to pass, in this order, before anything looks at what it wants."""

    def __init__(self, app: web.Application, config: Config) -> None:
        self._hosts = Hosts(config)
        self._access = Access(config)
        self._spared = spared(app)

    def check(self, request: web.Request) -> None:
        """Raises `malformed`, `host_not_allowed`, `origin_not_allowed`, `unauthorized`,
        `unsupported_media_type`."""
        for name in ECHOED:
            if not request.headers.get(name, "").isascii():  # nor could an answer repeat it
                raise ChatError("malformed", f"{name} has to be plain ASCII; send it as browsers do.")
        exempt = self._spared.get(request.match_info.route, frozenset())
        if HOST not in exempt:
            self._hosts.check_host(request)
        self._hosts.check_origin(request)
        if CREDENTIALS not in exempt:
            self._access.check(request)
        if any(each.lower() != "identity" for each in request.headers.getall("Content-Encoding", ())):
            raise ChatError("unsupported_media_type", "Send the body uncompressed, without Content-Encoding.")


GATE: Final = web.AppKey("GATE", Gate)


def set_up(app: web.Application, config: Config) -> None:
    """To be called when all routes are there. Raises StartError."""
    app[GATE] = Gate(app, config)
    app.on_response_prepare.append(add_headers)


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    log.request_id.set(_request_id(request))
    try:
        request.app[GATE].check(request)
        return await handler(request)
    except ChatError as error:
        return error_response(error)
    except web.HTTPException as error:
        return await _told(request, error)
    except ConnectionError:
        return web.Response(status=499)  # the client has left, nobody will see this
    except Exception:
        logger.exception("a request failed by a fault of chatproxy's own")
        return error_response(internal())


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if request_id := log.request_id.get():  # else a host application answered before it came here
        response.headers[REQUEST_ID] = request_id
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)


def refusal(error: ChatError) -> web.Response:
    """For a request that no application sees, and `add_headers` not either; the connection ends with it."""
    response = error_response(error)
    response.headers.update(HEADERS)
    response.force_close()
    return response


def _request_id(request: web.Request) -> str:
    """The client's own, so that its log and ours can be laid side by side, or a new one."""
    given = request.headers.get(REQUEST_ID, "")
    return given if _FORM.fullmatch(given) else secrets.token_hex(8)


async def _told(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own refusals, and those of aiohttp-cors, which answers preflights alone."""
    if error.status == 404:
        return _not_found(request)
    if error.status == 405:
        return await unknown(request)
    if error.status == 403:
        origin = request.headers.get("Origin", "this origin")
        sentence = f"{error.text}; to let pages from {origin[:200]} call, name it in CORS_ORIGINS."
        return error_response(ChatError("origin_not_allowed", sentence))
    raise error


def _not_found(request: web.Request) -> web.Response:
    return error_response(
        ChatError("not_found", f"There is nothing at {request.path[:200]}; check the address.")
    )


def _method_not_allowed(request: web.Request, allowed: set[str]) -> web.Response:
    methods = ", ".join(sorted(allowed))
    response = error_response(
        ChatError("method_not_allowed", f"{request.method[:20]} is not possible here; use {methods}.")
    )
    response.headers["Allow"] = methods
    return response


async def unknown(request: web.Request) -> web.Response:
    """The route of last resort: errors about an address carry the CORS headers too, and aiohttp-cors
    gives them to known routes only."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if not any(route.handler is unknown for route in resource):
            _, methods = await resource.resolve(request)
            allowed |= methods
    return _method_not_allowed(request, allowed) if allowed else _not_found(request)
