"""The body of a send; see docs/api.md, Sending."""

import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from chatproxy.errors import ChatError

MAX_MESSAGE: Final = 256 * 1024  # bytes of UTF-8

# When one of these changes, Ollama reloads the model for everyone who uses it.
RELOADING: Final = frozenset({"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"})

RowId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
SystemPrompt = Annotated[str, Meta(description="The system prompt.")]
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


class SendRequest(Struct, frozen=True, kw_only=True):
    """A message to answer. Unknown fields are ignored. Null means absent, but removes the document."""

    message: Annotated[str, Meta(min_length=1, description=f"Up to {MAX_MESSAGE // 1024} KiB in UTF-8.")]
    document_id: Annotated[
        RowId | UnsetType | None,
        Meta(description="The document to answer from. Absent: the session's. Null: none from now on."),
    ] = UNSET
    documentId: Annotated[RowId | UnsetType | None, Meta(description="The same as `document_id`.")] = UNSET
    model: ModelName | None = None
    system: SystemPrompt | None = None
    images: Annotated[list[bytes] | None, Meta(description="Each in base64.")] = None
    options: Annotated[
        dict[str, Any] | None,
        Meta(
            description=f"For Ollama. Refused, because they reload the model: {', '.join(sorted(RELOADING))}."
        ),
    ] = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    format: Annotated[str | dict[str, Any] | None, Meta(description='"json", or a JSON Schema.')] = None
    keep_alive: Annotated[
        str | int | float | None,
        Meta(description="How long to keep the model loaded: seconds, or a duration such as 10m."),
    ] = None
    client_message_id: ClientMessageId | None = msgspec.field(default=None, name="clientMessageId")
    replaces: Annotated[
        RowId | None,
        Meta(description="The user message to replace, with all messages after it."),
    ] = None

    @property
    def document(self) -> int | UnsetType | None:
        """The document in either spelling."""
        return self.documentId if self.document_id is UNSET else self.document_id

    def checked(self) -> "SendRequest":
        """Return the request. Raises `too_large` or `option_not_allowed`, which its types cannot express."""
        if len(self.message.encode()) > MAX_MESSAGE:
            raise ChatError(
                "too_large",
                f"The message is longer than {MAX_MESSAGE // 1024} KiB; shorten it or send it in parts.",
            )
        for name in self.options or ():
            if name in RELOADING:
                raise ChatError(
                    "option_not_allowed",
                    f"The option {name} would reload the model for everybody who uses it; set it in the"
                    " model's Modelfile or in Ollama's own environment.",
                    field=f"options.{name}",
                )
        return self

    def fingerprint(self) -> str:
        """Return a hash of all known fields, which sends with one `clientMessageId` must have in common."""
        one_spelling = replace(self, document_id=self.document, documentId=UNSET)
        return hashlib.sha256(msgspec.json.encode(one_spelling, order="sorted")).hexdigest()
