"""A ring of keys and values of fixed size; the window says which slots hold what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gato_ros.tokens.context import ContextWindow


@dataclass(frozen=True, eq=False)
class LayerCache:
    """One layer's keys and values (H, slots, key_size); projected distances (H, n, key_size)."""

    keys: Tensor
    values: Tensor
    distances: Tensor

    def beside(self, slots: int) -> LayerCache:
        """Make the empty ring of another sequence; the distances are the same tensor."""
        shape = (self.keys.shape[0], slots, self.keys.shape[2])
        return LayerCache(self.keys.new_zeros(shape), self.values.new_zeros(shape), self.distances)

    def write(self, slots: Tensor, keys: Tensor, values: Tensor) -> None:
        """Put new keys and values, (H, T, key_size), into their slots."""
        self.keys.index_copy_(1, slots, keys)
        self.values.index_copy_(1, slots, values)


@dataclass(frozen=True, eq=False)
class Reach:
    """Where T new tokens go and what each of them may see.

    slots int64[T], mask bool (T, slots)
    distance  int64 (T, slots), clamped to the model's largest and 0 where the mask is false
    farthest  how many distances are in use: all are below it
    """

    slots: Tensor
    distance: Tensor
    mask: Tensor
    farthest: int


def reach(window: ContextWindow, slots: np.ndarray, max_distance: int,
          device: torch.device | str = 'cpu') -> Reach:
    """Compute the reach of the tokens in ``slots``, which the window already holds."""
    distance = window.position[slots][:, None] - window.position[None, :]
    mask = window.visible[None, :] & (distance >= 0)
    clamped = np.where(mask, np.minimum(distance, max_distance - 1), 0)
    return Reach(torch.from_numpy(slots).to(device), torch.from_numpy(clamped).to(device),
                 torch.from_numpy(mask).to(device), int(clamped.max()) + 1)
