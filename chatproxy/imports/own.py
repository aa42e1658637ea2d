"""chatproxy's own exports: `{"session": …, "messages": […]}`, one, or an array of them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from chatproxy.imports.conversation import (
    MAX_IMAGE,
    MAX_IMAGES,
    MAX_MESSAGES,
    MAX_OPTIONS,
    MAX_TITLE,
    Conversation,
    Fields,
    decoded,
    items,
    name,
    too_many,
    unreadable,
    value,
    when,
)
from chatproxy.store.messages import INTERRUPTED
from chatproxy.store.records import ExportedMessage, ImportedTurn, Session

_CLIENT_MESSAGE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


def is_mine(found: Fields) -> bool:
    """Return whether an object is a session that chatproxy exported."""
    return "session" in found


def read(found: Fields) -> Conversation:
    """Return a conversation. Raises `invalid` and `too_large`."""
    session = decoded(found["session"], Session)
    messages = items(found.get("messages"))
    if len(messages) > MAX_MESSAGES:
        raise too_many()
    if value(found.get("complete")) is False:
        raise unreadable("This session was deleted while it was exported, so only a part of it is here")
    left_out: Counter[str] = Counter()
    left_out["documents"] += max(len(session.document_ids), session.document_id is not None)
    return Conversation(
        id=session.id,
        title=(session.title or "")[:MAX_TITLE] or None,
        model=name(session.model),
        system=session.system,
        think=session.think,
        options=session.options if len(msgspec.json.encode(session.options)) <= MAX_OPTIONS else None,
        pinned=session.pinned,
        created_at=when(session.created_at),
        updated_at=when(session.updated_at),
        turns=_turns(messages, left_out),
        left_out=left_out,
    )


def _turns(messages: Iterable[Raw], left_out: Counter[str]) -> Iterator[ImportedTurn]:
    used: set[str] = set()
    for raw in messages:
        message = decoded(raw, ExportedMessage)
        unfinished = message.status == "streaming"
        # Of a version (`web/faces/ui_messages`), what clients know it by; what it replaced is not here.
        client_id = message.client_message_id and message.client_message_id.partition("/")[0]
        if client_id is not None and (client_id in used or not _CLIENT_MESSAGE_ID.fullmatch(client_id)):
            client_id = None
        used |= {client_id} if client_id is not None else set()
        images = [image for image in message.images if 0 < len(image) <= MAX_IMAGE][:MAX_IMAGES]
        left_out["images"] += max(len(message.images), message.image_count) - len(images)
        yield ImportedTurn(
            role=message.role,
            content=message.content,
            thinking=message.thinking,
            status="interrupted" if unfinished else message.status,
            model=name(message.model),
            model_reason=message.model_reason,
            # A number of another database's would be that of another document here.
            sources=[replace(source, document_id=0) for source in message.sources],
            warnings=message.warnings,
            finish_reason=message.finish_reason,
            usage=message.usage,
            error=INTERRUPTED if unfinished else message.error,
            images=images,
            client_message_id=client_id,
            created_at=when(message.created_at),
            updated_at=when(message.updated_at),
        )
