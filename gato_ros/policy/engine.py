"""What computes a control step: an interface, the reference in eager PyTorch, and the choice.

A step is three calls, none of which comes back to Python between two tokens on a fast path:

    pictures = engine.encode(patches, rows, columns)   # may run before the other inputs are here
    engine.extend(ids, local, pictures, slots, window)
    ids = engine.decode(places, slots, window, temperature, noise)

On a GPU the first two return before the work is done, and ``decode`` waits for all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gato_ros.model.gato import Gato
from gato_ros.model.kv_cache import reach
from gato_ros.model.sample import pick
from gato_ros.tokens.context import ContextWindow

ENGINES = ('auto', 'eager', 'native', 'cuda')


class EngineError(RuntimeError):
    """An engine that cannot work here, or no longer; the message says what is missing."""


@dataclass(frozen=True)
class Place:
    """Where an action token stands: its row of local positions, and the ids it may have."""

    local: int
    low: int
    high: int


class Engine(Protocol):
    """A model, its ring of keys and values, and the last token's hidden state.

    name   for people: the path and the precision of the weights
    bound  largest difference from the reference's scores that rounding explains
    """

    name: str
    bound: float

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

        noise   for each place float32[high - low], logarithms of exponential draws; None: the
                likeliest id
        logits  for each place float32[high - low] to write the scores into, where wanted
        """


class EagerEngine:
    """The reference: model/ as it is written, in float32, operation by operation."""

    bound = 0.0

    def __init__(self, model: Gato, slots: int) -> None:
        self.name = f'eager {str(model.norm.weight.dtype).removeprefix("torch.")}'
        self._model = model
        self._cache = model.new_cache(slots)
        self._hidden = model.norm.weight.new_zeros(model.arch.width)

    @torch.inference_mode()
    def encode(self, patches: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        put = self._put
        return self._model.embedding.encode(put(patches)[None], put(rows), put(columns))[0]

    @torch.inference_mode()
    def extend(self, ids: np.ndarray, local: np.ndarray, pictures: Tensor, slots: np.ndarray,
               window: ContextWindow) -> None:
        model, embedding, put = self._model, self._model.embedding, self._put
        x = embedding.table(put(np.maximum(ids, 0)))
        x[put(ids < 0)] = pictures.to(x.dtype)
        x += embedding.local(put(local))
        self._hidden = model.extend(
            x, self._cache, reach(window, slots, model.arch.max_distance, model.device))[-1]

    @torch.inference_mode()
    def decode(self, places: Sequence[Place], slots: np.ndarray, window: ContextWindow,
               temperature: float = 0.0, noise: Sequence[np.ndarray] | None = None,
               logits: Sequence[np.ndarray] | None = None) -> np.ndarray:
        ids = np.zeros(len(places), np.int32)
        none = self._hidden.new_zeros(0, len(self._hidden))
        for i, place in enumerate(places):
            scores = self._model.logits(self._hidden, place.low, place.high).float().cpu()
            if logits is not None:
                logits[i][:] = scores
            waits = None if noise is None else torch.from_numpy(noise[i])
            ids[i] = place.low + int(pick(scores, temperature, waits))
            if i + 1 < len(places):
                self.extend(ids[i:i + 1], np.array([place.local]), none, slots[i:i + 1], window)
        return ids

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._model.device)


def build_engine(model: Gato, slots: int, wanted: str = 'auto', block: int = 64
                 ) -> tuple[Engine, str]:
    """Build the engine for the model's device; also return why it is not the fast one, or ''.

    wanted  one of ENGINES; auto falls back to eager where the fast path cannot work
    block   tokens of a step's block, for the engine whose shapes are fixed
    Raises EngineError where another than auto cannot work.
    """
    if wanted not in ENGINES:
        raise EngineError(f'engine is {wanted!r}, expected one of {", ".join(ENGINES)}')
    if wanted == 'auto':
        try:
            return build_engine(model, slots, 'cuda' if model.device.type == 'cuda' else 'native',
                                block)
        except EngineError as error:
            return build_engine(model, slots, 'eager')[0], str(error)
    with one_sentence(wanted):
        if wanted == 'eager':
            return EagerEngine(model, slots), ''
        if wanted == 'cuda':
            from gato_ros.policy.cuda import CudaEngine
            return CudaEngine(model, slots, block, graphs=True), ''
        from gato_ros.policy.cpu import NativeEngine
        return NativeEngine(model, slots), ''


def require_room(needed: int, free: float, where: str = '') -> None:
    """Raise EngineError when a copy of the weights and its ring, in bytes, do not fit."""
    if needed > free:
        raise EngineError(f'a second copy of the weights and the ring, {needed / 2**30:.1f} GiB, '
                          f'do not fit into the {free / 2**30:.1f} GiB that are free{where}')


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
