"""What a real Ollama sent, byte for byte: `data/ollama/NAME.ndjson`, `NAME.sse` and `NAME.body`.

    recorded("answer_cold")                  # the bytes; reads("answer_cold") has their pieces and times
    texts("answer_cold")                     # its thinking and its content
    recorded("faces/messages")               # what is not asked at `/api/chat`; see faces/README.md

`NAME.json` holds the request, the status, and `reads`: `[milliseconds, bytes]` of each piece as it came.
"""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

DATA: Final = Path(__file__).parents[1] / "data" / "ollama"
STREAMS: Final = sorted(path.stem for path in DATA.glob("*.ndjson"))
# Those of other paths than `/api/chat`, in one piece or streamed.
FACES: Final = sorted(f"faces/{path.stem}" for path in (DATA / "faces").glob("*.json"))
# Those that end otherwise than with `done: true`.
BROKEN: Final = {
    "ends_without_done": "upstream_incomplete",
    "closed_by_client": "upstream_incomplete",
    "runner_killed": "upstream_error",
}


def recorded(name: str) -> bytes:
    (path,) = (path for kind in ("ndjson", "sse", "body") if (path := DATA / f"{name}.{kind}").exists())
    return path.read_bytes()


def about(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_bytes())


def reads(name: str) -> tuple[list[bytes], list[float]]:
    """Return the pieces as the socket gave them, and the seconds before each."""
    data, rows = recorded(name), about(name)["reads"]
    ends = [0]
    for _, size in rows:
        ends.append(ends[-1] + size)
    times = [0.0, *(ms / 1000 for ms, _ in rows)]
    return [data[a:b] for a, b in pairwise(ends)], [b - a for a, b in pairwise(times)]


def whole(data: bytes) -> list[bytes]:
    return [data]


def by_line(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.removesuffix(b"\n").split(b"\n")]


def by_byte(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def at_random(data: bytes, seed: int = 1, most: int = 200) -> list[bytes]:
    return list(_random_pieces(data, Random(seed), most))


def _random_pieces(data: bytes, random: Random, most: int) -> Iterator[bytes]:
    while data:
        size = random.randint(1, most)
        yield data[:size]
        data = data[size:]


CUTS: Final = (whole, by_line, by_byte, at_random)


def texts(name: str) -> tuple[str, str]:
    """Return thinking and content of a recording, read by other code than that under test."""
    lines = [json.loads(line) for line in recorded(name).decode().split("\n") if line]
    messages = [line.get("message", {}) for line in lines]
    return (
        "".join(message.get("thinking", "") for message in messages),
        "".join(message.get("content", "") for message in messages),
    )
