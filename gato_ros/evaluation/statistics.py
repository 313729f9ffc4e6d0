"""Rates and means with their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000  # of a bootstrap, as rliable takes
Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution


@dataclass(frozen=True)
class Rate:
    """Successes out of n trials.

    Raises ValueError unless 0 <= successes <= n and n > 0.
    """

    successes: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.successes <= self.n or self.n == 0:
            raise ValueError(f'{self.successes} successes of {self.n} trials is no rate')

    @property
    def value(self) -> float:
        return self.successes / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        p, n, z = self.value, self.n, Z95
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f'{100 * self.value:.1f} % (n = {self.n}, {100 * low:.1f} to {100 * high:.1f})'


def interquartile_mean(scores: np.ndarray) -> float:
    """Return the mean of the middle half of all scores, as rliable and JAT do.

    So many as a quarter of them, rounded down, are left out at either end.
    """
    cut = scores.size // 4
    ordered = np.sort(scores, axis=None)
    return float(ordered[cut:scores.size - cut].mean())


def interquartile_interval(scores: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the interquartile mean of scores float64[tasks, runs].

    A bootstrap that draws each task's runs anew from that task's, as rliable does; its draws are
    always the same.
    """
    rng = np.random.default_rng(0)
    found = [interquartile_mean(np.take_along_axis(
        scores, rng.integers(scores.shape[1], size=scores.shape), axis=1))
        for _ in range(RESAMPLES)]
    low, high = np.percentile(found, (2.5, 97.5))
    return float(low), float(high)
