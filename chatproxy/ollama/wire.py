"""Ollama's JSON as types: bytes of a response go in, lines and refusals come out.

Nothing here does I/O.

Ollama streams newline-delimited JSON (Ollama API, "Generate a chat completion"). The last line has
`done: true`. A line with `error` replaces everything that would follow, even under status 200. Only what
carries the text has to be of its type; a count or a name that is not is unknown (`lenient`).
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec
from msgspec import Raw, Struct
from yarl import URL

from chatproxy.errors import ChatError
from chatproxy.ollama.lenient import DECODE_ERRORS, STRICT, Nanoseconds, Tokens, decode_fields
from chatproxy.ollama.login import Login

MAX_LINE: Final = 1024 * 1024  # bytes that an answer may make us keep; a line has one token
MAX_TOOL_NAME: Final = 64  # characters
MAX_ERROR: Final = 64 * 1024  # bytes of an error that are looked into
NOT_HTTP: Final = "it is not HTTP, but perhaps TLS, for which OLLAMA_HOST begins with https://"


class ChatMessage(Struct, frozen=True, omit_defaults=True):
    """One entry of a request's `messages[]`; `images` become base64 strings in JSON."""

    role: str
    content: str
    images: list[bytes] = []


class ChatRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of `POST /api/chat` (Ollama API, "Generate a chat completion").

    With `truncate: false`, Ollama refuses a prompt that does not fit its window instead of silently
    cutting it.
    """

    model: str
    messages: list[ChatMessage]
    truncate: bool
    options: Raw | None = None
    think: bool | str | None = None
    format: Raw | None = None
    keep_alive: str | int | float | None = None


class _Function(Struct, frozen=True):
    name: str = "a tool"


class _ToolCall(Struct, frozen=True):
    function: _Function = _Function()


class Message(Struct, frozen=True, gc=False):
    """The `message` of a line: the next piece of reasoning, of the answer, or of neither."""

    content: Annotated[str | None, STRICT] = None
    thinking: Annotated[str | None, STRICT] = None
    tool_calls: Raw = Raw()


class Line(Struct, frozen=True, gc=False):
    """One line of an answer. Counts and durations come with the last line.

    Ollama omits zeros, so an absent count is unknown rather than 0.
    """

    model: str | None = None
    message: Annotated[Message | None, STRICT] = None
    done: bool = False
    done_reason: str | None = None
    total_duration: Nanoseconds | None = None
    load_duration: Nanoseconds | None = None
    prompt_eval_count: Tokens | None = None
    prompt_eval_duration: Nanoseconds | None = None
    eval_count: Tokens | None = None
    eval_duration: Nanoseconds | None = None
    error: Raw = Raw()

    @property
    def content(self) -> str:
        """The answer text of this line, or an empty string."""
        return (self.message.content or "") if self.message else ""

    @property
    def thinking(self) -> str:
        """The reasoning text of this line, or an empty string."""
        return (self.message.thinking or "") if self.message else ""

    @property
    def tool(self) -> str | None:
        """The name of the first tool that the model calls; None if it calls none."""
        if self.message is None or not self.message.tool_calls:
            return None
        try:
            calls = msgspec.json.decode(self.message.tool_calls, type=list[_ToolCall] | None) or []
        except DECODE_ERRORS:
            calls = [_ToolCall()]
        return calls[0].function.name[:MAX_TOOL_NAME] if calls else None

    @property
    def tokens_per_second(self) -> float | None:
        """The generation rate, or None if Ollama did not report one.

        None for a single token as well: Ollama counts its time as prompt evaluation, so the rate would
        be meaningless.
        """
        if not self.eval_count or self.eval_count < 2 or not self.eval_duration or self.eval_duration < 0:
            return None
        return self.eval_count / (self.eval_duration / 1e9)

    @property
    def load_ms(self) -> int | None:
        """Milliseconds spent loading the model; about 1 for a loaded one, never 0."""
        return _milliseconds(self.load_duration)

    @property
    def total_ms(self) -> int | None:
        """Milliseconds from request to last line, as Ollama measured them."""
        return _milliseconds(self.total_duration)


class _Error(Struct, frozen=True):
    """What an error is looked for in, also in a line whose other fields are malformed."""

    error: Raw = Raw()
    message: Raw = Raw()


# A chunk that is one line of an answer with nothing unusual: its size, and the text, which has no escapes.
PLAIN: Final = re.compile(
    rb'([0-9a-f]{1,4})\r\n\{"model":"[ !#-\[\]-~]*","created_at":"[ !#-\[\]-~]*","message":'
    rb'\{"role":"assistant","content":"([^"\\]+)"\},"done":false\}\n\r\n'
)

_decode: Final = msgspec.json.Decoder(Line).decode
_decode_error: Final = msgspec.json.Decoder(_Error).decode

_NO_ERROR: Final = frozenset({b"", b"null", b"false", b"0", b'""', b"{}", b"[]"})

_MISSING_MODEL: Final = re.compile(r"""model ['"]?([^\s'"]+)['"]? (?:was )?not found""")
_PROMPT_TOKENS: Final = re.compile(rb'n_prompt_tokens\\*": ?([0-9]{1,15})')
_WINDOW: Final = re.compile(rb'n_ctx\\*": ?([0-9]{1,15})')
# What to do about errors whose words do not say it. Ollama's runner is a process of its own, which may end.
_REMEDIES: Final = (
    (
        re.compile(
            r"out of memory|system memory|cudaMalloc|failed to allocate|insufficient memory", re.IGNORECASE
        ),
        "; free some memory where Ollama runs, or choose a smaller model.",
    ),
    (
        re.compile(
            r"unexpected EOF|has terminated|has exited|no longer running|connection (?:reset|refused)"
            r"|forcibly closed|broken pipe",
            re.IGNORECASE,
        ),
        "; its model has stopped working: try again, and if that does not help, look into Ollama's log.",
    ),
)
# What servers of Go and nginx say to a request without TLS at a port for TLS.
_TLS_WANTED: Final = re.compile(rb"HTTP request (?:was sent )?to (?:an )?HTTPS (?:server|port)")
_NO_SUCH_PATH: Final = "404 page not found"  # what servers of Go say, of which Ollama is one
_BUSY: Final = re.compile(r"busy|pending requests", re.IGNORECASE)  # how Ollama says that its queue is full


class _OfProxy(Struct, frozen=True):
    """What a status of a proxy's means, if the body has no error of Ollama's: the error's code, and words."""

    code: str
    what: str
    remedy: str


