"""The body of a send; see docs/api.md, Sending."""

import asyncio
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from chatproxy.config import OPERATORS_OPTIONS, RELOADING
from chatproxy.errors import ChatError, unusable
from chatproxy.store.records import Think

MAX_MESSAGE: Final = 256 * 1024  # bytes of UTF-8; also of a system prompt
MAX_JSON: Final = 64 * 1024  # bytes of what is passed on to Ollama; unfolded, it takes thirty times as much
MAX_DOCUMENTS: Final = 16  # of a session; each has a place in an answer about all of them
MAX_IMAGES: Final = 32
MAX_IMAGE: Final = 12 * 1024 * 1024  # bytes; in base64 it fills the largest body
MAX_IDS: Final = 1024  # bytes of a list of documents, as it was sent
MAX_KEEP_ALIVE: Final = 2**63 // 10**9  # seconds, of Go's longest duration


def at_most(limit: int, description: str, **schema: Any) -> Meta:
    """Return the Meta of a field of at most `limit` bytes, which `web/json.read_json` checks.

    A text counts in UTF-8, any other JSON as it was sent. `schema` is what OpenAPI shows besides; if that
    names all values, nobody needs the limit.
    """
    size = f"{limit // 1024**2} MiB" if limit % 1024**2 == 0 else f"{limit // 1024} KiB"
    return Meta(
        description=description if "enum" in schema else f"{description} Up to {size}.",
        extra={"max_bytes": limit},
        extra_json_schema=schema,
    )


Options = Annotated[
    dict[str, Any],
    at_most(
        MAX_JSON,
        "For Ollama. Refused unless the server's ALLOWED_OPTIONS names them, because they reload the"
        f" model: {', '.join(sorted(RELOADING))}.",
    ),
]
RowId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
RowIds = Annotated[list[RowId], Meta(extra_json_schema={"maxItems": MAX_DOCUMENTS})]
SystemPrompt = Annotated[str, at_most(MAX_MESSAGE, "The system prompt.", maxLength=MAX_MESSAGE)]
ClientMessageId = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9._:-]{1,64}\Z",
        description="Makes the send idempotent: the same message with the same id attaches to one answer.",
    ),
]
ModelName = Annotated[
    str, Meta(min_length=1, max_length=512, description='A model\'s name, or "auto" for chatproxy to choose.')
]


KeepAlive = (
    Annotated[str, Meta(min_length=1, max_length=64)]
    | Annotated[int, Meta(ge=-MAX_KEEP_ALIVE, le=MAX_KEEP_ALIVE)]
    | Annotated[float, Meta(ge=-MAX_KEEP_ALIVE, le=MAX_KEEP_ALIVE)]
)

# What Go's time.ParseDuration reads, and how long each unit is in seconds.
_DURATION: Final = re.compile(r"[-+]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+", re.ASCII)
_PART: Final = re.compile(r"(?<![\d.])([\d.]+)([a-zµμ]+)", re.ASCII)
_UNITS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d+)?", re.ASCII)


class SendRequest(Struct, frozen=True, kw_only=True):
    """A message to answer. Unknown fields are ignored. Null means absent, but removes the documents."""

    message: Annotated[
        str,
        at_most(
            MAX_MESSAGE,
            "What to answer, in UTF-8. It may be empty beside images: this message's, or those of the one"
            " that it replaces.",
            maxLength=MAX_MESSAGE,
        ),
    ]
    document_id: Annotated[
        RowId | UnsetType | None,
        Meta(description="The document to answer from. Absent: the session's. Null: none from now on."),
    ] = UNSET
    documentId: Annotated[RowId | UnsetType | None, Meta(description="The same as `document_id`.")] = UNSET
    document_ids: Annotated[
        RowIds | UnsetType | None,
        at_most(MAX_IDS, "All documents to answer from, instead of `document_id`. Null or empty: none."),
    ] = UNSET
    documentIds: Annotated[RowIds | UnsetType | None, at_most(MAX_IDS, "The same as `document_ids`.")] = UNSET
    model: ModelName | None = None
    system: SystemPrompt | None = None
    images: (
        Annotated[
            list[Annotated[bytes, Meta(min_length=1, max_length=MAX_IMAGE)]],
            Meta(
                max_length=MAX_IMAGES,
                description="Each in base64, or as a data URL, `data:image/png;base64,` and so on.",
                extra={"data_urls": True},
            ),
        ]
        | None
    ) = None
    options: Options | None = None
    think: Think | None = None
    format: Annotated[str | dict[str, Any] | None, at_most(MAX_JSON, '"json", or a JSON Schema.')] = None
    keep_alive: Annotated[
        KeepAlive | None,
        Meta(
            description="How long to keep the model loaded: seconds, or a duration such as 10m. Refused"
            " unless the server's ALLOWED_OPTIONS names it."
        ),
    ] = None
    client_message_id: ClientMessageId | None = msgspec.field(default=None, name="clientMessageId")
    replaces: Annotated[
        RowId | None,
        Meta(description="The user message to replace, with all messages after it."),
    ] = None

    def documents(self) -> Sequence[int] | UnsetType:
        """Return the documents, each once, however they are named; UNSET for those of the session.

        Raises `invalid` for more than MAX_DOCUMENTS, and for a `document_id` that is not the first.
        """
        first = self.documentId if self.document_id is UNSET else self.document_id
        given = self.documentIds if self.document_ids is UNSET else self.document_ids
        if given is UNSET:
            return UNSET if first is UNSET else () if first is None else (first,)
        documents = list(dict.fromkeys(given or ()))
        if len(documents) > MAX_DOCUMENTS:
            raise unusable("document_ids", f"a session has at most {MAX_DOCUMENTS} documents; leave some out")
        if first is not UNSET and first != next(iter(documents), None):
            raise unusable("document_id", "it is not the first of document_ids; send one of the two")
        return documents

    async def checked(self, allowed: Collection[str]) -> "Send":
        """Return the message as it is kept, and as Ollama will take it.

        `allowed` are the operator's options that a message may have; `*` stands for all. Raises
        `option_not_allowed`, or `invalid` for a message that says nothing, and for a `keep_alive` that Ollama
        would refuse.
        """
        if not self.message and not self.images and self.replaces is None:
            raise says_nothing()
        if self.keep_alive is not None and "keep_alive" in _refused(allowed):
            raise ChatError(
                "option_not_allowed",
                "keep_alive would load or unload the model for everybody who uses it; set OLLAMA_KEEP_ALIVE"
                " in Ollama's own environment, or name keep_alive in ALLOWED_OPTIONS.",
                field="keep_alive",
            )
        check_options(self.options, allowed)
        keep_alive = _duration(self.keep_alive)
        documents = self.documents()
        return Send(
            message=self.message,
            documents=documents,
            model=self.model,
            system=self.system,
            images=self.images or (),
            options=_encoded(self.options),
            num_predict=_num_predict(self.options),
            think=self.think,
            format=_encoded(self.format),
            keep_alive=keep_alive,
            client_message_id=self.client_message_id,
            fingerprint=(
                await _fingerprint(self._in_one_form(documents, keep_alive))
                if self.client_message_id
                else None
            ),
            replaces=self.replaces,
        )

    def _in_one_form(
        self, documents: Sequence[int] | UnsetType, keep_alive: str | float | None
    ) -> "SendRequest":
        """Return what sends that mean the same have in common. One document is that of `document_id`."""
        one: int | UnsetType | None = UNSET
        several: list[int] | UnsetType = UNSET
        if documents is not UNSET:
            one, several = (
                (UNSET, [*documents]) if len(documents) > 1 else (next(iter(documents), None), UNSET)
            )
        return replace(
            self,
            keep_alive=keep_alive,
            document_id=one,
            documentId=UNSET,
            document_ids=several,
            documentIds=UNSET,
        )


