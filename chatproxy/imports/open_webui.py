"""Open WebUI's export: an array of chats, or one.

A chat is `{id, title, chat: {…}}` or what is in its `chat` alone: `history.messages`, a tree by id in which
the conversation ends with `history.currentId`, or in older exports only `messages`, a list. Thinking stands
in an answer's text as `<details type="reasoning">`, or in `output` as a block of its own; images are data
URLs in `files`.
"""

import html
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from chatproxy.imports.conversation import (
    MAX_IMAGES,
    MAX_MESSAGES,
    Conversation,
    Fields,
    Instructions,
    branch,
    fields,
    get,
    image,
    items,
    listed,
    name,
    text,
    title,
    too_many,
    unreadable,
    value,
    when,
)
from chatproxy.store.records import ImportedTurn

_BEGIN: Final = "<details"
_END: Final = "</details>"
_TYPE: Final = re.compile(r'\btype="(\w+)"')
# What an answer may have beside its text: why it failed, and one answer made of those of several models.
_BESIDES: Final = ("error", "merged")
_QUOTED: Final = re.compile(r"^> ?", re.MULTILINE)


def is_mine(found: Fields) -> bool:
    """Return whether an object is a chat of Open WebUI's."""
    return "chat" in found or "history" in found


def read(found: Fields) -> Conversation:
    """Return a conversation. Raises `invalid` and `too_large`."""
    inner = fields(found.get("chat"))
    if isinstance(encoded := value(found.get("chat")) if not inner and "chat" in found else None, str):
        inner = fields(bytearray(encoded, "utf-8", "replace"))  # as it is in the database
    chat = inner or found
    left_out: Counter[str] = Counter()
    history = fields(chat.get("history"))
    nodes = fields(history.get("messages"))
    if nodes:
        last = text(value(history.get("currentId")))
        if last not in nodes:
            last = next(reversed([*nodes]))

        def parent(id: str) -> str | None:
            before = text(value(fields(nodes[id]).get("parentId")))
            return before if before in nodes else None

        path = branch(last, parent)
        left_out["branches"] += len(nodes) - len(path)
        messages = [nodes[id] for id in path]
    else:
        messages = [*items(chat.get("messages"))]
    if not messages:
        raise unreadable("This chat has no messages")
    if len(messages) > MAX_MESSAGES:
        raise too_many()
    prompts = [text(value(chat.get("system"))), text(get(value(chat.get("params")), "system"))]
    left_out["attachments"] += sum(get(file, "type") != "image" for file in listed(value(chat.get("files"))))
    models = [name(model) for model in listed(value(chat.get("models")))]
    return Conversation(
        id=name(value(found.get("id"))) or name(value(chat.get("id"))),
        title=title(value(found.get("title"))) or title(value(chat.get("title"))),
        created_at=when(value(found.get("created_at"))) or when(value(chat.get("timestamp"))),
        updated_at=when(value(found.get("updated_at"))),
        turns=_turns(map(value, messages), prompts, next(iter(models), None), left_out),
        left_out=left_out,
    )


def _turns(
    messages: Iterable[Any], prompts: list[str], model: str | None, left_out: Counter[str]
) -> Iterator[ImportedTurn]:
    instructions = Instructions(left_out)
    for prompt in dict.fromkeys(prompts):
        yield from instructions.turn(prompt)
    for message in messages:
        role = get(message, "role")
        content, images = _content(get(message, "content"), left_out)
        files = [*listed(get(message, "files")), *({"url": url} for url in listed(get(message, "images")))]
        images += _images(files, left_out)
        left_out["images"] += max(0, len(images) - MAX_IMAGES)
        images = images[:MAX_IMAGES]
        created = when(get(message, "timestamp"))
        if role == "system":
            yield from instructions.turn(content)
        elif role == "user" and (content.strip() or files or images):
            yield ImportedTurn(role="user", content=content, images=images, created_at=created)
        elif role == "assistant":
            left_out["images"] += len(images)
            thinking, content = _thinking(content, left_out)
            thinking, content = _output(message, thinking, content, left_out)
            left_out["other"] += sum(bool(get(message, part)) for part in _BESIDES)
            if not content.strip() and not thinking.strip():
                continue
            is_whole = get(message, "done") is not False
            yield ImportedTurn(
                role="assistant",
                content=content,
                thinking=thinking,
                model=name(get(message, "model")) or model,
                status="complete" if is_whole else "cancelled",
                finish_reason="stop" if is_whole else "cancelled",
                created_at=created,
            )
        elif role == "tool":
            left_out["tools"] += 1
        elif message is not None and role != "user":
            left_out["other"] += 1


