"""What a client may send: the body of API.md's section "Sending", checked on the way in."""

import hashlib
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from chatproxy.errors import ChatError

MAX_MESSAGE: Final = 256 * 1024  # bytes of UTF-8

# Ollama starts the model anew when one of these changes, for everybody who uses it.
RELOADING: Final = frozenset({"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"})

RowId = Annotated[int, Meta(ge=1, le=2**63 - 1)]
ClientMessageId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._:-]{1,64}\Z")]
ModelName = Annotated[str, Meta(min_length=1, max_length=512)]


class SendRequest(Struct, frozen=True, kw_only=True):
    """Unknown fields are ignored; null is as good as absent, but for a document, where it takes it off."""

    message: Annotated[str, Meta(min_length=1)]
    document_id: RowId | UnsetType | None = UNSET
    documentId: RowId | UnsetType | None = UNSET  # the other spelling
    model: ModelName | None = None
    system: str | None = None
    images: list[bytes] | None = None  # base64 in the JSON
    options: dict[str, Any] | None = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    format: str | dict[str, Any] | None = None
    keep_alive: str | int | float | None = None
    client_message_id: ClientMessageId | None = msgspec.field(default=None, name="clientMessageId")
    replaces: RowId | None = None

    @property
    def document(self) -> int | UnsetType | None:
        return self.documentId if self.document_id is UNSET else self.document_id

    def checked(self) -> "SendRequest":
        """Itself. Raises what the types cannot say."""
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
        """What two sends with one `clientMessageId` must have in common: every known field."""
        one_spelling = replace(self, document_id=self.document, documentId=UNSET)
        return hashlib.sha256(msgspec.json.encode(one_spelling, order="sorted")).hexdigest()