_UNREACHED: Final = _OfProxy(
    "upstream_unavailable",
    "does not reach it",
    "start Ollama, or correct the address in the proxy's configuration",
)
_NOT_TRUSTED: Final = _OfProxy(
    "upstream_unavailable",
    "does not trust its certificate, or finds none",
    "correct that, or the proxy's configuration",
)
_LATE: Final = _OfProxy(
    "upstream_timeout",
    "did not wait for its answer",
    "raise the proxy's timeout, such as nginx's proxy_read_timeout",
)
_OF_PROXIES: Final[Mapping[int, _OfProxy]] = {
    413: _OfProxy(
        "upstream_error",
        "refuses bodies of this size",
        "raise its limit, such as nginx's client_max_body_size",
    ),
    502: _UNREACHED,
    503: _OfProxy(
        "upstream_unavailable",
        "does not reach it, or has no room",
        "start Ollama, look into the proxy's log, and try again",
    ),
    504: _LATE,
    # Cloudflare's.
    **dict.fromkeys((520, 521, 523, 530), _UNREACHED),
    522: _OfProxy(
        "upstream_timeout",
        "did not reach it in time",
        "look into Ollama's log, and at what is in between, such as a firewall",
    ),
    524: _LATE,
    **dict.fromkeys((525, 526), _NOT_TRUSTED),
}
_MAX_ERROR_TEXT: Final = 1000  # characters
_MAX_WORDS: Final = 200  # characters of a proxy's explanation
_CLOSED: Final = (
    "The connection was closed before Ollama answered; look into its log, check whether OLLAMA_HOST has to"
    " begin with http:// or https://, and try again."
)
_NO_LOGIN: Final = Login()
_EMPTY_ERROR: Final = "Ollama broke off the answer without saying why; look into its log."