def _content(content: object, left_out: Counter[str]) -> tuple[str, list[bytes]]:
    """Return the text and the images of a message's content, which is a text or a list of parts."""
    if isinstance(content, str):
        return content, []
    left_out["other"] += content is not None and not isinstance(content, list)
    texts: list[str] = []
    images: list[bytes] = []
    for part in listed(content):
        if get(part, "type") in ("text", "input_text", "output_text"):
            texts.append(text(get(part, "text")))
        elif get(part, "type") == "image_url":
            images += _images([{"url": get(part, "image_url", "url")}], left_out)
        else:
            left_out["other"] += 1
    return "\n\n".join(texts), images


def _images(files: list[Any], left_out: Counter[str]) -> list[bytes]:
    """Return the images among files, and count the rest."""
    images: list[bytes] = []
    for file in files:
        is_image = get(file, "type") in (None, "image") or text(get(file, "content_type")).startswith(
            "image/"
        )
        if found := image(get(file, "url")) if is_image else None:
            images.append(found)
        else:
            left_out["images" if is_image else "attachments"] += 1
    return images


def _thinking(content: str, left_out: Counter[str]) -> tuple[str, str]:
    """Take thinking and calls of tools out of an answer's text; return both."""
    thinking: list[str] = []
    kept: list[str] = []
    at = 0
    for start, inside, end in _details(content):
        kind = _TYPE.search(content, start, inside)
        if kind is None or kind[1] not in {"reasoning", "tool_calls", "code_interpreter"}:
            continue
        if kind[1] == "reasoning":
            body = content[inside : end - len(_END)].strip()
            if body.startswith("<summary>"):
                body = body.partition("</summary>")[2]
            thinking.append(_QUOTED.sub("", html.unescape(body.strip("\n"))).strip())
        else:
            left_out["tools"] += 1
        kept.append(content[at:start])
        at = end
    if not at:
        return "", content
    return "\n\n".join(thinking), "".join([*kept, content[at:]]).strip()


def _details(content: str) -> Iterator[tuple[int, int, int]]:
    """Yield where each block begins, where its inside does, and where it ends; none within another."""
    end = 0
    while (start := content.find(_BEGIN, end)) >= 0:
        inside = content.find(">", start) + 1
        end = content.find(_END, inside) + len(_END)
        if not inside or end < inside:
            return
        yield start, inside, end


def _output(message: object, thinking: str, content: str, left_out: Counter[str]) -> tuple[str, str]:
    """Return thinking and text; where the text has none, those of the blocks in `output`."""
    thoughts, texts = [], []
    for block in listed(get(message, "output")):
        kind = get(block, "type")
        pieces = [text(get(part, "text")) for part in listed(get(block, "content"))]
        if kind == "reasoning":
            pieces += [text(get(part, "text")) for part in listed(get(block, "summary"))]
            thoughts += pieces
        elif kind == "message":
            texts += pieces
        elif not content.strip() or not thinking.strip():
            left_out["tools"] += 1
    reasoning = text(get(message, "reasoning_content")) or text(get(message, "reasoning"))
    return thinking or "\n\n".join(thoughts) or reasoning, content or "\n\n".join(texts)
