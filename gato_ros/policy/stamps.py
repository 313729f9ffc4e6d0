"""Whether observations follow each other without a hole, as their stamps say."""

from __future__ import annotations

FORGOTTEN = 10  # missing timesteps beyond which what was before them is no history any more
LONG = 1.5  # periods between two stamps from which on one is missing


class Stamps:
    """Counts timesteps that are missing; the period is the shortest time between two so far."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._period: int | None = None

    def missing(self, stamp_ns: int) -> int:
        """Return how many timesteps are missing before the one of this stamp; 0 if unknown."""
        former, self._last = self._last, stamp_ns
        if former is None or stamp_ns <= former:
            return 0
        gap = stamp_ns - former
        self._period = min(gap, self._period or gap)
        return round(gap / self._period) - 1 if gap > LONG * self._period else 0
