"""Experts that are one matrix: linear policies found by random search, config/experts/linear.yaml.

Augmented random search (Mania, Guy and Recht, 2018: https://arxiv.org/abs/1803.07055) changes all
weights at once and keeps what returned more. What it found is a feedback law without a clock, so
it labels any state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import gymnasium
import numpy as np

from gato_ros.config import ConfigError, data_path, from_dict, read_yaml
from gato_ros.domains.classic.rules import Rule

FILE = 'linear.yaml'


@dataclass(frozen=True)
class LinearPolicy:
    """An action is ``weights @ seen + offset``; a row of weights for each value of it."""

    weights: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]


@lru_cache(maxsize=1)
def read_policies() -> dict[str, LinearPolicy]:
    """Return all policies by task; ConfigError for a file that cannot be read."""
    path = data_path('config', 'experts', FILE)
    return {name: from_dict(LinearPolicy, line, f'{path}: {name}')
            for name, line in read_yaml(path).items()}


def linear(name: str) -> Callable[[gymnasium.Env], Rule]:
    """Return what makes the rule of a task's policy."""

    def made(env: gymnasium.Env) -> Rule:
        policies = read_policies()
        if name not in policies:
            raise ConfigError(f'config/experts/{FILE} has no policy {name!r}, expected one; it '
                              f'has {", ".join(policies)}')
        weights, offset = np.array(policies[name].weights), np.array(policies[name].offset)
        return lambda seen: weights @ seen + offset

    return made
