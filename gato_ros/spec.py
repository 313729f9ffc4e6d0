"""What one timestep holds, for any body and any domain.

A :class:`TimestepSpec` lists the fields of an observation and of an action: the tokens, the model,
the data and the training know nothing else.

    spec = TimestepSpec(images=(ImageField('screen', 64, 64),),
                        discrete_actions=(DiscreteField('button', ('button',), 4),))
    spec.action_size      # 1
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gato_ros.config import ConfigError, to_dict

PATCH = 16  # pixels along a patch's side (paper, section 2.1)
LARGEST_SIDE = 1 << 13  # pixels of an image, far more than a timestep has tokens for


@dataclass(frozen=True)
class ImageField:
    """A camera image, uint8[height, width, 3] in RGB; both sides are multiples of 16 pixels."""

    name: str
    height: int
    width: int

    def __post_init__(self) -> None:
        sides = self.height, self.width
        if any(side % PATCH or not PATCH <= side <= LARGEST_SIDE for side in sides):
            raise ConfigError(f'image {self.name!r} is {self.height}x{self.width}, '
                              f'expected multiples of {PATCH} pixels up to {LARGEST_SIDE}')


@dataclass(frozen=True)
class ContinuousField:
    """A vector of real values, one token each.

    With ``mu_law`` false the values are scaled from [low, high] to [-1, 1]; with it true they are
    unbounded by nature and go through the mu-law (paper, appendix B).
    """

    name: str
    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    units: tuple[str, ...] = ()
    mu_law: bool = False

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.low) == len(self.high):
            raise ConfigError(f'field {self.name!r} has {len(self.names)} names, {len(self.low)} '
                              f'lower and {len(self.high)} upper limits')
        if self.units and len(self.units) != len(self.names):
            raise ConfigError(f'field {self.name!r} has {len(self.units)} units for '
                              f'{len(self.names)} values')
        for name, low, high in zip(self.names, self.low, self.high, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ConfigError(f'{self.name} of {name!r}: limits [{low}, {high}] '
                                  'must be finite and rising')

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class DiscreteField:
    """A vector of whole numbers in [0, count), one token each; count is at most 1024."""

    name: str
    names: tuple[str, ...]
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1024:
            raise ConfigError(f'field {self.name!r} has {self.count} values, expected 1 to 1024')

    @property
    def size(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class TimestepSpec:
    """The fields of one timestep; each group is kept in key order (paper, section 2.1)."""

    images: tuple[ImageField, ...] = ()
    continuous: tuple[ContinuousField, ...] = ()
    discrete: tuple[DiscreteField, ...] = ()
    continuous_actions: tuple[ContinuousField, ...] = ()
    discrete_actions: tuple[DiscreteField, ...] = ()

    def __post_init__(self) -> None:
        for fields in (self.images, self.tensors, self.actions):
            names = [f.name for f in fields]
            if len(set(names)) != len(names):
                raise ConfigError(f'field names repeat: {", ".join(names)}')

    @property
    def tensors(self) -> tuple[ContinuousField | DiscreteField, ...]:
        """Observation fields that are not images, in key order."""
        return tuple(sorted((*self.continuous, *self.discrete), key=lambda f: f.name))

    @property
    def actions(self) -> tuple[ContinuousField | DiscreteField, ...]:
        """Action fields, in key order."""
        return tuple(sorted((*self.continuous_actions, *self.discrete_actions),
                            key=lambda f: f.name))

    @property
    def action_size(self) -> int:
        """A: action tokens in one timestep."""
        return sum(f.size for f in self.actions)

    @cached_property
    def hash(self) -> str:
        """Twelve hexadecimal digits that change with any field, name, limit or size."""
        text = json.dumps(to_dict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Observation:
    """What the policy may see at one moment.

    images          name -> uint8[H, W, 3], RGB
    proprioception  name -> float64[n] for continuous fields (rad, rad/s, m), int64[n] for discrete
    text            words that belong to this timestep, usually none
    stamp_ns        capture time in nanoseconds of the robot's clock
    """

    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    proprioception: Mapping[str, np.ndarray] = field(default_factory=dict)
    text: str = ''
    stamp_ns: int = 0


@dataclass(frozen=True)
class Action:
    """An answer to one observation.

    values    action field -> float64[n] in the field's unit (Nm), or int64[n]
    tokens    int64[A]: the ids that were sampled
    stamp_ns  stamp of the observation that this answers
    timing_ms stage -> milliseconds
    missing   timesteps that lack between the history that was seen and the observation
    """

    values: Mapping[str, np.ndarray]
    tokens: np.ndarray
    stamp_ns: int = 0
    timing_ms: Mapping[str, float] = field(default_factory=dict)
    missing: int = 0


def example_observation(spec: TimestepSpec, seed: int = 0) -> Observation:
    """Return a random valid observation, for tests, documents and benchmarks."""
    rng = np.random.default_rng(seed)
    images = {f.name: rng.integers(0, 256, (f.height, f.width, 3), dtype=np.uint8)
              for f in spec.images}
    tensors: dict[str, np.ndarray] = {f.name: rng.uniform(f.low, f.high) for f in spec.continuous}
    tensors |= {f.name: rng.integers(0, f.count, f.size) for f in spec.discrete}
    return Observation(images, tensors)
