"""Tokens to vectors: one table, a residual patch encoder, position encodings (paper, C.3)."""

from __future__ import annotations

from collections.abc import Sequence

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
        return self.rows_of([(ids, patches, layout)]).unflatten(0, ids.shape)

    def rows_of(self, parts: Sequence[tuple[Tensor, Tensor, SequenceLayout]]) -> Tensor:
        """Embed the tokens of several (ids, patches, layout), end to end: (R, D).

        Every table is read once, since each reading costs a gradient of the table's size.
        """
        x = self.table(torch.cat([ids.flatten() for ids, _, _ in parts]).clamp(min=0))
        slots, seen, places, start = [], [], [], 0
        for ids, patches, layout in parts:
            if layout.patch_slots.numel():
                first = start + ids.shape[1] * torch.arange(len(ids), device=ids.device)
                slots.append((first[:, None] + layout.patch_slots).flatten())
                seen.append(patches.flatten(0, 1))
                places.append(self._places(layout.rows, layout.columns, len(ids)))
            start += ids.numel()
        if seen:
            row, column = (torch.cat(some) for some in zip(*places, strict=True))
            drawn = self.patches(torch.cat(seen)) + self.row(row) + self.column(column)
            x = x.index_copy(0, torch.cat(slots), drawn.to(x.dtype))
        return x + self.local(torch.cat([layout.local.expand(len(ids), -1).flatten()
                                         for ids, _, layout in parts]))

    def encode(self, patches: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Encode patches (B, P, 16, 16, 3) with their intervals (P, 2) into (B, P, D)."""
        row, column = self._places(rows, columns, len(patches))
        drawn = self.patches(patches.flatten(0, 1)) + self.row(row) + self.column(column)
        return drawn.unflatten(0, patches.shape[:2])

    def places(self, rows: Tensor, columns: Tensor) -> Tensor:
        """Return what evaluation adds to patches for their intervals (P, 2): (P, D)."""
        return self.row(rows.sum(1) // 2) + self.column(columns.sum(1) // 2)

    def _places(self, rows: Tensor, columns: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Return the indices of rows and columns of ``batch`` times P patches, (B * P,) each."""
        return self._position(rows, batch), self._position(columns, batch)

    def _position(self, interval: Tensor, batch: int) -> Tensor:
        """Draw an index from each patch's interval in training, else take its middle: (B|1, P)."""
        low, high = interval[:, 0], interval[:, 1]
        if not self.training:
            return ((low + high) // 2).repeat(batch)
        draw = torch.rand(batch, len(low), device=low.device)
        return (low + (draw * (high - low)).long()).clamp(max=images.POSITIONS - 1).flatten()
