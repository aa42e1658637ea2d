"""Values as JSON responses."""

from collections.abc import Mapping

import msgspec
from aiohttp import web

from chatproxy.errors import ChatError


def json_response(
    value: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers=headers, content_type="application/json"
    )


def error_response(error: ChatError) -> web.Response:
    """API.md's section "Errors"."""
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(error.body, status=error.status, headers=headers)