class LineBuffer:
    """Splits a response body, in whatever pieces it arrives, into lines.

    Exhaust each iterator before the next call; after one has raised, the buffer is not usable any more.
    Every byte is scanned once, so a long line costs the same in small pieces as in large ones.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def is_empty(self) -> bool:
        """Whether no line has begun."""
        return not self._rest

    def feed(self, data: bytes) -> Iterator[Line]:
        """Yield the lines that `data` completes. Raises `upstream_error` and `upstream_invalid`."""
        lines = data.split(b"\n")  # only this byte ends a line: strings may contain U+2028 and others
        rest = lines.pop()
        if lines and self._rest:
            lines[0] = self._take(lines[0])
        for line in lines:
            if line and not line.isspace():
                yield parse(line)
        if rest:
            self._keep(rest)

    def end(self) -> Iterator[Line]:
        """Yield the last line if it lacks its newline.

        Raises what `feed` raises, and `upstream_incomplete` if the body ends inside a line.
        """
        rest = self._take(b"").strip()
        if not rest:
            return
        if rest.startswith(b"{") and _is_truncated(rest):
            raise upstream_incomplete()
        yield parse(rest)

    def _take(self, data: bytes) -> bytes:
        self._keep(data)
        line, self._rest = bytes(self._rest), bytearray()
        return line

    def _keep(self, data: bytes) -> None:
        if len(self._rest) + len(data) > MAX_LINE:
            raise _line_too_long()
        self._rest += data


def parse(line: bytes) -> Line:
    """Parse one complete line.

    Raises `upstream_error` if the line reports an error, and `upstream_invalid` if it is not a line of
    Ollama's.
    """
    if len(line) > MAX_LINE:
        raise _line_too_long()
    try:
        parsed = _decode(line)
    except msgspec.ValidationError as cause:
        parsed = _parse_fields(line, cause)
    except DECODE_ERRORS as cause:
        raise _not_a_line() from cause
    if not parsed.error or bytes(parsed.error) in _NO_ERROR:
        return parsed
    sentence = _reported(_cut(_error_text(_shown(parsed.error))), 200) or _EMPTY_ERROR
    raise OllamaError("upstream_error", sentence, status=200, body=line)


def _parse_fields(line: bytes, cause: Exception) -> Line:
    """Parse a line with a field of another type. An error counts whatever else the line has."""
    try:
        error = _decode_error(line).error
        return Line(error=error) if bytes(error) not in _NO_ERROR else decode_fields(line, Line)
    except DECODE_ERRORS:
        raise _not_a_line() from cause


def unwrap(body: bytes | str, login: Login = _NO_LOGIN) -> str:
    """Return the innermost message of an error body, whose `error` may itself be JSON.

    The result is empty if there is nothing to show to people: HTML, binary data, JSON of another shape.
    """
    try:
        text = body.decode() if isinstance(body, bytes) else body
    except UnicodeDecodeError:
        return ""
    return _cut(login.hidden(_error_text(text)))


def error_in(body: bytes, login: Login = _NO_LOGIN) -> str:
    """Return the message of a body with an `error`; empty for any other body."""
    if b'"error"' not in body:
        return ""
    try:
        error = _decode_error(body).error
    except DECODE_ERRORS:
        return ""
    if bytes(error) in _NO_ERROR:
        return ""
    return _cut(login.hidden(_error_text(_shown(error)))) or "it does not say which"


class OllamaError(ChatError):
    """An error that Ollama reports, as a response with another status than 200 or as a line of a stream.

    `blames_request` is true if another model would refuse the same request.
    """

    def __init__(
        self, code: str, sentence: str, *, status: int, body: bytes, retryable: bool | None = None
    ) -> None:
        super().__init__(code, sentence, retryable=retryable)
        # An unknown format gets the status 500, or 200 and a line.
        self.blames_request = status in {400, 401, 403} or b"invalid format" in body


class RefusalError(OllamaError):
    """A response of Ollama's with another status than 200.

    If it says that the prompt does not fit, `prompt_tokens` and `window` are the two numbers it named,
    in tokens. `is_busy` says that it has no room for the request now, as in "maximum pending requests
    exceeded", and `lacks_path` that the server does not have what was called.
    """

    def __init__(
        self, code: str, sentence: str, *, status: int, body: bytes, retryable: bool | None = None
    ) -> None:
        super().__init__(code, sentence, status=status, body=body, retryable=retryable)
        self.is_busy = status == 503 and _BUSY.search(error_in(body)) is not None
        self.lacks_path = status in {404, 405, 501}
        self.prompt_tokens = _find_number(_PROMPT_TOKENS, body)
        self.window = _find_number(_WINDOW, body)


def refusal(status: int, body: bytes, login: Login = _NO_LOGIN) -> RefusalError:
    """Return the error for a response with a status other than 200, without what the `login` said."""
    text = unwrap(body, login)
    if status == 404 and (missing := _MISSING_MODEL.search(text)):
        name = missing[1]
        return RefusalError(
            "model_not_found",
            f"Ollama has no model {name}; install it with `ollama pull {name}` or choose another.",
            status=status,
            body=body,
        )
    if (meaning := _OF_PROXIES.get(status)) and not error_in(body):
        return RefusalError(meaning.code, _proxy_sentence(status, text, meaning), status=status, body=body)
    sentence, retryable = _refusal_sentence(status, text, body, login), status in {429, 500, 503}
    return RefusalError("upstream_error", sentence, status=status, body=body, retryable=retryable)


def upstream_invalid(cause: str) -> ChatError:
    """Return the error for a response that is not Ollama's; `cause` is a clause that says why."""
    return ChatError(
        "upstream_invalid",
        f"Ollama's answer cannot be read: {cause}; check that OLLAMA_HOST is the address of Ollama itself.",
    )


