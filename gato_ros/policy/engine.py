"""What computes a sequence: the interface of eager.py, cpu.py and cuda.py, and how one fails.

A control step is three calls; none comes back to Python between two tokens on a fast path:

    pictures = engine.encode(patches, rows, columns)   # may run before the other inputs are here
    engine.extend(ids, local, pictures, slots, window)
    ids = engine.decode(places, slots, window, temperature, noise)

An engine that makes them one has a method ``step``. On a GPU the first two return before the work
is done, and ``decode`` waits for all of it. What is said goes through by the same calls, token by
token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from gato_ros.tokens.context import ContextWindow

Seen = tuple[np.ndarray, np.ndarray, np.ndarray]  # patches uint8 (P, 16, 16, 3), rows, columns


class EngineError(RuntimeError):
    """An engine that cannot work here, or no longer; the message says what is missing."""


@dataclass(frozen=True)
class Place:
    """Where a token to be sampled stands: its row of local positions, and the ids it may have."""

    local: int
    low: int
    high: int


class Engine(Protocol):
    """A model, its ring of keys and values, and the last token's hidden state.

    name   for people: the path and the precision of the weights
    bound  largest difference from the reference's scores that rounding explains
    stride  tokens of a block that go through in about the time of a single one
    """

    name: str
    bound: float
    stride: int

    def another(self, slots: int, block: int) -> Engine:
        """Begin another sequence over the same weights, with a ring of its own.

        slots, block  as for this one
        Two sequences may be computed in two threads that take turns (turns.py). Raises EngineError
        where memory does not suffice for the ring.
        """

    def encode(self, patches: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Encode patches uint8 (P, 16, 16, 3) with their intervals (P, 2) into (P, D)."""

    def extend(self, ids: np.ndarray, local: np.ndarray, pictures: Tensor, slots: np.ndarray,
               window: ContextWindow) -> None:
        """Append T tokens: ids int32[T], -1 where the next of ``pictures`` stands; slots
        int64[T], which the window already holds.
        """

    def decode(self, places: Sequence[Place], slots: np.ndarray, window: ContextWindow,
               temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None,
               logits: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Sample an id for each place, int32[A], one after the other; the last is not appended.

        noise   for each place float32[high - low], as gumbel_noise draws them; None: the
                likeliest id
        logits  for each place float32[high - low] to write the scores into, where wanted
        """


@runtime_checkable
class OneCall(Protocol):
    """An engine whose three calls of a control step are one."""

    def step(self, seen: Seen, ids: np.ndarray, local: np.ndarray, slots: np.ndarray,
             places: Sequence[Place], acts: np.ndarray, window: ContextWindow,
             temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None) -> np.ndarray:
        """Encode what is seen, append a block, and sample an id for each place: int32[A].

        seen  all patches of the block, and their intervals (P, 2); acts  the places' slots;
        ids, local, slots as of ``extend``, the others as of ``decode``.
        """


def require_room(weights: int, ring: int, free: float, where: str = '') -> None:
    """Raise EngineError when a copy of the weights, if there is one, and a ring do not fit.

    All in bytes.
    """
    if weights + ring > free:
        what = 'a second copy of the weights and the ring' if weights else 'the ring of a context'
        raise EngineError(f'{what}, {(weights + ring) / 2**30:.1f} GiB, do not fit into the '
                          f'{free / 2**30:.1f} GiB that are free{where}')


@contextmanager
def one_sentence(name: str) -> Iterator[None]:
    """Turn what torch says of memory that is full or a device that has gone into EngineError."""
    try:
        yield
    except EngineError:
        raise
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise EngineError(f'the engine ({name}) cannot go on: {first}') from error
