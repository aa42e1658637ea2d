"""Calls to Ollama other than the token path: which models there are, what they can do, vectors, its version.

The errors of aiohttp's client become chatproxy's here, and nowhere else.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import SimpleNamespace
from typing import Annotated, Final, Self, TypeVar

import aiohttp
import msgspec
from aiohttp import ClientResponse, ClientSession, ClientTimeout, TraceConfig, TraceConnectionReuseconnParams
from msgspec import Raw, Struct, field
from msgspec.structs import astuple, fields
from yarl import URL

from chatproxy.config import Config
from chatproxy.errors import ChatError
from chatproxy.ollama.authorities import Fault
from chatproxy.ollama.exchange import Endpoint, Exchange, Receiver
from chatproxy.ollama.lenient import DECODE_ERRORS, STRICT, Size, Tokens, decode
from chatproxy.ollama.stream import ChatStream
from chatproxy.ollama.wire import (
    NOT_HTTP,
    RefusalError,
    error_in,
    refusal,
    upstream_incomplete,
    upstream_invalid,
)
from chatproxy.text.reasoning import ALONE, TAGS

T = TypeVar("T", bound=Struct)

RESPONSE_TIMEOUT: Final = 10.0  # seconds for all calls that compute nothing
EMBED_TIMEOUT: Final = 120.0  # seconds for vectors, whose model may have to be loaded first
CONNECTIONS: Final = 8  # at once; the callers ask for few things at a time
MAX_BODY: Final = 2 * 1024 * 1024  # bytes; 5,000 models take as much
MAX_VECTORS: Final = 8 * 1024 * 1024  # bytes; of 4,096 numbers each, 160 vectors take as much
# Families of which Ollama produces one answer at a time, whatever OLLAMA_NUM_PARALLEL is (server/sched.go).
_ONE_AT_A_TIME: Final = re.compile(
    "mllama|qwen3vl(moe)?|qwen35(moe)?|qwen3next|lfm2(moe)?|nemotron_h(_moe|_omni)?"
)
SHARED: Final = 0.05  # of the weights of a mixture of experts, roughly: what belongs to no expert
SYSTEM_SHOWN: Final = 500  # characters of a model's system prompt


class ModelDetails(Struct, frozen=True):
    """The `details` of a model in `/api/tags`; `context_length` is what it was trained for, in tokens."""

    format: str | None = None
    family: str | None = None
    parameter_size: str | None = None
    quantization_level: str | None = None
    context_length: Tokens | None = None


class Model(Struct, frozen=True):
    """An installed model (Ollama API, "List local models"); `show` adds what it can do."""

    name: str
    digest: str | None = None
    size: Size | None = None  # bytes
    details: ModelDetails | None = None
    remote_host: str | None = None  # set if the model runs on another machine
    remote_model: str | None = None

    @property
    def remote(self) -> bool:
        """Whether the model runs on another machine."""
        return bool(self.remote_host or self.remote_model)

    @property
    def one_at_a_time(self) -> bool:
        """Whether Ollama does not produce several of its answers at once, even if it is told to."""
        if self.details is None:
            return False
        return self.details.format == "safetensors" or bool(
            _ONE_AT_A_TIME.fullmatch(self.details.family or "")
        )


class RunningModel(Struct, frozen=True):
    """A loaded model (Ollama API, "List running models"); `context_length` is the window in force."""

    name: str
    digest: str | None = None
    size: Size | None = None  # bytes
    size_vram: Size | None = None  # bytes of `size` in GPU memory; 0 on a machine without a GPU
    context_length: Tokens | None = None


class Details(Struct, frozen=True):
    """What `/api/show` adds about a model (Ollama API, "Show model information").

    `window` is the `num_ctx` that the model sets, if any, and `trained_window` the one that it was trained
    for, both in tokens. Names with equal `weights` share one runner. A token needs the share `active` of the
    weights.

    `system` is the beginning of the model's own system prompt, `parent` the model that it was made from here,
    and `basename` what its maker calls it. `has_examples` says whether it begins with messages of its own,
    and `continues` whether its template is the prompt and nothing else. One that `begins_inside` has the
    opening tag of the thinking at the end of its template.
    """

    capabilities: frozenset[str] = frozenset()
    window: int | None = None
    trained_window: int | None = None
    weights: str | None = None
    active: float = 1.0
    family: str = ""
    basename: str = ""
    system: str = ""
    parent: str = ""
    has_examples: bool = False
    continues: bool = False
    begins_inside: bool = False


class _Models(Struct, frozen=True):
    models: Annotated[list[Raw] | None, STRICT] = None


class _Entries(Struct, frozen=True):
    models: list[Raw] | None = None
    data: list[Raw] | None = None  # OpenAI's


class _ShownDetails(Struct, frozen=True):
    family: str | None = None
    parent_model: str | None = None


class _Show(Struct, frozen=True):
    capabilities: list[str] | None = None
    parameters: str | None = None
    model_info: Raw = Raw(b"{}")  # which may list every tensor
    modelfile: str | None = None
    template: str | None = None
    system: str | None = None
    messages: list[Raw] | None = None
    details: _ShownDetails | None = None


class _ModelInfo(Struct, frozen=True):
    architecture: str | None = field(name="general.architecture", default=None)
    basename: str | None = field(name="general.basename", default=None)


class _Architecture(Struct, frozen=True):
    """What `model_info` says under names that begin with the architecture."""

    context_length: Tokens | None = None
    expert_count: Tokens | None = None
    expert_used_count: Tokens | None = None

    @property
    def active(self) -> float:
        """The share of the weights that a token needs: that of its experts, and what all tokens share."""
        if not self.expert_count or not self.expert_used_count:
            return 1.0
        return min(1.0, self.expert_used_count / self.expert_count + SHARED)


class _Version(Struct, frozen=True):
    version: str | None = None


class _Embedded(Struct, frozen=True):
    embeddings: Annotated[list[list[float]], STRICT]


class Ollama:
    """A client of the Ollama at `url`. Create it in a running event loop, and close it.

    Every call raises `upstream_…` errors. All requests carry the `headers`, which come from the settings that
    `credentials` name, for what is said if they are refused; `connect_timeout` is in seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        connect_timeout: float,
        credentials: Sequence[str] = (),
    ) -> None:
        self._endpoint = Endpoint(
            URL(url), headers=headers, connect_timeout=connect_timeout, credentials=credentials
        )
        self._session = _open_session(self._endpoint)

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return a client of the Ollama that the settings name."""
        return cls(
            config.ollama_url,
            headers=config.headers_for_ollama,
            connect_timeout=config.connect_timeout,
            credentials=config.credentials_for_ollama,
        )

    @property
    def heard_at(self) -> float:
        """When bytes of an answer, or of what is passed on, last came from it, on `clock`."""
        return self._endpoint.heard.at

    @property
    def faults(self) -> Sequence[Fault]:
        """What is wrong with the variables that name authorities, if they count for it."""
        return self._endpoint.trust.faults if self._endpoint.trust else ()

    async def tags(self) -> list[Model]:
        """Return the installed models."""
        return _readable((await self._call("GET", "api/tags", _Models)).models or [], Model)

    async def ps(self) -> list[RunningModel]:
        """Return the loaded models."""
        return _readable((await self._call("GET", "api/ps", _Models)).models or [], RunningModel)

    async def entries(self, path: str) -> list[Raw]:
        """Return the entries of any list of models as they are: of /api/tags, /api/ps or /v1/models."""
        found = await self._call("GET", path.removeprefix("/"), _Entries)
        return found.models or found.data or []

    async def show(self, name: str) -> Details:
        """Return what a model can do. Also raises `model_not_found`."""
        found = await self._call("POST", "api/show", _Show, msgspec.json.encode({"model": name}))
        info, architecture = _model_info(found.model_info)
        details = found.details or _ShownDetails()
        modelfile = found.modelfile or ""
        return Details(
            capabilities=frozenset(found.capabilities or ()),
            window=_num_ctx(found.parameters or ""),
            trained_window=architecture.context_length,
            weights=_weights(modelfile),
            active=architecture.active,
            family=details.family or "",
            basename=info.basename or "",
            system=(found.system or "").strip()[:SYSTEM_SHOWN],
            parent=_parent(details.parent_model or ""),
            has_examples=bool(found.messages),
            continues=_is_bare(found.template or "") and not _has_renderer(modelfile),
            begins_inside=_begins_inside(found.template or "") and not _has_renderer(modelfile),
        )

    async def version(self) -> str:
        """Return Ollama's version, such as "0.11.4"; empty if a server that lists models has none."""
        try:
            return (await self._call("GET", "api/version", _Version)).version or ""
        except RefusalError as error:
            if not error.lacks_path:
                raise
        await self.tags()
        return ""

    async def embed(self, model: str, texts: Sequence[str], *, keep_alive: str) -> list[list[float]]:
        """Return a vector for each text, all of one length (Ollama API, "Generate embeddings").

        Of a text that is too long for the model, the beginning counts. The model stays loaded for
        `keep_alive`, such as "5m". Also raises `model_not_found`.
        """
        body = {"model": model, "input": texts, "truncate": True, "keep_alive": keep_alive}
        found = await self._call("POST", "api/embed", _Embedded, msgspec.json.encode(body), MAX_VECTORS)
        vectors = found.embeddings
        if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) > 1 or [] in vectors:
            raise upstream_invalid("/api/embed did not give a vector for each text")
        return vectors

    async def close(self) -> None:
        """Close all kept connections; open chat streams are not affected."""
        await self._session.close()

    def chat(self, body: bytes) -> ChatStream:
        """Ask for an answer, and return its stream."""
        return ChatStream(self._endpoint, body)

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | bytearray,
        receiver: Receiver,
    ) -> Exchange:
        """Make any request; see `exchange.Endpoint.exchange`."""
        return await self._endpoint.exchange(method, target, headers, body, receiver)

    async def _call(
        self, method: str, path: str, kind: type[T], body: bytes | None = None, most: int = MAX_BODY
    ) -> T:
        """Return what a response of at most `most` bytes holds."""
        try:
            content = await self._exchange(method, path, body, most)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._translate_error(path, error) from error
        if words := error_in(content, self._endpoint.login):
            raise upstream_invalid(f"/{path} gave an error under status 200 ({words})")
        try:
            return decode(content, kind)
        except DECODE_ERRORS as error:
            raise upstream_invalid(f"/{path} gave something else than its JSON") from error

    async def _exchange(self, method: str, path: str, body: bytes | None, most: int) -> bytes:
        """Make a request; repeat it once if it used a kept connection that turns out to be closed.

        All these calls are reads, so a repetition changes nothing.
        """
        attempt = SimpleNamespace(reused=False)
        try:
            return await self._exchange_once(method, path, body, most, attempt)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if not attempt.reused:
                raise
            return await self._exchange_once(method, path, body, most, attempt)

    async def _exchange_once(
        self, method: str, path: str, body: bytes | None, most: int, attempt: SimpleNamespace
    ) -> bytes:
        connect = self._endpoint.connect_timeout
        async with self._session.request(
            method,
            self._endpoint.url.joinpath(*path.split("/")),
            data=body,
            allow_redirects=False,
            timeout=ClientTimeout(total=connect + _seconds(path), connect=connect),
            trace_request_ctx=attempt,
        ) as response:
            content = await _read_body(response, most)
            if response.status != 200:
                raise refusal(response.status, content, self._endpoint.login)
            return content

    def _translate_error(self, path: str, error: Exception) -> ChatError:
        match error:
            case aiohttp.ServerDisconnectedError():
                return self._endpoint.unavailable(ConnectionResetError())
            case aiohttp.ClientConnectionError():  # includes connect timeouts
                return self._endpoint.unavailable(error)
            case TimeoutError():
                return ChatError(
                    "upstream_timeout",
                    f"Ollama did not answer within {_seconds(path):g} s; look into its log, and try again.",
                )
            case aiohttp.ClientPayloadError():
                return upstream_incomplete()
            case _:
                return upstream_invalid(NOT_HTTP)


