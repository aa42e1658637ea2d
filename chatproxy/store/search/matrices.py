"""Arithmetic with vectors. Loads numpy, and so is loaded itself only where there is an embedding model."""

import os
from collections.abc import Sequence
from typing import Final

# A product takes a few milliseconds. On a busy machine, several threads would wait longer for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy
from numpy.typing import NDArray

Matrix = NDArray[numpy.float32]  # a vector, or one in each row

_STORED: Final = numpy.dtype("<f2")


def pack(vectors: Sequence[Sequence[float]]) -> bytes:
    """Return vectors as they are stored: each of length 1, with 16 bits for each number."""
    return _unit(numpy.asarray(vectors, numpy.float32)).astype(_STORED).tobytes()


def unpack(parts: Sequence[bytes], count: int, width: int) -> Matrix:
    """Return so many stored vectors of a width as rows; none if these are not all of them."""
    numbers = numpy.frombuffer(b"".join(parts), _STORED)
    if numbers.size != count * width:
        return numpy.zeros((0, width), numpy.float32)
    return numbers.astype(numpy.float32).reshape(count, width)


def direction(vectors: Sequence[Sequence[float]], weights: Sequence[float]) -> Matrix:
    """Return the sum of vectors by their weights, each taken for one of length 1, and so is the sum."""
    return _unit(numpy.asarray(weights, numpy.float32) @ _unit(numpy.asarray(vectors, numpy.float32)))


def nearest(rows: Matrix, wanted: Matrix, limit: int) -> dict[int, float]:
    """Return the numbers and similarities of the rows that are most similar to what is wanted, best first."""
    similar = rows @ wanted
    first = numpy.argpartition(-similar, limit)[:limit] if limit < len(similar) else range(len(similar))
    return {int(number): float(similar[number]) for number in sorted(first, key=lambda each: -similar[each])}


def _unit(rows: Matrix) -> Matrix:
    """Return rows of length 1; one of length 0 stays as it is."""
    lengths = numpy.maximum(numpy.linalg.norm(rows, axis=-1, keepdims=True), 1e-15)
    unit: Matrix = rows / lengths.astype(numpy.float32)
    return unit
