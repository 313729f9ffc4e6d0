"""The reference engine: what the fast ones are compared with, and what answers in their place."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gato_ros.model.gato import Gato
from gato_ros.model.kv_cache import reach
from gato_ros.model.sample import pick
from gato_ros.policy.engine import Place
from gato_ros.tokens.context import ContextWindow


class EagerEngine:
    """model/ as it is written, in float32, operation by operation."""

    bound = 0.0
    stride = 1

    def __init__(self, model: Gato, slots: int) -> None:
        self.name = f'eager {str(model.norm.weight.dtype).removeprefix("torch.")}'
        self._model = model
        self._cache = model.new_cache(slots)
        self._hidden = model.norm.weight.new_zeros(model.arch.width)

    def another(self, slots: int, block: int = 0) -> EagerEngine:
        other = copy.copy(self)
        other._cache = [layer.beside(slots) for layer in self._cache]
        other._hidden = torch.zeros_like(self._hidden)
        return other

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
            drawn = None if noise is None else torch.from_numpy(noise[i])
            ids[i] = place.low + int(pick(scores, temperature, drawn))
            if i + 1 < len(places):
                self.extend(ids[i:i + 1], np.array([place.local]), none, slots[i:i + 1], window)
        return ids

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._model.device)