def _seconds(path: str) -> float:
    """Return how long the call may take."""
    return EMBED_TIMEOUT if path == "api/embed" else RESPONSE_TIMEOUT


def _open_session(endpoint: Endpoint) -> ClientSession:
    headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "chatproxy"}
    reuse = TraceConfig()
    reuse.on_connection_reuseconn.append(_note_reuse)
    return ClientSession(
        # An Ollama that returns may have another address. Only requests made at once share what is found.
        connector=aiohttp.TCPConnector(
            limit=CONNECTIONS, ttl_dns_cache=0, ssl=endpoint.trust.context if endpoint.trust else True
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={**headers, **endpoint.headers},
        auto_decompress=False,
        trace_configs=[reuse],
    )


async def _note_reuse(
    _session: ClientSession, context: SimpleNamespace, _: TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.reused = True


async def _read_body(response: ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most:
            raise upstream_invalid(f"it is longer than {most // 1024**2} MiB")
    return bytes(body)


def _readable(items: Sequence[Raw], kind: type[T]) -> list[T]:
    """Return the models of a list, without those that have no name."""
    models = []
    for item in items:
        with suppress(*DECODE_ERRORS):
            models.append(decode(item, kind))
    return models


def _num_ctx(parameters: str) -> int | None:
    """Return `num_ctx` of show's `parameters`, which has one name and value per line."""
    found = re.search(r"^num_ctx\s+([0-9]{1,15})\s*$", parameters, re.MULTILINE)
    return int(found[1]) if found else None


def _model_info(model_info: Raw) -> tuple[_ModelInfo, _Architecture]:
    """Return what show's `model_info` says of any model, and what it says of this one's architecture."""
    try:
        info = decode(model_info, _ModelInfo)
        return info, _Architecture(*astuple(decode(model_info, _named_after(info.architecture))))
    except DECODE_ERRORS:
        return _ModelInfo(), _Architecture()


@lru_cache(maxsize=64)
def _named_after(architecture: str | None) -> type[Struct]:
    """Return a type with the fields of _Architecture, by their full names."""
    known = [(each.name, each.type, each.default) for each in fields(_Architecture)]
    return msgspec.defstruct("_Named", known, rename={name: f"{architecture}.{name}" for name, *_ in known})


def _parent(name: str) -> str:
    """Return the name of the model that one was made from; a file that it was made from is none."""
    return "" if "sha256-" in name else name


def _is_bare(template: str) -> bool:
    """Return whether a template only repeats the prompt, so that the model goes on with it."""
    return re.fullmatch(r"\s*\{\{-?\s*\.Prompt\s*-?\}\}\s*", template) is not None


def _begins_inside(template: str) -> bool:
    """Return whether the prompt ends with the opening tag of thinking, of which Ollama does not know.

    What the template has from the answer on is no part of the prompt, and neither are its actions.
    """
    if ".Thinking" in template:
        return False
    first, *actions = template.rsplit(".Response", 1)[0].split("{{")
    text = first + "".join([action.partition("}}")[2] for action in actions])
    return text.rstrip().lower().endswith(tuple(tag for tag, closing in TAGS.items() if closing in ALONE))


def _has_renderer(modelfile: str) -> bool:
    """Return whether Ollama renders conversations by code of its own instead of the template."""
    return re.search(r"^RENDERER\s", modelfile, re.MULTILINE) is not None


def _weights(modelfile: str) -> str | None:
    """Return the blob named in the first FROM that has one, without its folder, which differs by machine."""
    found = re.search(r"^FROM .*\b(sha256-[0-9a-f]{64})\s*$", modelfile, re.MULTILINE)
    return found[1] if found else None
