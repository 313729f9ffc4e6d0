"""A sequence's columns as tensors, and who may attend to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gato_ros.tokens.sequence import Kind, Layout


@dataclass(frozen=True, eq=False)
class SequenceLayout:
    """The columns of T tokens from consecutive blocks, on one device.

    local        int64[T]        rows of the local position table
    patch_slots  int64[P]        which tokens are patches
    rows, columns int64[P, 2]    their position intervals
    timestep     int64[T]        number of the block that a token belongs to
    pinned       bool[T]         tokens of a prompt that every later token may see
    targets      tuple of (low, high, int64[n]): tokens with a loss, by range of allowed ids
    separators   int64[S]        the separators of the blocks that are no prompt
    """

    local: Tensor
    patch_slots: Tensor
    rows: Tensor
    columns: Tensor
    timestep: Tensor
    pinned: Tensor
    actions: Tensor
    targets: tuple[tuple[int, int, Tensor], ...]
    separators: Tensor

    def __len__(self) -> int:
        return len(self.local)

    def to(self, device: torch.device | str) -> SequenceLayout:
        """Copy to a device."""
        moved = {f.name: getattr(self, f.name).to(device)
                 for f in dataclasses.fields(self) if f.name != 'targets'}
        return SequenceLayout(targets=tuple((a, b, slots.to(device))
                                            for a, b, slots in self.targets), **moved)

    def causal_mask(self, window: int | None = None) -> Tensor:
        """Return bool (T, T): true where row may see column.

        A token sees itself and what came before it, as far back as ``window`` timesteps (its own
        included) and the pinned prompt. None: everything before it.
        """
        order = torch.arange(len(self), device=self.local.device)
        mask = order[:, None] >= order[None, :]
        if window is not None:
            age = self.timestep[:, None] - self.timestep[None, :]
            mask = mask & ((age < window) | self.pinned[None, :])
        return mask


@dataclass(frozen=True, eq=False)
class Part:
    """B sequences of one layout among those that are run together.

    ids      int64 (B, T)
    patches  uint8 (B, P, 16, 16, 3)
    mask     bool (T, T) or (B, T, T); parts that give the same tensor attend together
    outputs  int64[n], ascending: the positions whose hidden states are wanted
    """

    ids: Tensor
    patches: Tensor
    layout: SequenceLayout
    mask: Tensor
    outputs: Tensor


def sequence_layout(blocks: Sequence[Layout], pinned: int = 0,
                    device: torch.device | str = 'cpu') -> SequenceLayout:
    """Join the layouts of consecutive blocks; the first ``pinned`` blocks are the prompt."""
    def join(name: str) -> np.ndarray:
        return np.concatenate([getattr(block, name) for block in blocks]).astype(np.int64)

    kind, low, high = join('kind'), join('low'), join('high')
    lengths = [len(block) for block in blocks]
    timestep = np.repeat(np.arange(len(blocks)), lengths)
    is_prompt = timestep < pinned
    # The first token of all has nothing before it to be predicted from.
    target = join('target').astype(bool) & (np.arange(len(kind)) > 0)
    ranges = sorted({(int(a), int(b)) for a, b in zip(low[target], high[target], strict=True)})

    def put(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return SequenceLayout(
        put(join('local')), put(np.flatnonzero(kind == Kind.PATCH)), put(join('rows')),
        put(join('columns')), put(timestep), put(is_prompt),
        put(np.flatnonzero(kind == Kind.ACTION)),
        tuple((a, b, put(np.flatnonzero(target & (low == a) & (high == b))))
              for a, b in ranges),
        put(np.flatnonzero((kind == Kind.SEPARATOR) & ~is_prompt)))
