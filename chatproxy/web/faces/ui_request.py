"""The body of a send in the AI SDK's words, of which only the last message is read unless the chat is new."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NoReturn, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from chatproxy.errors import ChatError, unusable
from chatproxy.prompt.images import image_in
from chatproxy.prompt.request import (
    MAX_IDS,
    MAX_IMAGE,
    MAX_IMAGES,
    MAX_JSON,
    MAX_MESSAGE,
    ModelName,
    RowId,
    RowIds,
    SendRequest,
    SystemPrompt,
    at_most,
)
from chatproxy.store.database import size_of
from chatproxy.store.messages import MAX_TURNS
from chatproxy.store.records import ImportedTurn
from chatproxy.web.api.imports import MAX_TEXT
from chatproxy.web.faces.ui_messages import is_id
from chatproxy.web.json import MAX_BODY, reading_json

# Each message and each part is followed by a comma. So lists of nothing, too, unfold to some 100 MiB at most.
MAX_COMMAS: Final = 2**20
ONLY_THE_LAST: Final = "send only the last one, as `message`."
IDS: Final = "1 to 44 letters, digits and `.`, `_`, `:` or `-`"

T = TypeVar("T")


class ChatRequest(Struct, frozen=True, kw_only=True, rename="camel"):
    """What `useChat` sends. Unknown fields are ignored."""

    id: Annotated[
        str, Meta(min_length=1, max_length=44, description=f"The chat's id, which is the session's: {IDS}.")
    ]
    messages: Annotated[
        Raw | UnsetType,
        at_most(MAX_BODY, "The conversation, `{id, role, parts}` each; the last is taken.", type="array"),
    ] = UNSET
    message: Annotated[
        Raw | UnsetType, at_most(MAX_BODY, "The last message, instead of `messages`.", type="object")
    ] = UNSET
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: (
        Annotated[
            str,
            Meta(
                max_length=256, description="Of the message that is edited, or of the answer to write again."
            ),
        ]
        | None
    ) = None
    document_id: Annotated[
        RowId | UnsetType | None,
        Meta(description="The document to answer from. Absent: the session's. Null: none from now on."),
    ] = UNSET
    document_ids: Annotated[
        RowIds | UnsetType | None,
        at_most(MAX_IDS, "All documents to answer from, instead of `documentId`. Null or empty: none."),
    ] = UNSET
    model: ModelName | None = None
    system: SystemPrompt | None = None
    options: Annotated[dict[str, Any] | None, at_most(MAX_JSON, "For Ollama.")] = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None

    @property
    def size(self) -> int:
        """The bytes of the messages, which are still encoded."""
        return sum(len(memoryview(raw)) for raw in (self.messages, self.message) if raw is not UNSET)


class Part(Struct, frozen=True, gc=False):
    """What is read of a part."""

    type: str
    text: str = ""
    url: str = ""


class Sent(Struct, frozen=True):
    """A message as it was sent."""

    id: str
    role: Literal["user", "assistant", "system"]
    parts: list[Part]


def question(body: ChatRequest) -> tuple[str, SendRequest]:
    """Return the client's id of the last message, and that message as chatproxy's own API would be sent it.

    Nothing is replaced by it. What is unfolded here may take much more than it did in the body, so nothing of
    it is kept. Raises `invalid` or `too_large`.
    """
    if not is_id(body.id) or body.id in {".", ".."}:
        _refuse("id", f"use {IDS}")
    message = _decoded(_split(body)[1], Sent)
    if message.role != "user":
        _refuse("messages", f"the last one has the role {message.role}; send a message of the user's")
    if not is_id(message.id):
        _refuse("messages", f"the id of the last one is not {IDS}")
    texts: list[str] = []
    images: list[bytes] = []
    for part in message.parts:
        if part.type == "text":
            texts.append(part.text)
        elif part.type == "file":
            images.append(_image(part))
    text = "\n".join(texts)
    if not text and not images:
        _refuse("messages", "the last one is empty; write something")
    if len(text.encode()) > MAX_MESSAGE:
        raise ChatError("too_large", f"The message is longer than {MAX_MESSAGE // 1024} KiB; shorten it.")
    if len(images) > MAX_IMAGES:
        _refuse("parts", f"there are more than {MAX_IMAGES} images")
    return message.id, SendRequest(
        message=text,
        documentId=body.document_id,
        documentIds=body.document_ids,
        model=body.model,
        system=body.system,
        images=images or None,
        options=body.options,
        think=body.think,
        client_message_id=message.id,
    )


def turns(body: ChatRequest, last: str) -> list[ImportedTurn]:
    """Return the text of a conversation before its last message, which is `last`, under the client's ids.

    Raises `invalid` or `too_large`.
    """
    history, _ = _split(body)
    if len(history) > MAX_TURNS:
        raise ChatError("too_large", f"There are more than {MAX_TURNS} messages; {ONLY_THE_LAST}")
    found: list[ImportedTurn] = []
    used = {last}
    for raw in history:
        message = _decoded(raw, Sent)
        text = "\n".join([part.text for part in message.parts if part.type == "text"])
        if size_of(text) > MAX_TEXT:
            raise ChatError(
                "too_large", f"A message is longer than {MAX_TEXT // 1024**2} MiB; {ONLY_THE_LAST}"
            )
        if text:
            known = is_id(message.id) and message.id not in used
            used.add(message.id)
            name = message.id if known else None
            found.append(ImportedTurn(role=message.role, content=text, client_message_id=name))
    return found


def _split(body: ChatRequest) -> tuple[Sequence[Raw], Raw]:
    """Return the history and the last message. Raises `invalid` or `too_large`."""
    if body.messages is not UNSET and body.message is not UNSET:
        _refuse("message", "it is the last of `messages`; send one of the two")
    if any(bytes(raw).count(b",") > MAX_COMMAS for raw in (body.messages, body.message) if raw is not UNSET):
        raise ChatError("too_large", f"messages has too much in it; {ONLY_THE_LAST}")
    if body.message is not UNSET:
        return [], body.message
    if body.messages is UNSET:
        _refuse("messages", "they are absent")
    *history, last = _decoded(body.messages, list[Raw]) or _refuse("messages", "there are none")
    return history, last


def _image(part: Part) -> bytes:
    try:
        image = image_in(part.url)
    except ValueError:
        _refuse("parts", "an image is not in base64")
    if image is None:
        _refuse("parts", "only images can be sent with a message, as data URLs; upload a document instead")
    if not image:
        _refuse("parts", "an image is empty")
    if len(image) > MAX_IMAGE:
        raise ChatError(
            "too_large", f"An image is larger than {MAX_IMAGE // 1024**2} MiB; send a smaller one."
        )
    return image


def _decoded(raw: Raw, kind: type[T]) -> T:
    with reading_json("messages"):
        return msgspec.json.decode(raw, type=kind)


def _refuse(field: str, cause: str) -> NoReturn:
    raise unusable(field, cause)
