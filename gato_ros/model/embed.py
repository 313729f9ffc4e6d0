"""Tokens to vectors: one table, a residual patch encoder, position encodings (paper, C.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_ros.model.architecture import Architecture
from gato_ros.model.layout import SequenceLayout
from gato_ros.spec import PATCH
from gato_ros.tokens import images, vocab
from gato_ros.tokens.sequence import NO_POSITION

CELL = 4  # pixels along the side of a stem cell


class PatchEncoder(nn.Module):
    """One full pre-activation residual block per patch: GroupNorm and GELU (paper, figure 16).

    A strided stem brings 3 colours to C channels, since GroupNorm cannot split 3.
    """

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        channels, groups = arch.patch_channels, arch.patch_groups
        self.stem = nn.Conv2d(3, channels, CELL, stride=CELL)
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.out = nn.Linear(channels * (PATCH // CELL) ** 2, arch.width)

    def forward(self, patches: Tensor) -> Tensor:
        """Encode uint8 (N, 16, 16, 3) into (N, D)."""
        pixels = patches.permute(0, 3, 1, 2)  # (N, 3, 16, 16), already channels-last in memory
        x = pixels.to(self.stem.weight.dtype) * images.PIXEL_SCALE + images.PIXEL_OFFSET
        x = self.stem(x)  # (N, channels, 4, 4)
        y = self.conv1(F.gelu(self.norm1(x)))
        x = x + self.conv2(F.gelu(self.norm2(y)))
        return self.out(x.flatten(1))


class Embedding(nn.Module):
    """The shared table (also the output head), the patch encoder and the position tables."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab.SIZE, arch.width)
        self.local = nn.Embedding(NO_POSITION + 1, arch.width, padding_idx=NO_POSITION)
        self.row = nn.Embedding(images.POSITIONS, arch.width)
        self.column = nn.Embedding(images.POSITIONS, arch.width)
        self.patches = PatchEncoder(arch)

    def forward(self, ids: Tensor, patches: Tensor, layout: SequenceLayout) -> Tensor:
        """Embed ids (B, T), -1 where patches (B, P, 16, 16, 3) stand, into (B, T, D)."""
        x = self.table(ids.clamp(min=0))
        if layout.patch_slots.numel():
            pictures = self.encode(patches, layout.rows, layout.columns)
            x = x.index_copy(1, layout.patch_slots, pictures.to(x.dtype))
        return x + self.local(layout.local)

    def encode(self, patches: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Encode patches (B, P, 16, 16, 3) with their intervals (P, 2) into (B, P, D)."""
        batch, count = patches.shape[:2]
        drawn = self.patches(patches.flatten(0, 1)).unflatten(0, (batch, count))
        row = self._position(rows, batch)
        column = self._position(columns, batch)
        return drawn + self.row(row) + self.column(column)

    def places(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return what evaluation adds to patches for their intervals (P, 2): (P, D)."""
        return self.row(rows.sum(1) // 2) + self.column(columns.sum(1) // 2)

    def _position(self, interval: Tensor, batch: int) -> Tensor:
        """Draw an index from each patch's interval in training, else take its middle: (B|1, P)."""
        low, high = interval[:, 0], interval[:, 1]
        if not self.training:
            return ((low + high) // 2)[None]
        draw = torch.rand(batch, len(low), device=low.device)
        return (low + (draw * (high - low)).long()).clamp(max=images.POSITIONS - 1)
