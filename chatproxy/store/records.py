"""What is kept: sessions and messages, in the shapes that the HTTP contract shows them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Role = Literal["user", "assistant"]
Status = Literal["complete", "streaming", "cancelled", "failed", "interrupted"]
FinishReason = Literal["stop", "length", "cancelled"]


class Record(Struct, frozen=True, rename="camel"):
    """Times are ISO 8601 UTC with milliseconds and `Z`, in memory, in SQLite and on the wire."""


class Usage(Record, frozen=True, kw_only=True):
    """What an answer cost. A field that Ollama did not report is null, never 0."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    time_to_first_token_ms: Annotated[
        int | None, Meta(description="From the request's arrival to the first thinking or answer text.")
    ] = None
    load_ms: int | None = None
    total_ms: int | None = None


class Source(Record, frozen=True, kw_only=True):
    """A place in a document that the answer drew on; `snippet` is the chunk's whole text."""

    document_id: int
    title: str
    chunk: int
    snippet: str
    score: float


class Document(Record, frozen=True, kw_only=True):
    """`bytes` is the size of what was sent, `chunks` how many there are."""

    id: int
    title: str
    media_type: str
    bytes: int
    chunks: int
    created_at: str


class NewDocument(Record, frozen=True, kw_only=True):
    """About to be stored; two with one `hash`, of their `size` bytes, are the same document."""

    title: str
    media_type: str
    size: int
    hash: bytes
    chunks: list[str]


class Notice(Record, frozen=True, kw_only=True):
    """A `warning`: something the reader should know while the answer goes on."""

    code: str
    message: str


class Failure(Record, frozen=True, kw_only=True):
    """Why an answer is `failed` or `interrupted`."""

    error: str
    code: str
    retryable: bool


class Session(Record, frozen=True, kw_only=True):
    id: str
    title: str | None
    model: str | None
    system: str | None
    document_id: int | None
    created_at: str
    updated_at: str
    message_count: int
    active_message_id: int | None = None


class Message(Record, frozen=True, kw_only=True):
    """`cursor` names the end of the text that `thinking` and `content` hold."""

    id: int
    session_id: str
    role: Role
    content: str
    thinking: str = ""
    status: Status
    cursor: str | None = None
    model: str | None = None
    model_reason: str | None = None
    document_id: int | None = None
    sources: list[Source] = []
    warnings: list[Notice] = []
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    image_count: int = 0
    client_message_id: str | None = None
    created_at: str
    updated_at: str


class NewTurn(Record, frozen=True, kw_only=True):
    """A user message about to be stored, with the empty answer that goes with it."""

    content: str
    images: list[bytes] = []
    document_id: int | None = None
    model: str | None = None
    model_reason: str | None = None
    sources: list[Source] = []
    warnings: list[Notice] = []
    client_message_id: str | None = None
    fingerprint: str | None = None
    replaces: int | None = None


class HistoryMessage(Record, frozen=True, kw_only=True):
    """An earlier message, as a prompt needs it."""

    id: int
    role: Role
    content: str
    image_count: int
    model: str | None


class EarlierSend(Record, frozen=True, kw_only=True):
    """An earlier send with a `clientMessageId`: its two messages and what its request said."""

    question_id: int
    answer_id: int
    fingerprint: str | None


class Piece(Record, frozen=True, kw_only=True):
    """The text that an unfinished answer has gained since its last checkpoint."""

    message_id: int
    thinking: str
    content: str


class Measurement(Record, frozen=True, kw_only=True):
    """Running figures of one model here; None until measured. A prompt of n bytes of text has about
    `prompt_base + n * prompt_slope` tokens."""

    digest: str
    tokens_per_second: float | None = None
    load_ms: float | None = None
    prompt_base: float | None = None
    prompt_slope: float | None = None
