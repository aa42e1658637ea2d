from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from chatproxy.config import Config
from chatproxy.cursor import Cursor
from chatproxy.generation.generation import MAX_PIECE, Generation
from chatproxy.generation.registry import GenerationRegistry
from chatproxy.store.messages import Messages
from chatproxy.store.records import Piece


class Recorder:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def checkpoint(self, pieces: Sequence[Piece]) -> None:
        self.sizes.append(sum(len(piece.thinking) + len(piece.content) for piece in pieces))


async def test_a_checkpoint_of_much_text_is_several_units() -> None:
    recorder, saved = Recorder(), list[Cursor]()
    registry = GenerationRegistry(Config(), cast("Messages", recorder), lambda figures: None)
    gain = (Piece(message_id=1, thinking="", content="x" * (MAX_PIECE // 4)), Cursor(0, MAX_PIECE // 4))
    for number in range(18):
        generation = SimpleNamespace(over=False, unsaved=lambda: gain, saved=saved.append)
        registry._by_answer[number] = cast("Generation", generation)
    await registry._checkpoint()
    assert recorder.sizes == [MAX_PIECE] * 4 + [MAX_PIECE // 2]
    assert len(saved) == 18
