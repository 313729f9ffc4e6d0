"""A 5-gram model of tokens: what counting alone knows of a text, beside what a policy knows.

Interpolated Kneser-Ney smoothing with one discount (Kneser and Ney 1995; Chen and Goodman 1998,
section 2.7): the highest order counts occurrences, each lower one in how many different contexts
a token occurs; below the single tokens all are equally likely.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

ORDER, DISCOUNT = 5, 0.75


class NGram:
    """Learns from sequences of ids below ``size``."""

    def __init__(self, sequences: Iterable[Sequence[int] | np.ndarray], size: int,
                 order: int = ORDER) -> None:
        self._size, self._order = size, order
        grams: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        for sequence in sequences:
            ids = tuple(int(i) for i in sequence)
            for end in range(1, len(ids) + 1):
                # At a beginning, where there is less context, shorter ones are the whole.
                grams[min(order, end) - 1][ids[max(0, end - order):end]] += 1
        for long, short in zip(grams[:0:-1], grams[-2::-1], strict=True):
            for gram in long:
                short[gram[1:]] += 1
        self._counts = grams
        self._totals: dict[tuple[int, ...], int] = defaultdict(int)  # of a context
        self._kinds: dict[tuple[int, ...], int] = defaultdict(int)  # different tokens behind it
        for order_grams in grams:
            for gram, count in order_grams.items():
                self._totals[gram[:-1]] += count
                self._kinds[gram[:-1]] += 1

    def bits(self, ids: Sequence[int] | np.ndarray, start: int = 0) -> float:
        """Return the information in ids from ``start`` on, given what is before each of them."""
        whole = tuple(int(i) for i in ids)
        return float(-sum(np.log2(self._chance(whole[max(0, end - self._order):end]))
                          for end in range(start + 1, len(whole) + 1)))

    def _chance(self, gram: tuple[int, ...]) -> float:
        """Return how likely the last id is behind the others."""
        chance = 1 / self._size
        for start in range(len(gram) - 1, -1, -1):
            part = gram[start:]
            total = self._totals.get(part[:-1], 0)
            if not total:
                break
            count = self._counts[len(part) - 1].get(part, 0)
            kinds = self._kinds[part[:-1]]
            chance = (max(count - DISCOUNT, 0.0) + DISCOUNT * kinds * chance) / total
        return chance