class Send(Struct, frozen=True, kw_only=True):
    """A message to answer, as it is kept until Ollama has it; the fields are those of SendRequest.

    `options` and `format` stay encoded: unfolded, they take thirty times as much. `num_predict` is that of
    the options. `fingerprint` is a hash of all fields, which sends with one `clientMessageId` must have in
    common; None without such an id.

    A Response has three more: `follows` is the answer that it goes on after, which supersedes what came after
    that; for `asked` and `unattended`, see `answers.answer.Answer`.
    """

    message: str
    documents: Sequence[int] | UnsetType = UNSET
    model: str | None = None
    system: str | None = None
    images: Sequence[bytes] = ()
    options: Raw | None = None
    num_predict: int | None = None
    think: bool | str | None = None
    format: Raw | None = None
    keep_alive: str | float | None = None
    client_message_id: str | None = None
    fingerprint: str | None = None
    replaces: int | None = None
    follows: int | None = None
    asked: Raw | None = None
    unattended: bool = False

    def with_options(self, options: Mapping[str, Any], allowed: Collection[str]) -> "Send":
        """Return the message with those of a session's options that are `allowed`, now that it is sent."""
        refused = _refused(allowed)
        kept = {name: value for name, value in options.items() if name not in refused}
        return replace(self, options=_encoded(kept), num_predict=_num_predict(kept))


def check_options(options: Mapping[str, Any] | None, allowed: Collection[str]) -> None:
    """Raise `option_not_allowed` for one of the operator's options that is not `allowed`."""
    refused = _refused(allowed)
    for name in options or ():
        if name in RELOADING and name in refused:
            raise ChatError(
                "option_not_allowed",
                f"The option {name} would reload the model for everybody who uses it; set it in the model's"
                " Modelfile or in Ollama's own environment, or name it in ALLOWED_OPTIONS.",
                field=f"options.{name}",
            )


def _refused(allowed: Collection[str]) -> frozenset[str]:
    return frozenset() if "*" in allowed else frozenset(OPERATORS_OPTIONS).difference(allowed)


def _num_predict(options: Mapping[str, Any] | None) -> int | None:
    wanted = (options or {}).get("num_predict")
    return wanted if isinstance(wanted, int) else None


def says_nothing() -> ChatError:
    """Return the error for a message with neither text nor images."""
    return unusable("message", "write something, or send an image")


def _encoded(value: object) -> Raw | None:
    return None if value is None else Raw(msgspec.json.encode(value))


async def _fingerprint(request: SendRequest) -> str:
    return await asyncio.to_thread(_hash, request) if request.images else _hash(request)


def _hash(request: SendRequest) -> str:
    return hashlib.sha256(msgspec.json.encode(request, order="sorted")).hexdigest()


def _duration(given: str | float | None) -> str | float | None:
    """Return a `keep_alive` as Ollama takes it: a number that was sent as text as a number.

    Raises `invalid` for what it refuses.
    """
    if not isinstance(given, str):
        return given
    if _NUMBER.fullmatch(given) and abs(float(given)) <= MAX_KEEP_ALIVE:
        return float(given) if "." in given else int(given)
    parts = _PART.findall(given) if _DURATION.fullmatch(given) else []
    if parts and sum(float(number) * _UNITS[unit] for number, unit in parts) <= MAX_KEEP_ALIVE:
        return given
    raise unusable("keep_alive", "send a number of seconds, or a duration such as 10m or 1h30m")
