"""aiohttp's protocol: what it refuses before any handler or middleware, it refuses in API.md's JSON, too."""

from aiohttp import web

from chatproxy.errors import ChatError
from chatproxy.web.middleware import refusal


class Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Logs it. Raises ConnectionError where the answer has begun."""
        response = super().handle_error(request, status, exc, message)
        return _malformed() if status == 400 else response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """417 is for an `Expect` that aiohttp does not know."""
        answer = _malformed() if resp.status == 417 else resp
        return await super().finish_response(request, answer, start_time)


def _malformed() -> web.Response:
    """Quotes nothing: a token may be in what could not be read."""
    sentence = "This cannot be read as an HTTP request; check its first line, its headers and its chunks."
    return refusal(ChatError("malformed", sentence))
