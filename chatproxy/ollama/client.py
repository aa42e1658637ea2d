"""Everything asked of Ollama that is not on the token path: which models, what they can, which version.

The one place where aiohttp's client errors become ours.
"""

import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TraceConfig, TraceConnectionReuseconnParams
from msgspec import Struct
from yarl import URL

from chatproxy.errors import ChatError
from chatproxy.ollama.stream import ChatStream, Receive, chat_stream
from chatproxy.ollama.wire import incomplete, invalid, refusal, unavailable

T = TypeVar("T")

ANSWER_TIMEOUT: Final = 10.0  # seconds; these calls compute nothing
MAX_BODY: Final = 16 * 1024 * 1024  # bytes


class ModelDetails(Struct, frozen=True):
    """`context_length` is what the model was trained for."""

    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None
    context_length: int | None = None


class Model(Struct, frozen=True):
    """An installed model, from `/api/tags`. Its capabilities are not there: `show` knows them."""

    name: str
    digest: str | None = None
    size: int | None = None  # bytes
    details: ModelDetails | None = None
    remote_host: str | None = None  # of a model that runs elsewhere
    remote_model: str | None = None

    @property
    def remote(self) -> bool:
        return bool(self.remote_host or self.remote_model)


class Running(Struct, frozen=True):
    """A loaded model, from `/api/ps`; `context_length` is the window in force."""

    name: str
    digest: str | None = None
    size: int | None = None  # bytes
    size_vram: int | None = None  # bytes of it in the GPU's memory; on a machine without one, 0
    context_length: int | None = None


class Details(Struct, frozen=True):
    """What `/api/show` tells of a model, as far as it matters here.

    `window` is the `num_ctx` that it is loaded with, if it sets one; `trained_window` what it was
    trained for. Names with equal `weights` share one runner.
    """

    capabilities: frozenset[str] = frozenset()
    window: int | None = None
    trained_window: int | None = None
    weights: str | None = None


class _Tags(Struct, frozen=True):
    models: list[Model] | None = None


class _Ps(Struct, frozen=True):
    models: list[Running] | None = None


class _Show(Struct, frozen=True):
    capabilities: list[str] | None = None
    parameters: str | None = None
    model_info: dict[str, Any] | None = None
    modelfile: str | None = None


class _Version(Struct, frozen=True):
    version: str | None = None


class Ollama:
    """Ollama at `url`. All calls raise `upstream_…`. Made in a running loop, and to be closed."""

    def __init__(self, url: str, *, api_key: str | None, connect_timeout: float) -> None:
        self._url = URL(url)
        self._api_key = api_key
        self._connect_timeout = connect_timeout
        self._session = _session(api_key, connect_timeout)

    async def tags(self) -> list[Model]:
        return (await self._ask("GET", "tags", _Tags)).models or []

    async def ps(self) -> list[Running]:
        return (await self._ask("GET", "ps", _Ps)).models or []

    async def show(self, name: str) -> Details:
        """Raises `model_not_found`, too."""
        shown = await self._ask("POST", "show", _Show, msgspec.json.encode({"model": name}))
        return Details(
            capabilities=frozenset(shown.capabilities or ()),
            window=_window(shown.parameters or ""),
            trained_window=_trained_window(shown.model_info or {}),
            weights=_weights(shown.modelfile or ""),
        )

    async def version(self) -> str:
        return (await self._ask("GET", "version", _Version)).version or ""

    async def close(self) -> None:
        await self._session.close()

    async def chat(self, body: bytes, receive: Receive) -> ChatStream:
        """The token path to the same Ollama; see `stream.chat_stream`."""
        return await chat_stream(
            self._url, body, receive, api_key=self._api_key, connect_timeout=self._connect_timeout
        )

    async def _ask(self, method: str, call: str, shape: type[T], body: bytes | None = None) -> T:
        try:
            answer = await self._exchange(method, call, body)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._translated(error) from error
        try:
            return msgspec.json.decode(answer, type=shape)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise invalid(f"/api/{call} gave something else than its JSON") from error

    async def _exchange(self, method: str, call: str, body: bytes | None) -> bytes:
        """All these calls only read, so that one that met the end of a kept connection is simply repeated."""
        attempt = SimpleNamespace(reused=False)
        try:
            return await self._exchange_once(method, call, body, attempt)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not attempt.reused:
                raise
            return await self._exchange_once(method, call, body, attempt)

    async def _exchange_once(
        self, method: str, call: str, body: bytes | None, attempt: SimpleNamespace
    ) -> bytes:
        async with self._session.request(
            method, self._url / "api" / call, data=body, allow_redirects=False, trace_request_ctx=attempt
        ) as response:
            answer = await _bounded(response)
            if response.status != 200:
                raise refusal(response.status, answer)
            return answer

    def _translated(self, error: Exception) -> ChatError:
        match error:
            case aiohttp.ClientConnectionError():  # connecting that took too long is one of these
                return unavailable(self._url)
            case TimeoutError():
                return ChatError(
                    "upstream_timeout",
                    f"Ollama did not answer within {ANSWER_TIMEOUT:g} s; look into its log, and try again.",
                )
            case aiohttp.ClientPayloadError():
                return incomplete()
            case _:
                return invalid("it is not HTTP")


def _session(api_key: str | None, connect_timeout: float) -> ClientSession:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "chatproxy"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    reuse = TraceConfig()
    reuse.on_connection_reuseconn.append(_note_reuse)
    return ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        auto_decompress=False,
        timeout=ClientTimeout(total=connect_timeout + ANSWER_TIMEOUT, connect=connect_timeout),
        trace_configs=[reuse],
    )


async def _note_reuse(
    _session: ClientSession, context: SimpleNamespace, _: TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.reused = True


async def _bounded(response: ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_BODY:
            raise invalid(f"it is longer than {MAX_BODY // 1024**2} MiB")
    return bytes(body)


def _window(parameters: str) -> int | None:
    """`parameters` has a line for each, its name and its value apart by spaces."""
    found = re.search(r"^num_ctx\s+([0-9]{1,15})\s*$", parameters, re.MULTILINE)
    return int(found[1]) if found else None


def _trained_window(model_info: Mapping[str, object]) -> int | None:
    length = model_info.get(f"{model_info.get('general.architecture')}.context_length")
    return length if isinstance(length, int) else None


def _weights(modelfile: str) -> str | None:
    """The blob of the first FROM that names one; its folder differs from machine to machine."""
    found = re.search(r"^FROM .*\b(sha256-[0-9a-f]{64})\s*$", modelfile, re.MULTILINE)
    return found[1] if found else None
