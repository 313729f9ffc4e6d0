"""B sequences of T tokens with one layout: what a batch is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gato_ros.model.layout import SequenceLayout


@dataclass(frozen=True, eq=False)
class Group:
    """B sequences of T tokens with one layout, of one source.

    ids, targets  int64 (B, T): what is read, and what should be said
    patches       uint8 (B, P, 16, 16, 3)
    auxiliary     float32 (B, S, n), targets at the S separators behind the prompt; NaN: unknown
    source        the source's name
    """

    ids: Tensor
    targets: Tensor
    patches: Tensor
    auxiliary: Tensor
    layout: SequenceLayout
    source: str = ''

    def to(self, device: torch.device) -> Group:
        """Copy to a device; the layout is made there."""
        return Group(self.ids.to(device), self.targets.to(device), self.patches.to(device),
                     self.auxiliary.to(device), self.layout.to(device), self.source)
