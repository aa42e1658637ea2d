"""What Ollama says, typed: response bytes come in, lines and refusals come out; nothing here does I/O.

Ollama streams newline-delimited JSON. Its last line has `done: true`; a line with `error` takes the
place of what would have followed, whatever the HTTP status was.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from yarl import URL

from chatproxy.errors import ChatError

MAX_LINE: Final = 8 * 1024 * 1024  # bytes; Ollama's own client stops there too

# Ollama counts in Go's int64; an absent count is not zero.
Count = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class ChatMessage(Struct, frozen=True, omit_defaults=True):
    """One of a request's `messages[]`; `images` in base64."""

    role: str
    content: str
    images: list[str] = []


class ChatRequest(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of `POST /api/chat`. With `truncate: false`, Ollama refuses a prompt that does not fit,
    and does not cut it silently."""

    model: str
    messages: list[ChatMessage]
    truncate: bool
    options: dict[str, Any] | None = None
    think: bool | str | None = None
    format: str | dict[str, Any] | None = None
    keep_alive: str | int | float | None = None


class Message(Struct, frozen=True, gc=False):
    role: str | None = None
    content: str | None = None
    thinking: str | None = None


class Line(Struct, frozen=True, gc=False):
    """One line of an answer; the counts and the durations (in nanoseconds) come with the last one."""

    model: str | None = None
    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    total_duration: Count | None = None
    load_duration: Count | None = None
    prompt_eval_count: Count | None = None
    prompt_eval_duration: Count | None = None
    eval_count: Count | None = None
    eval_duration: Count | None = None
    error: Any = None

    @property
    def content(self) -> str:
        return (self.message.content or "") if self.message else ""

    @property
    def thinking(self) -> str:
        return (self.message.thinking or "") if self.message else ""

    @property
    def tokens_per_second(self) -> float | None:
        """Of the first token Ollama counts the time as the prompt's: alone it would make millions."""
        if not self.eval_count or self.eval_count < 2 or not self.eval_duration or self.eval_duration < 0:
            return None
        return self.eval_count / (self.eval_duration / 1e9)

    @property
    def load_ms(self) -> int | None:
        return _milliseconds(self.load_duration)

    @property
    def total_ms(self) -> int | None:
        return _milliseconds(self.total_duration)


class _Failure(Struct, frozen=True):
    """The one field of a line that counts even where the others cannot be read."""

    error: Any = None


_decode: Final = msgspec.json.Decoder(Line).decode
_decode_failure: Final = msgspec.json.Decoder(_Failure).decode

# Everything that msgspec raises for bytes that are not the JSON asked for.
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)

_MISSING_MODEL: Final = re.compile(r"""model ['"]?([^\s'"]+)['"]? (?:was )?not found""")
_PROMPT_TOKENS: Final = re.compile(rb'n_prompt_tokens\\*": ?([0-9]{1,15})')
_WINDOW: Final = re.compile(rb'n_ctx\\*": ?([0-9]{1,15})')
_MAX_WORDS: Final = 1000  # characters
_WORDLESS: Final = "Ollama broke off the answer without saying why; look into its log."


class LineBuffer:
    """Cuts a response body, however it arrives, into lines.

    The iterators must be used up before the next call; one that raises ends the body's use. Every
    byte is looked at once, so that a long line in small pieces takes no longer than one in large ones.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that `data` completes. Raises `upstream_error` and `upstream_invalid`."""
        lines = data.split(b"\n")  # the byte alone: U+2028 and others may stand inside a string
        rest = lines.pop()
        if lines and self._rest:
            lines[0] = self._take(lines[0])
        for line in lines:
            if line and not line.isspace():
                yield parse(line)
        if rest:
            self._keep(rest)

    def end(self) -> Iterator[Line]:
        """The last line, where it lacks its newline. Raises `upstream_incomplete` if it was cut, too."""
        rest = self._take(b"").strip()
        if not rest:
            return
        if rest.startswith(b"{") and _is_cut(rest):
            raise incomplete()
        yield parse(rest)

    def _take(self, data: bytes) -> bytes:
        self._keep(data)
        line, self._rest = bytes(self._rest), bytearray()
        return line

    def _keep(self, data: bytes) -> None:
        if len(self._rest) + len(data) > MAX_LINE:
            raise _too_long()
        self._rest += data


