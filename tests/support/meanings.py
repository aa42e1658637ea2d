"""Vectors of texts as an embedding model makes them: similar for texts with words of the same meaning.

Each word adds what its pieces are hashed to, so that forms of a word are similar, and a known word also what
it means, in any language.
"""

import re
from hashlib import blake2b
from math import hypot
from typing import Final

WIDTH: Final = 384  # numbers in a vector, as all-minilm has

# Words of several languages that mean the same.
_MEANINGS: Final = (
    "rent miete loyer alquiler affitto 賃料",
    "deposit kaution caution fianza cauzione",
    "cat cats katze katzen chat gato feline",
    "dog dogs hund hunde chien perro canine",
    "notice cancel terminate kündigung kündigen résiliation",
    "honey honig miel",
    "lighthouse leuchtturm phare faro beacon",
)
_MEANING: Final = {word: number for number, words in enumerate(_MEANINGS) for word in words.split()}


def vector(text: str) -> list[float]:
    """Return the vector of a text, of length 1."""
    numbers = [0.0] * WIDTH
    numbers[0] = 0.01  # so that no text has none
    for word in re.findall(r"\w+", text.lower()):
        for piece in {f"<{word}>"[first : first + 4] for first in range(max(1, len(word) - 1))}:
            numbers[_place(piece)] += 0.2
        if word in _MEANING:
            numbers[_place(f"meaning {_MEANING[word]}")] += 2.0
    length = hypot(*numbers)
    return [number / length for number in numbers]


def _place(piece: str) -> int:
    return int.from_bytes(blake2b(piece.encode(), digest_size=4).digest()) % WIDTH
