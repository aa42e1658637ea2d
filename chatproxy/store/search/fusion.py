"""Joins what was found by words and what was found by meaning, whose scores cannot be compared.

Reciprocal rank fusion: the place of a chunk in a ranking is worth 1 / (K + its number), and a chunk has the
sum of its places (Cormack, Clarke and Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual
rank learning methods", SIGIR 2009). They took 60 for K, for rankings by dozens of methods, where a thousand
places count. With two, and a handful of places, the first ones of each have to count for more.
"""

from collections import defaultdict
from collections.abc import Collection
from itertools import islice
from typing import Final

from chatproxy.store.search.indexes import Place

DEPTH: Final = 50  # places of each ranking that count
K: Final = 10


def fused(*rankings: Collection[Place]) -> dict[Place, float]:
    """Return the sums of all chunks in the rankings. These have the best first, and so has the result."""
    scores: defaultdict[Place, float] = defaultdict(float)
    for ranking in rankings:
        for number, place in enumerate(islice(ranking, DEPTH), start=1):
            scores[place] += 1 / (K + number)
    return dict(sorted(scores.items(), key=lambda each: -each[1]))