def parse(line: bytes) -> Line:
    """One whole line. Raises `upstream_error` if it says so, `upstream_invalid` if it cannot be read."""
    if len(line) > MAX_LINE:
        raise _too_long()
    try:
        parsed = _decode(line)
    except _UNREADABLE as error:
        _raise_error(_error_in(line))
        raise invalid("a line of it is not what Ollama would write") from error
    if parsed.error:
        _raise_error(parsed.error)
    return parsed


def unwrap(body: bytes | str) -> str:
    """The innermost human message of an error of Ollama: in `{"error": …}`, the error may be JSON again.

    Empty where there are no words for people: HTML, binary, JSON of another shape.
    """
    try:
        return _words(body.decode() if isinstance(body, bytes) else body)
    except UnicodeDecodeError:
        return ""


class Refused(ChatError):
    """Ollama's answer with a status other than 200. Where it says that the prompt does not fit, both
    numbers, in tokens, are `prompt_tokens` and `window`."""

    upstream_status = 0
    prompt_tokens: int | None = None
    window: int | None = None


def refusal(status: int, body: bytes) -> Refused:
    """What an HTTP status other than 200 means."""
    words = unwrap(body)
    if status == 404 and (missing := _MISSING_MODEL.search(words)):
        refused = Refused("model_not_found", _missing_model(missing[1]))
    else:
        retryable = status in {429, 500, 503}
        refused = Refused("upstream_error", _refusal_sentence(status, words), retryable=retryable)
    refused.upstream_status = status
    refused.prompt_tokens = _number(_PROMPT_TOKENS, body)
    refused.window = _number(_WINDOW, body)
    return refused


def invalid(cause: str) -> ChatError:
    return ChatError(
        "upstream_invalid",
        f"Ollama's answer cannot be read: {cause}; check that OLLAMA_HOST is the address of Ollama itself.",
    )


def incomplete() -> ChatError:
    return ChatError("upstream_incomplete", "Ollama's answer stopped before its end; please try again.")


def unavailable(url: URL) -> ChatError:
    return ChatError(
        "upstream_unavailable",
        f"Ollama cannot be reached at {url.origin()}; start it with `ollama serve` or set OLLAMA_HOST.",
    )


def _number(form: re.Pattern[bytes], body: bytes) -> int | None:
    found = form.search(body)
    return int(found[1]) if found else None


def _milliseconds(nanoseconds: int | None) -> int | None:
    return None if nanoseconds is None else round(nanoseconds / 1e6)


def _too_long() -> ChatError:
    return invalid(f"a line of it is longer than {MAX_LINE // 1024**2} MiB")


def _is_cut(line: bytes) -> bool:
    """Whether a JSON object ends too early; one that is whole, right or wrong, is not cut."""
    try:
        _decode_failure(line)
    except _UNREADABLE as error:
        return not isinstance(error, msgspec.ValidationError)
    return False


def _error_in(line: bytes) -> object:
    try:
        return _decode_failure(line).error
    except _UNREADABLE:
        return None


def _raise_error(error: object) -> None:
    if error:
        raise ChatError("upstream_error", _reported(_words(error)) or _WORDLESS)


def _words(value: object) -> str:
    while True:
        if isinstance(value, str):
            inner = _json_in(value)
            if not isinstance(inner, dict):
                return _plain(value)
            value = inner
        elif isinstance(value, dict):
            value = value.get("error") or value.get("message")
        else:
            return ""


def _json_in(text: str) -> object:
    try:
        return msgspec.json.decode(text) if text.lstrip().startswith("{") else None
    except _UNREADABLE:
        return None


def _plain(text: str) -> str:
    text = text.strip()
    if text.startswith("<"):
        return ""
    return text if len(text) <= _MAX_WORDS else f"{text[:_MAX_WORDS]}…"


def _reported(words: str) -> str:
    return words and f"Ollama reports: {words}"


def _missing_model(name: str) -> str:
    return f"Ollama has no model {name}; install it with `ollama pull {name}` or choose another."


def _refusal_sentence(status: int, words: str) -> str:
    if 300 <= status < 400:
        return (
            f"Ollama's address answers with a redirect ({status}), and redirects are not followed; "
            "set OLLAMA_HOST to the final address."
        )
    if status == 401:
        return f"Ollama wants to know who asks ({words or 'unauthorized'}); set OLLAMA_API_KEY."
    if status == 403 and not words:
        return (
            "Ollama rejected the request's Host (403); set OLLAMA_HOST to an address that it serves, "
            "or OLLAMA_HOST and OLLAMA_ORIGINS where Ollama itself is started."
        )
    return _reported(words) or (
        f"Ollama answered with status {status} and no explanation; look into its log, "
        "and check that OLLAMA_HOST is its address."
    )
