"""Noise on actions while episodes are collected, so that they show how to recover."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.domain import Domain, Values
from gato_ros.spec import TimestepSpec

PUSH = 0.04  # chance in each timestep that a push of 3 to 8 timesteps begins


class Disturbance:
    """White noise, and now and then a push that moves everything away; choices are redrawn.

    deviation  of a continuous value, as a share of its half range, and the chance that a discrete
               one is drawn at random; the domain's ``undisturbed`` values are left alone
    """

    def __init__(self, rng: np.random.Generator, deviation: float, spec: TimestepSpec,
                 domain: Domain) -> None:
        self._rng, self._deviation, self._spec = rng, deviation, spec
        names = [name for field in spec.continuous_actions for name in field.names]
        self._alone = np.array([name in domain.undisturbed for name in names], bool)
        self._push, self._left = np.zeros(len(names)), 0

    def apply(self, values: Values) -> Values:
        """Return the action with this timestep's noise, within its ranges where it has some."""
        noise, start, disturbed = self._draw(), 0, {}
        for field in self._spec.continuous_actions:
            low, high = np.array(field.low), np.array(field.high)
            part = noise[start:start + field.size] * ((high - low) / 2)
            moved = values[field.name] + part
            disturbed[field.name] = moved if field.mu_law else np.clip(moved, low, high)
            start += field.size
        for choice in self._spec.discrete_actions:
            drawn = self._rng.integers(0, choice.count, choice.size)
            redrawn = self._rng.random(choice.size) < self._deviation
            disturbed[choice.name] = np.where(redrawn, drawn, values[choice.name])
        return disturbed

    def _draw(self) -> np.ndarray:
        """Return float64[n] for the n continuous values, as shares of half their ranges."""
        if not len(self._push):
            return self._push
        if self._left == 0:
            self._push[:] = 0
            if self._rng.random() < PUSH:
                self._left = int(self._rng.integers(3, 9))
                self._push = self._rng.normal(0, 2 * self._deviation, len(self._push))
        else:
            self._left -= 1
        noise = self._push + self._rng.normal(0, self._deviation, len(self._push))
        noise[self._alone] = 0
        return noise
