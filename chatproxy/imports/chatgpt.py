"""ChatGPT's export: `conversations.json`, an array of conversations.

Each is a tree of messages, `mapping`, and the conversation goes from its root to `current_node`. A message
has an author (system, user, assistant or tool), a recipient (a tool for a call, else `all`) and contents of
some kind: `text` and `multimodal_text` with `parts`, `code` and `execution_output` with `text`, `thoughts`
with a list, `user_editable_context` with the user's instructions. Images are not in the file, only their
names.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from chatproxy.imports.conversation import (
    Conversation,
    Fields,
    Instructions,
    branch,
    fields,
    get,
    listed,
    name,
    text,
    title,
    unreadable,
    value,
    when,
)
from chatproxy.store.records import FinishReason, ImportedTurn, Status

# A mark that the page shows as a link, such as `citeturn0search1` between characters of private use.
_CITATION: Final = re.compile("\ue200[^\ue200\ue201]{0,1000}\ue201")
_SILENT: Final = ("reasoning_recap", "model_editable_context", "system_error")


def is_mine(found: Fields) -> bool:
    """Return whether an object is a conversation of ChatGPT's."""
    return "mapping" in found


def read(found: Fields) -> Conversation:
    """Return a conversation. Raises `invalid` and `too_large`."""
    nodes = fields(found["mapping"])
    last = text(value(found.get("current_node")))
    if last not in nodes:
        last = next(reversed([*nodes]), "")
    if not last:
        raise unreadable("This conversation has no messages")
    left_out: Counter[str] = Counter()
    model = name(value(found.get("default_model_slug")))

    def parent(id: str) -> str | None:
        before = text(value(fields(nodes[id]).get("parent")))
        return before if before in nodes else None

    path = branch(last, parent)
    left_out["branches"] += len(nodes) - len(path)
    return Conversation(
        id=name(value(found.get("conversation_id"))) or name(value(found.get("id"))),
        title=title(value(found.get("title"))),
        created_at=when(value(found.get("create_time"))),
        updated_at=when(value(found.get("update_time"))),
        turns=_turns((value(fields(nodes[id]).get("message")) for id in path), model, left_out),
        left_out=left_out,
    )


def _turns(messages: Iterator[Any], model: str | None, left_out: Counter[str]) -> Iterator[ImportedTurn]:
    instructions = Instructions(left_out)
    thoughts: list[str] = []  # of the next answer
    for message in messages:
        if not isinstance(message, dict):
            continue
        role, kind = get(message, "author", "role"), get(message, "content", "content_type")
        if kind == "user_editable_context":
            for part in ("user_profile", "user_instructions"):
                yield from instructions.turn(text(get(message, "content", part)))
            continue
        if role == "assistant" and kind == "thoughts":
            thoughts += _thoughts(message)
            continue
        content = _content(message, left_out)
        if role == "tool" or get(message, "recipient") not in (None, "all"):
            left_out["tools"] += bool(content.strip())
        elif kind in _SILENT:
            left_out["hidden"] += 1
        elif get(message, "metadata", "is_visually_hidden_from_conversation") is True:
            left_out["hidden"] += bool(content.strip())
        elif role == "system":
            yield from instructions.turn(content)
        elif role == "user" and (content.strip() or _has_files(message)):
            yield ImportedTurn(
                role="user", content=content, created_at=_created(message), updated_at=_updated(message)
            )
        elif role == "assistant" and content.strip():
            status, reason = _ending(message)
            yield ImportedTurn(
                role="assistant",
                content=_CITATION.sub("", content),
                thinking="\n\n".join(thoughts),
                model=name(get(message, "metadata", "model_slug")) or model,
                status=status,
                finish_reason=reason,
                created_at=_created(message),
                updated_at=_updated(message),
            )
            left_out["citations"] += len(_CITATION.findall(content))
            thoughts = []
        elif role not in ("user", "assistant") and content.strip():
            left_out["other"] += 1
    if thoughts:
        left_out["other"] += 1


def _thoughts(message: dict[str, Any]) -> Iterator[str]:
    for thought in listed(get(message, "content", "thoughts")):
        lines = [text(get(thought, "summary")), text(get(thought, "content"))]
        if both := "\n".join(line for line in lines if line.strip()):
            yield both


def _content(message: dict[str, Any], left_out: Counter[str]) -> str:
    """Return the text of a message, and count what it has besides."""
    content = get(message, "content")
    for file in listed(get(message, "metadata", "attachments")):
        left_out["attachments"] += not text(get(file, "mime_type")).startswith("image/")
    pieces = [_part(part, left_out) for part in listed(get(content, "parts"))]
    whole = "\n\n".join(piece for piece in pieces if piece.strip())
    if other := text(get(content, "text")):
        language = text(get(content, "language"))
        is_code = get(content, "content_type") == "code"
        whole += f"```{language if language.isalnum() else ''}\n{other}\n```" if is_code else other
    return whole


def _part(part: object, left_out: Counter[str]) -> str:
    kind = text(get(part, "content_type"))
    if isinstance(part, str):
        return part
    if kind == "image_asset_pointer":
        left_out["images"] += 1
    elif kind == "audio_transcription":
        return text(get(part, "text"))
    elif kind.endswith("asset_pointer"):
        left_out["attachments"] += 1
    elif part is not None:
        left_out["other"] += 1
    return ""


def _has_files(message: dict[str, Any]) -> bool:
    parts = listed(get(message, "content", "parts"))
    return any(isinstance(part, dict) for part in parts) or bool(
        listed(get(message, "metadata", "attachments"))
    )


def _ending(message: dict[str, Any]) -> tuple[Status, FinishReason]:
    if get(message, "metadata", "finish_details", "type") == "max_tokens":
        return "complete", "length"
    if get(message, "status") in (None, "finished_successfully"):
        return "complete", "stop"
    return "cancelled", "cancelled"


def _created(message: dict[str, Any]) -> str | None:
    return when(get(message, "create_time"))


def _updated(message: dict[str, Any]) -> str | None:
    return when(get(message, "update_time")) or _created(message)