def upstream_incomplete() -> ChatError:
    """Return the error for a response that ended before its last line."""
    return ChatError("upstream_incomplete", "Ollama's answer stopped before its end; please try again.")


def upstream_closed() -> ChatError:
    """Return the error for a connection that was closed, or reset, before any of the response."""
    return ChatError("upstream_incomplete", _CLOSED)


def upstream_unavailable(url: URL, error: BaseException, authority: str) -> ChatError:
    """Return the error for an Ollama with which there is no connection, by what the exception shows.

    It leaves out the secrets in `url`. `authority` is a clause that says what to do if that of a certificate
    is not trusted. What no repetition changes is `upstream_invalid`: a certificate that is not trusted, and a
    server that does not speak TLS.
    """
    place = url.origin()
    match _root(error):
        case ssl.SSLCertVerificationError() as root:
            return ChatError("upstream_invalid", _certificate_sentence(url, root, authority))
        case ssl.SSLError() as root:
            return ChatError(
                "upstream_invalid",
                f"There is no TLS connection to Ollama at {place} ({root.reason or 'it was refused'}); "
                "if it does not speak TLS there, begin OLLAMA_HOST with http://.",
            )
        case socket.gaierror() | UnicodeError():
            sentence = f"The name {url.host} is not known here; correct OLLAMA_HOST, or the network's DNS."
        case TimeoutError():
            sentence = (
                f"Ollama cannot be reached at {place}: the connection was not accepted in time; "
                "correct OLLAMA_HOST, or what is in between, such as a firewall."
            )
        case ConnectionResetError():
            sentence = _CLOSED
        case _:
            sentence = (
                f"Ollama cannot be reached at {place}; start it with `ollama serve` or set OLLAMA_HOST."
            )
    return ChatError("upstream_unavailable", sentence)


def _root(error: BaseException) -> BaseException:
    """Return the exception that caused all others; a timeout is not that of a task that it cancels."""
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    return error


def _certificate_sentence(url: URL, error: ssl.SSLCertVerificationError, authority: str) -> str:
    match error.verify_code:
        case 9 | 10:  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
            remedy = "renew it there, or set the clock here"
        case 62 | 64:  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            remedy = "set OLLAMA_HOST to a name that the certificate has"
        case _:
            remedy = authority
    return (
        f"The certificate of Ollama at {url.origin()} is not trusted ({error.verify_message.rstrip('.')}); "
        f"{remedy}."
    )


def _find_number(pattern: re.Pattern[bytes], body: bytes) -> int | None:
    found = pattern.search(body)
    return int(found[1]) if found else None


def _milliseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6)


def _not_a_line() -> ChatError:
    return upstream_invalid("a line of it is not what Ollama would write")


def _line_too_long() -> ChatError:
    return upstream_invalid(f"a line of it is longer than {MAX_LINE // 1024**2} MiB")


def _is_truncated(line: bytes) -> bool:
    """Return whether a JSON object ends too early; a complete one of the wrong shape does not."""
    try:
        _decode_error(line)
    except DECODE_ERRORS as error:
        return not isinstance(error, msgspec.ValidationError)
    return False


