"""The records that the store takes and returns. Those that the HTTP API shows have the API's shape."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, Unpack

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from chatproxy.errors import ChatError, Details

Role = Literal["user", "assistant"]
Status = Literal["complete", "streaming", "cancelled", "failed", "interrupted"]
FinishReason = Literal["stop", "length", "cancelled"]
Think = bool | Literal["low", "medium", "high", "max"]


class Record(Struct, frozen=True, rename="camel"):
    """Base of all records. Times are ISO 8601 in UTC, with milliseconds and `Z`, here and in SQLite."""


class Usage(Record, frozen=True, kw_only=True):
    """What an answer cost. Null, never 0, for what Ollama did not report."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    tokens_per_second: float | None = None
    time_to_first_token_ms: Annotated[
        int | None, Meta(description="From the request's arrival to the first thinking or answer text.")
    ] = None
    thinking_ms: Annotated[
        int | None, Meta(description="From the first thinking to the first answer text; null without any.")
    ] = None
    load_ms: int | None = None
    total_ms: int | None = None


class Source(Record, frozen=True, kw_only=True):
    """A passage of a document that an answer drew on.

    `chunk` is the chunk's number from 0, `snippet` its whole text.
    """

    document_id: int
    title: str
    chunk: int
    snippet: str
    score: float
    page: Annotated[int | None, Meta(description="Of the file, from 1; null if it has none.")] = None
    heading: Annotated[str | None, Meta(description="The heading that the passage begins below.")] = None
    found: Annotated[
        list[tuple[int, int]],
        Meta(description="Where in the snippet the words are that were found: from, and up to, code points."),
    ] = []
    cited: Annotated[
        bool | None, Meta(description="Whether the answer cites it; null until its end, and in searches.")
    ] = None


class Notice(Record, frozen=True, kw_only=True):
    """A warning: something that the reader of an answer or of a document should know."""

    code: str
    message: str


class Document(Record, frozen=True, kw_only=True):
    """An uploaded document. `bytes` is the size of the upload, `chunks` how many passages it was cut into.

    `embedded` is how many of these are found by their meaning, too: all of them, a while after the upload.
    """

    id: int
    title: str
    media_type: str
    bytes: int
    chunks: int
    embedded: Annotated[
        int | None, Meta(description="Null if no embedding model is used, or none was looked for yet.")
    ] = None
    created_at: str
    warnings: Annotated[list[Notice], Meta(description="What could not be read of it, or was guessed.")] = []


FirstDocument = Annotated[int | None, Meta(description="The first of `documentIds`; null without any.")]
DocumentIds = Annotated[list[int], Meta(description="The documents that are answered from, in their order.")]
NewChunk = tuple[str, int | None, str | None]  # a text, its page and its heading
NewNotice = tuple[str, str]  # a code and a message


class NewDocument(Record, frozen=True, kw_only=True):
    """A document about to be stored.

    `hash` is the SHA-256 of the `size` bytes that were sent, with the encoding if one was named.
    """

    title: str
    media_type: str
    size: int
    hash: bytes


class Failure(Record, frozen=True, kw_only=True):
    """Why an answer is `failed` or `interrupted`: a ChatError, as it is stored and shown."""

    error: str
    code: str
    retryable: bool
    request_id: Annotated[
        str | UnsetType, Meta(description="Of the request that asked for the answer; the log has it, too.")
    ] = UNSET

    @classmethod
    def of(cls, error: ChatError) -> Self:
        """Return an error in the form in which it is stored."""
        return cls(error=error.sentence, code=error.code, retryable=error.retryable)

    def as_error(self, **details: Unpack[Details]) -> ChatError:
        """Return the error again, with these details."""
        if self.request_id is not UNSET:
            details["requestId"] = self.request_id
        return ChatError(self.code, self.error, retryable=self.retryable, **details)


class SessionItem(Record, frozen=True, kw_only=True):
    """A chat session in a list, which shows no long text.

    `used_at` is the time of its last message, or of its creation; `updated_at` that of any change.
    `active_message_id` is the answer being written, if there is one.
    """

    id: str
    title: str | None
    model: str | None
    document_id: FirstDocument
    document_ids: DocumentIds = []
    created_at: str
    updated_at: str
    used_at: str = ""
    message_count: int
    pinned: bool = False
    active_message_id: int | None = None


class Session(SessionItem, frozen=True, kw_only=True):
    """A chat session. `system`, `think` and `options` are those of messages that bring none."""

    system: str | None
    think: Think | None = None
    options: dict[str, Any] | None = None


class Hit(Record, frozen=True, kw_only=True):
    """Where a search has found a session: in its newest message that has all words, or in its title."""

    session_id: str
    message_id: Annotated[int | None, Meta(description="Null: in the title.")]
    snippet: Annotated[str, Meta(description="A part of the text, on one line.")]
    found: Annotated[
        list[tuple[int, int]],
        Meta(description="Where in the snippet the words are: from, and up to, code points."),
    ]


