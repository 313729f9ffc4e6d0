"""The whole model: a batch of token sequences in, hidden states and restricted logits out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_ros.model.architecture import Architecture
from gato_ros.model.embed import Embedding
from gato_ros.model.kv_cache import LayerCache, Reach
from gato_ros.model.layout import SequenceLayout
from gato_ros.model.transformer import Block, distance_encoding


class Gato(nn.Module):
    """A decoder-only transformer over any modality's tokens (paper, sections 2.1 and 2.2).

    ``auxiliary`` names training-only regression targets and their sizes; they are read off the
    separators and never serve as inputs.
    """

    def __init__(self, arch: Architecture, auxiliary: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.arch = arch
        self.auxiliary = dict(sorted((auxiliary or {}).items()))
        self.embedding = Embedding(arch)
        self.blocks: Sequence[Block] = nn.ModuleList(  # type: ignore[assignment]
            Block(arch) for _ in range(arch.layers))
        self.norm = nn.LayerNorm(arch.width)
        if self.auxiliary:
            self.auxiliary_head = nn.Linear(arch.width, sum(self.auxiliary.values()))
        self.apply(_initialise)
        for block in self.blocks:  # residual branches start small, so that depth does not matter
            for out in (block.attention.out, block.feedforward.out):
                nn.init.normal_(out.weight, std=0.02 / (2 * arch.layers) ** 0.5)
        with torch.no_grad():
            self.embedding.local.weight[-2:] = 0  # actions' shared row and the separator's

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    def forward(self, ids: Tensor, patches: Tensor, layout: SequenceLayout, mask: Tensor,
                outputs: Tensor | None = None, zeroed: Tensor | None = None) -> Tensor:
        """Run whole sequences.

        ids int64 (B, T), patches uint8 (B, P, 16, 16, 3), mask bool (T, T) or (B, T, T)
        outputs  int64[n], ascending: the positions whose hidden states are wanted; None: all
        zeroed   bool (B, T): tokens whose embedding is replaced by zero
        Returns hidden states (B, n|T, D).
        """
        x = self.embedding(ids, patches, layout)
        if zeroed is not None:
            x = x.masked_fill(zeroed[..., None], 0.0)
        mask = mask[:, None] if mask.dim() == 3 else mask[None, None]
        encoding = self._encoding(ids.shape[1])
        for block in self.blocks[:-1]:
            x = block(x, mask, encoding)
        # Nothing after the last block reads the other positions, so it skips them.
        return self.norm(self.blocks[-1](x, mask, encoding, outputs))

    def logits(self, hidden: Tensor, low: int, high: int) -> Tensor:
        """Score the ids in [low, high) for hidden (..., D) -> (..., high - low)."""
        return F.linear(hidden, self.embedding.table.weight[low:high])

    def predict_auxiliary(self, hidden: Tensor) -> Tensor:
        """Predict the normalised training-only targets from hidden states at separators."""
        return self.auxiliary_head(hidden)

    def new_cache(self, slots: int) -> list[LayerCache]:
        """Allocate the ring of every layer, with its projected distances."""
        shape = (self.arch.heads, slots, self.arch.key_size)
        weight = self.norm.weight
        encoding = self._encoding(self.arch.max_distance)
        return [LayerCache(weight.new_zeros(shape), weight.new_zeros(shape),
                           block.attention.distances(encoding).contiguous())
                for block in self.blocks]

    def extend(self, x: Tensor, cache: list[LayerCache], reach: Reach) -> Tensor:
        """Append T embedded tokens to one sequence: (T, D) -> hidden states (T, D)."""
        for block, layer in zip(self.blocks, cache, strict=True):
            x = block.extend(x, layer, reach)
        return self.norm(x)

    def _encoding(self, length: int) -> Tensor:
        limit = self.arch.max_distance
        encoding = distance_encoding(min(length, limit), self.arch.width, self.device)
        if length > limit:
            encoding = torch.cat([encoding, encoding[-1:].expand(length - limit, -1)])
        return encoding.to(self.norm.weight.dtype)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(p.numel() for p in model.parameters())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