def _error_text(text: str) -> str:
    """Follow `error` and `message` inward, through JSON within strings, to the text meant for people."""
    while text.lstrip().startswith("{") and len(text) <= MAX_ERROR:
        try:
            inner = _decode_error(text)
        except DECODE_ERRORS:
            break
        text = _shown(inner.message if bytes(inner.error) in _NO_ERROR else inner.error)
    text = text.strip()
    return "" if text.startswith("<") else text  # HTML


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_ERROR_TEXT else f"{text[:_MAX_ERROR_TEXT]}…"


def _shown(raw: Raw) -> str:
    """Return the text of a string, the JSON of an object, and nothing of anything else."""
    try:
        if bytes(raw).startswith(b"{"):
            return bytes(raw).decode() if len(raw) <= MAX_ERROR else ""
        return msgspec.json.decode(raw, type=str)
    except DECODE_ERRORS:
        return ""


def _reported(text: str, status: int) -> str:
    """Return Ollama's words for a reader; below 400 and from 500 on, they are not about the request."""
    is_failure = not 400 <= status < 500
    remedy = next((remedy for words, remedy in _REMEDIES if is_failure and words.search(text)), "")
    return text and f"Ollama reports: {text}{remedy}"


def _refusal_sentence(status: int, text: str, body: bytes, login: Login) -> str:
    """Return what a response with that status means, and what to do."""
    if 300 <= status < 400:
        return (
            f"Ollama's address answers with a redirect ({status}), and redirects are not followed; set"
            f" OLLAMA_HOST to the final address or, if that is a login, {_let_in(login)}."
        )
    if status in {401, 407}:
        return _login_sentence(status, text, bool(error_in(body)), login)
    if status == 403 and not body.strip():
        return (
            "Ollama rejected the request's Host (403); set OLLAMA_HOST to an address that it serves, "
            "or OLLAMA_HOST and OLLAMA_ORIGINS where Ollama itself is started."
        )
    if status == 403 and not error_in(body):
        said = _said(status, text)
        return (
            f"A proxy in front of Ollama does not let chatproxy in ({said}); {_let_in(login)}, or correct its"
            " rules."
        )
    if _TLS_WANTED.search(body[:MAX_ERROR]):
        return "The server at OLLAMA_HOST speaks TLS; begin OLLAMA_HOST with https://."
    if text == _NO_SUCH_PATH or (status == 404 and not text):
        return (
            "The server at OLLAMA_HOST does not have this part of Ollama's API (404); check the address and"
            " its path. A server that has only OpenAI's API, at /v1, cannot be used."
        )
    return _reported(text, status) or (
        f"Ollama answered with status {status} and no explanation; look into its log, "
        "and check that OLLAMA_HOST is its address."
    )


def _login_sentence(status: int, text: str, is_ollamas: bool, login: Login) -> str:
    """Return what a login that is missing or wrong means; Ollama wants one of its own for its cloud."""
    who = "Ollama, or a proxy in front of it,"
    if login.settings and not is_ollamas:
        it = f"the login in {login.places}"
        return f"{who} does not accept {it} ({status}); correct it, or add what is missing, and restart."
    if login.settings:  # which the words may be about
        said, remedy = str(status), f"correct the login in {login.places}, or add what is missing"
    else:
        said = text or str(status)
        remedy = "set OLLAMA_API_KEY, or OLLAMA_HOST with name:password@ before the host, or OLLAMA_HEADERS"
    if is_ollamas:
        remedy = f"for a cloud model, type `ollama signin` where Ollama runs; for anything else, {remedy}"
    return f"{who} wants to know who asks ({said}); {remedy}, and restart."


def _let_in(login: Login) -> str:
    """Return what to do about a proxy that keeps requests out, as a clause."""
    return f"correct {login.places}" if login.settings else "set OLLAMA_HEADERS to what it wants"


def _proxy_sentence(status: int, text: str, meaning: _OfProxy) -> str:
    """Return what a proxy's status means; some servers with Ollama's API have words for 502 and 503, too."""
    said = _said(status, text)
    who = f"A proxy in front of Ollama {meaning.what}"
    if status in {502, 503} and said != str(status):
        who = "Ollama, or a proxy in front of it, is not available"
    return f"{who} ({said}); {meaning.remedy}."


def _said(status: int, text: str) -> str:
    """Return a status and the few words of a proxy's that explain it."""
    return f"{status}: {text}" if text and len(text) <= _MAX_WORDS and text.isprintable() else str(status)