class Message(Record, frozen=True, kw_only=True):
    """A question or an answer. `cursor` is the end of the text in `thinking` and `content`."""

    id: int
    session_id: str
    role: Role
    content: str
    thinking: str = ""
    status: Status
    cursor: str | None = None
    model: str | None = None
    model_reason: str | None = None
    document_id: FirstDocument = None
    document_ids: DocumentIds = []
    sources: list[Source] = []
    warnings: list[Notice] = []
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    image_count: int = 0
    client_message_id: str | None = None
    version: int = 1
    created_at: str
    updated_at: str


class ExportedMessage(Message, frozen=True, kw_only=True):
    """A message with its images, each in base64."""

    images: list[bytes] = []


class NewTurn(Record, frozen=True, kw_only=True):
    """A question about to be stored, together with its empty answer. Documents are their ids and titles."""

    content: str
    images: list[bytes] = []
    documents: Sequence[tuple[int, str]] = ()
    model: str | None = None
    model_reason: str | None = None
    sources: list[Source] = []
    warnings: list[Notice] = []
    client_message_id: str | None = None
    fingerprint: str | None = None
    replaces: int | None = None
    asked: Raw | None = None

    @property
    def document_ids(self) -> list[int]:
        """The ids of the documents, in their order."""
        return [id for id, _ in self.documents]

    @property
    def document_id(self) -> int | None:
        """The id of the first document, if there is one."""
        return self.documents[0][0] if self.documents else None


class StoredAnswer(Struct, frozen=True, kw_only=True):
    """An answer, the id of its question, which an imported one may lack, and what only a Response shows.

    `thought` is how many code points of thinking come before the first of the content; None: all. `asked` is
    what a Response repeats of its request; None if it was asked for in another way. `swapped` is whether its
    content was taken for thinking at first, or the other way round. `replica` is which one writes it, or did;
    None if there are no others.
    """

    message: Message
    question_id: int | None
    thought: int | None
    asked: Raw | None
    swapped: bool = False
    replica: int | None = None


class NewSession(Record, frozen=True, kw_only=True):
    """A session about to be stored together with its messages. Times that are None are the present."""

    id: str
    title: str | None = None
    model: str | None = None
    system: str | None = None
    think: Think | None = None
    options: dict[str, Any] | None = None
    pinned: bool = False
    created_at: str | None = None
    updated_at: str | None = None


class ImportedTurn(Record, frozen=True, kw_only=True):
    """A message that was complete before it came here, such as one of another program's.

    A `system` message becomes part of the session's system prompt; all others are messages. Times that are
    None are the present.
    """

    role: Role | Literal["system"]
    content: str
    thinking: str = ""
    status: Status = "complete"
    model: str | None = None
    model_reason: str | None = None
    sources: list[Source] = []
    warnings: list[Notice] = []
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    error: Failure | None = None
    images: list[bytes] = []
    client_message_id: str | None = None
    created_at: str | None = None
    updated_at: str | None = None


class HistoryMessage(Record, frozen=True, kw_only=True):
    """An earlier message, with what a prompt needs of it."""

    id: int
    role: Role
    content: str
    image_count: int
    model: str | None
    document_ids: list[int] = []


class EarlierSend(Record, frozen=True, kw_only=True):
    """An earlier send with the same `clientMessageId`: its two messages, and a hash of its request."""

    question_id: int
    answer_id: int
    fingerprint: str | None


class Version(Record, frozen=True, kw_only=True):
    """The newest of the questions that a client knows by one id, and its answer, if it has one.

    `is_shown` is whether it is part of the conversation, `is_last` whether nothing follows its answer there.
    """

    question_id: int
    answer_id: int | None
    fingerprint: str | None
    is_shown: bool
    is_last: bool


class Piece(Record, frozen=True, kw_only=True):
    """The text that an answer has gained since its last checkpoint; `thought`, once content has begun.

    If `swaps`, what was stored before changes sides first.
    """

    message_id: int
    thinking: str
    content: str
    thought: int | None = None
    swaps: bool = False


class Measurement(Record, frozen=True, kw_only=True):
    """Running averages of one model on this machine, None until measured.

    `digest` has the name of the host after an `@`, where there are several. `age` is in seconds, at the time
    of reading.
    """

    digest: str
    tokens_per_second: float | None = None
    load_ms: float | None = None
    age: float = 0.0


class PromptCount(Record, frozen=True, kw_only=True, omit_defaults=True):
    """How many tokens Ollama counted in the prompt for an answer; `size` is a `models.tokens.Size`.

    `host` is the name of the host that counted, and has evaluated the prompt; empty if there is only one.
    """

    answer: int
    model: str
    size: tuple[int, ...]
    tokens: int
    host: str = ""


class OpenSession(Struct, frozen=True, kw_only=True):
    """A session about to be sent a message.

    `counts` are the latest ones of its prompts, oldest first; `earlier` is what used the message's
    `clientMessageId` already.
    """

    session: Session
    counts: Sequence[PromptCount]
    earlier: EarlierSend | None
