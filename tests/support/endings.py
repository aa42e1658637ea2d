"""How a stream ended, as strict clients of Ollama, OpenAI and Anthropic read it.

    assert ending("/v1/messages", body) == COMPLETE      # or ERROR, or CUT where the end is missing
    SHORT["/v1/messages"]                                # a stream to be cut

NDJSON is read line by line. Server-Sent Events are read as the standard says (WHATWG HTML, 9.2.6): an event
counts once an empty line follows it.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

from fake_ollama import last, token

COMPLETE: Final = "complete"
ERROR: Final = "error"
CUT: Final = "cut"
# Where OpenAI's newer API and Anthropic's say the type of an event, these are the last ones.
_LAST_TYPES: Final = {"message_stop", "response.completed", "response.incomplete", "response.failed"}

# A whole stream of each API, short enough to be cut at every byte.
SHORT: Final = {
    "/api/chat": token("Hi ") + token("\u00fc\u4e2d\U0001f44b") + last("", eval_count=2),
    "/api/generate": b'{"model":"m","response":"Hi","done":false}\n'
    b'{"model":"m","response":"","done":true,"done_reason":"stop","context":[1,2,3],"eval_count":2}\n',
    "/v1/chat/completions": b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n",
    "/v1/completions": b'data: {"choices":[{"text":"Hi","finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    "/v1/responses": b"event: response.output_text.delta\n"
    b'data: {"delta":"Hi","sequence_number":4,"type":"response.output_text.delta"}\n\n'
    b"event: response.completed\n"
    b'data: {"response":{"status":"completed"},"sequence_number":5,"type":"response.completed"}\n\n',
    "/v1/messages": b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}


def ending(path: str, body: bytes) -> str:
    """Return COMPLETE, ERROR or CUT for the body of a streamed answer."""
    last = list(_lines(body) if path.startswith("/api/") else _data(body))[-1:]
    if last == [b"[DONE]"]:
        return COMPLETE
    said: Any = None
    with suppress(ValueError):
        said = json.loads(last[0] if last else b"")
    if not isinstance(said, dict):
        return CUT
    if said.get("error"):
        return ERROR
    return COMPLETE if said.get("done") is True or said.get("type") in _LAST_TYPES else CUT


def sentence(path: str, body: bytes) -> str:
    """Return the sentence of the error that ends a stream; it has to be there."""
    last = list(_lines(body) if path.startswith("/api/") else _data(body))[-1]
    said = json.loads(last)["error"]
    return str(said if isinstance(said, str) else said["message"])


def _lines(body: bytes) -> Iterator[bytes]:
    return (line for line in body.split(b"\n") if line)


def _data(body: bytes) -> Iterator[bytes]:
    """Return the data of each event that is whole."""
    for event in body.split(b"\n\n")[:-1]:
        lines = [line.removeprefix(b"data: ") for line in event.split(b"\n") if line.startswith(b"data: ")]
        if lines:
            yield b"\n".join(lines)
