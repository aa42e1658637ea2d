import asyncio
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

from chatproxy.clock import Looks
from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.generation.generation import MAX_PIECE, Generation
from chatproxy.generation.registry import AT_ONCE, GenerationRegistry
from chatproxy.store.messages import Messages
from chatproxy.store.records import Piece


class Recorder:
    is_shared = False

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def checkpoint(self, pieces: Sequence[Piece]) -> None:
        self.sizes.append(sum(len(piece.thinking) + len(piece.content) for piece in pieces))


async def test_a_checkpoint_of_much_text_is_several_units() -> None:
    recorder, saved = Recorder(), list[Cursor]()
    registry = GenerationRegistry(Config(), cast("Messages", recorder), Looks(), lambda figures: None)
    gain = (Piece(message_id=1, thinking="", content="x" * (MAX_PIECE // 4)), Cursor(0, MAX_PIECE // 4))
    for number in range(18):
        generation = SimpleNamespace(over=False, is_in_doubt=False, unsaved=lambda: gain, saved=saved.append)
        registry._by_answer[number] = cast("Generation", generation)
    await registry._checkpoint()
    assert recorder.sizes == [MAX_PIECE] * 4 + [MAX_PIECE // 2]
    assert len(saved) == 18


async def test_some_answers_are_looked_at_before_the_loop_goes_on() -> None:
    looked: list[int] = []
    registry = GenerationRegistry(Config(), cast("Messages", None), Looks(), lambda figures: None)
    for number in range(4 * AT_ONCE):
        generation = SimpleNamespace(over=False, tick=lambda number=number: looked.append(number))
        registry._by_answer[number] = cast("Generation", generation)
    look = asyncio.create_task(registry._look())
    seen = [0]
    while not look.done():
        await asyncio.sleep(0)
        seen.append(len(looked))
    assert looked == list(range(4 * AT_ONCE))
    assert max(after - before for before, after in pairwise(seen)) == AT_ONCE
