"""What surrounds every request: its id, the security checks, errors in the API's own form, and headers."""

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
from chatproxy.web import cors
from chatproxy.web.faces.dialects import CHATPROXY, dialect_of
from chatproxy.web.faces.passing.routes import refusal_of_management
from chatproxy.web.held import HELD, Held
from chatproxy.web.keys import CHAT, METRICS
from chatproxy.web.security import CONTINUE, GATE, Gate

logger: Final = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-Id"
_REQUEST_ID_FORM: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
# Defaults that a response can override: kept by no cache, not a page, for no other site to load without CORS,
# no referrer, no content sniffing.
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def set_up(app: web.Application, config: Config) -> None:
    """Install the gate and the headers. Call it after all routes have been added. Raises StartError."""
    app[GATE] = Gate(app, config)
    app[HELD] = Held()
    app.on_response_prepare.append(add_headers)
    for route in app.router.routes():
        route.handle_expect_header = _expect  # type: ignore[method-assign]


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Check the request, call its handler, and answer every error as the API of its path does."""
    # The client's own id is kept, so that its log can be matched with ours.
    given = request.headers.get(REQUEST_ID, "")
    log.request_id.set(given if _REQUEST_ID_FORM.fullmatch(given) else secrets.token_hex(8))
    try:
        response = await _respond(request, handler)
        if request.app[CHAT].draining and not response.prepared:
            response.force_close()  # what balances connections sends the next request elsewhere
        return await request.app[HELD].respond(request, response)
    except ConnectionError as error:
        error.__traceback__ = None  # aiohttp keeps the error, and with it all that the handler has held
        return web.Response(status=499)  # the client has left and will not see this


async def _respond(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        request.app[GATE].check(request)
        return await handler(request)
    except ChatError as error:
        return _refused(request, error)
    except web.HTTPException as error:
        return await _http_error(request, error)
    except ConnectionError:
        raise
    except Exception:
        logger.exception("a request failed by a fault of chatproxy's own")
        return _refused(request, internal())


def _refused(request: web.Request, error: ChatError) -> web.Response:
    """Return an error as the API of the path has it. Log and count it, without what the request says."""
    resource = request.match_info.route.resource
    log.event(
        logger,
        logging.INFO,
        "request refused",
        method=request.method,
        path=resource.canonical if resource else "",
        status=error.status,
        code=error.code,
    )
    if "assistantMessageId" not in error.details:  # an answer that failed was counted at its end
        request.app[METRICS].refused(error.code)
    return dialect_of(request).error_response(error)


async def _expect(request: web.Request) -> None:
    """Ask for the body if the client waits for that.

    aiohttp calls it before the guard, which refuses all other expectations. Its own handler would refuse
    them before the host is checked, and fails if it cannot quote them.
    """
    if request.headers["Expect"].lower() == CONTINUE and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # no byte of the response has been sent


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the request id and the security headers to a response; a signal handler."""
    if request_id := log.request_id.get():  # empty if a host application answered before the guard ran
        response.headers[REQUEST_ID] = request_id
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)


def refusal(error: ChatError) -> web.Response:
    """Return the response to a request that reaches neither the application nor `add_headers`.

    It closes the connection.
    """
    response = CHATPROXY.error_response(error)
    response.headers.update(SECURITY_HEADERS)
    response.force_close()
    return response


async def unknown(request: web.Request) -> web.Response:
    """Answer 404 or 405, or 403 for what is managed elsewhere; the catch-all route.

    aiohttp would answer without it, but aiohttp-cors adds its headers to the responses of routes only.
    """
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if not any(route.handler is unknown for route in resource):
            allowed |= (await resource.resolve(request))[1]
    if error := refusal_of_management(request):
        return _refused(request, error)
    if not allowed:
        return _not_found(request)
    methods = ", ".join(sorted(allowed))
    response = _refused(
        request,
        ChatError("method_not_allowed", f"{request.method[:20]} is not possible here; use {methods}."),
    )
    response.headers["Allow"] = methods
    return response


async def _http_error(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """Translate what aiohttp raises, and aiohttp-cors, which refuses preflights."""
    if error.status == 404:
        return _not_found(request)
    if error.status == 405:
        return await unknown(request)
    if error.status == 403:
        return _refused(request, cors.refusal(request))
    raise error


def _not_found(request: web.Request) -> web.Response:
    return _refused(
        request, ChatError("not_found", f"There is nothing at {request.path[:200]}; check the address.")
    )
