"""What is taken as it stands means the same as what is parsed, in whatever pieces it comes."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import pytest
from fake_ollama import error, last, line, token
from hypothesis import given
from hypothesis import strategies as st
from recordings import STREAMS, recorded
from waiting import until

from chatproxy.errors import ChatError
from chatproxy.ollama.exchange import Exchange, Heard, Receiver
from chatproxy.ollama.login import Login
from chatproxy.ollama.stream import ChatStream
from chatproxy.ollama.turns import Turns
from chatproxy.ollama.wire import Line, Message

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED: Final = OK.replace(b"200 OK", b"500 Internal Server Error")


class Unconnected:
    """An endpoint whose exchanges receive what a test has for them; without `takes`, all of it is parsed."""

    def __init__(self, *, takes: bool) -> None:
        self.login = Login()
        self._takes = takes
        self.exchange_made: Exchange

    async def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes,
        receiver: Receiver,
        kind: type[Exchange],
    ) -> Exchange:
        self.exchange_made = (kind if self._takes else Exchange)(b"", body, receiver, Turns(), heard=Heard())
        return self.exchange_made


class Seen(NamedTuple):
    """What a stream delivered: for each read, thinking, content and lines with text; and the outcome."""

    reads: list[tuple[str, str, int]]
    outcome: Line | tuple[str, str]
    taken: int  # reads that were taken as they stand


async def seen(pieces: Sequence[bytes], *, takes: bool, limit: int | None = None) -> Seen:
    endpoint = Unconnected(takes=takes)
    reads: list[tuple[str, str, int]] = []
    taken = 0

    def receive(lines: Sequence[Line]) -> None:
        texts = [each.thinking + each.content for each in lines]
        said = "".join([each.content for each in lines])
        reads.append(("".join([each.thinking for each in lines]), said, sum(map(bool, texts))))
        if len(reads) == limit:
            raise ChatError("internal", "enough")

    def receive_token(text: str, json: bytes) -> None:
        nonlocal taken
        taken += 1
        assert json.decode() == text
        receive([Line(message=Message(content=text))])

    stream = ChatStream(endpoint, b"")  # type: ignore[arg-type]
    stream.deliver(receive, receive_token)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    exchange = endpoint.exchange_made
    for piece in pieces:
        exchange.data_received(piece)
        await until(lambda: not exchange._unread)
    exchange.connection_lost(None)
    await asyncio.sleep(0)
    failure = stream.finished.exception()
    if failure is None:
        return Seen(reads, stream.finished.result(), taken)
    assert isinstance(failure, ChatError)
    return Seen(reads, (failure.code, failure.sentence), taken)


def both(pieces: Sequence[bytes], limit: int | None = None) -> Seen:
    """Return what was delivered, which has to be the same as if all of it had been parsed."""

    async def run() -> tuple[Seen, Seen]:
        return await seen(pieces, takes=True, limit=limit), await seen(pieces, takes=False, limit=limit)

    with asyncio.Runner() as runner:
        taking, parsing = runner.run(run())
    assert taking[:2] == parsing[:2]
    assert parsing.taken == 0
    return taking


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


END: Final = b"0\r\n\r\n"


@pytest.mark.parametrize("name", STREAMS)
def test_recordings(name: str) -> None:
    lines = recorded(name).splitlines(keepends=True)
    found = both([OK, *map(chunk, lines), END])
    assert found.taken == sum(_is_plain(json.loads(each)) for each in lines[1:])


def _is_plain(fields: dict[str, Any]) -> bool:
    """Return whether a line has nothing but text, of which JSON (as Go writes it) escapes nothing."""
    if fields.keys() != {"model", "created_at", "message", "done"}:
        return False
    message, text = fields["message"], fields["message"]["content"]
    return (
        message.keys() == {"role", "content"}
        and bool(text)
        and text.isprintable()
        and not set(text) & set('"\\<>&')
    )


LETTERS: Final = st.characters(codec="utf-8") | st.sampled_from(
    '\u2028\u2029\x85\x7f\xa0\u200b👩\u200d🚀"\\/<\n'
)
TEXTS: Final = st.text(LETTERS, max_size=6)
PLAIN: Final = token(" word")
LINES: Final = st.one_of(
    TEXTS.map(token),
    TEXTS.map(lambda text: token(thinking=text)),
    TEXTS.map(lambda text: line(message={"content": text}, done=False)),
    TEXTS.map(lambda text: token("x", model=text)),
    TEXTS.map(lambda text: json.dumps({"message": {"content": text}}).encode() + b"\n"),
    st.binary(max_size=6).map(lambda data: PLAIN.replace(b" word", data)),
    st.binary(max_size=3).map(lambda data: PLAIN.replace(b"gemma3", data)),
    st.binary(max_size=3).map(lambda data: PLAIN.replace(b"2026", data)),
    st.sampled_from(
        [
            PLAIN[:-1],  # without its newline: the next chunk goes on with it
            PLAIN + PLAIN,
            PLAIN + b"\n",
            b"\n" + PLAIN,
            b"\n",
            PLAIN[:30],
            PLAIN[30:],
            PLAIN.replace(b"false", b"true"),
            PLAIN.replace(b'"done"', b'"error":"no","done"'),
            PLAIN.replace(b"assistant", b"user"),
            PLAIN.replace(b'"done":false', b'"done": false'),
            last(),
            last(" end"),
            error("model runner has terminated"),
            b"<html>\n",
        ]
    ),
)
PLAIN_ONES: Final = st.sampled_from([token(" word"), token("é"), token("漢字"), token("😀!")])


def framed(data: bytes, how: str) -> bytes:
    """Return a chunk, or something like one."""
    size = b"%x" % len(data)
    match how:
        case "upper case":
            return chunk(data).replace(size, size.upper(), 1)
        case "zeros":
            return b"000" + chunk(data)
        case "extension":
            return b"%b;x=y\r\n%b\r\n" % (size, data)
        case "too short":
            return b"%x\r\n%b\r\n" % (max(0, len(data) - 1), data)
        case "too long":
            return b"%x\r\n%b\r\n" % (len(data) + 2, data)
        case "line feed":
            return b"%b\n%b\n" % (size, data)
        case _:
            return chunk(data)


KINDS: Final = ("upper case", "zeros", "extension", "too short", "too long", "line feed")
CHUNKS: Final = st.one_of(
    PLAIN_ONES.map(chunk),
    LINES.map(chunk),
    st.builds(framed, LINES | PLAIN_ONES, st.sampled_from(KINDS)),
    st.just(END),
)


@given(st.sampled_from([OK, REFUSED]), st.lists(CHUNKS, max_size=12), st.data())
def test_whatever_comes_in_whatever_pieces(head: bytes, chunks: list[bytes], data: st.DataObject) -> None:
    pieces = [head]
    for each in chunks:  # mostly as whole chunks, as Ollama sends them; else cut, or with the one before
        match data.draw(st.sampled_from(["whole", "whole", "cut", "joined"])):
            case "whole":
                pieces.append(each)
            case "cut":
                place = data.draw(st.integers(1, max(1, len(each) - 1)))
                pieces += filter(None, [each[:place], each[place:]])
            case _:
                pieces[-1] += each
    both(pieces, data.draw(st.none() | st.integers(1, 5)))


@pytest.mark.parametrize("how", ["", *KINDS])
def test_each_cut_of_each_framing(how: str) -> None:
    each = framed(token("é"), how)
    for place in range(len(each) + 1):
        both(
            [
                OK + chunk(PLAIN),
                *filter(None, [each[:place], each[place:]]),
                chunk(PLAIN),
                chunk(last()) + END,
            ]
        )


def test_what_ends_an_answer_while_it_is_read() -> None:
    """A receiver that raises, an error, and the last line: nothing after it is delivered."""
    after = [chunk(PLAIN)] * 3
    assert both([OK, *after, *after], limit=3).outcome == ("internal", "enough")
    for final in (chunk(error("out of memory")), chunk(last()), END):
        assert len(both([OK, *after, final, *after]).reads) <= 4
