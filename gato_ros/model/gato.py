"""The whole model: a batch of token sequences in, hidden states and restricted logits out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gato_ros.model.architecture import Architecture
from gato_ros.model.embed import Embedding
from gato_ros.model.kv_cache import LayerCache, Reach
from gato_ros.model.layout import Part, SequenceLayout
from gato_ros.model.transformer import Block, Span, distance_encoding


class Gato(nn.Module):
    """A decoder-only transformer over any modality's tokens (paper, sections 2.1 and 2.2).

    ``auxiliary`` names training-only regression targets and their sizes; they are read off the
    separators and never serve as inputs. Where ``recompute`` is set, training keeps of each block
    its input alone and computes the rest again for the gradient: the same values, in less memory.
    """

    recompute = False

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

    def forward(self, ids: Tensor, patches: Tensor, layout: SequenceLayout, mask: Tensor
                ) -> Tensor:
        """Run whole sequences of one layout, see Part; return hidden states (B, T, D)."""
        every = torch.arange(ids.shape[1], device=ids.device)
        return self.run([Part(ids, patches, layout, mask, every)])[0]

    def run(self, parts: Sequence[Part]) -> list[Tensor]:
        """Run whole sequences of several layouts; return hidden states (B, n, D) of each part.

        All their tokens are the rows of one matrix, in which attention alone knows sequences: many
        small parts cost little more than one large one.
        """
        order = sorted(range(len(parts)), key=lambda i: (parts[i].ids.shape[1], id(parts[i].mask)))
        ordered = [parts[i] for i in order]
        rows = self.embedding.rows_of([(part.ids, part.patches, part.layout) for part in parts])
        rows_of = rows.split([part.ids.numel() for part in parts])
        x = torch.cat([rows_of[i] for i in order])
        encoding = self._encoding(ordered[-1].ids.shape[1])
        spans, members = _spans(ordered)
        for block in self.blocks[:-1]:
            x = self._through(block, x, spans, encoding)
        # Nothing after the last block reads the other positions, so it skips them.
        wanted = [torch.cat([part.outputs for part in some]).unique() for some in members]
        last = [replace(span, outputs=outputs)
                for span, outputs in zip(spans, wanted, strict=True)]
        x = self.norm(self._through(self.blocks[-1], x, last, encoding, _kept(last)))
        found = []
        computed = x.split([span.computed for span in last])
        for some, outputs, states in zip(members, wanted, computed, strict=True):
            of_parts = states.unflatten(0, (-1, len(outputs))).split([len(p.ids) for p in some])
            found += [state[:, torch.searchsorted(outputs, part.outputs)]
                      for state, part in zip(of_parts, some, strict=True)]
        hidden = dict(zip(order, found, strict=True))
        return [hidden[i] for i in range(len(parts))]

    def _through(self, block: Block, *inputs: Tensor | Sequence[Span]) -> Tensor:
        if self.recompute and self.training:
            return checkpoint(block, *inputs, use_reentrant=False)
        return block(*inputs)

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


def _four(mask: Tensor) -> Tensor:
    return mask[:, None] if mask.dim() == 3 else mask[None, None]


def _spans(parts: Sequence[Part]) -> tuple[list[Span], list[list[Part]]]:
    """Return the spans of ordered parts, and the parts of each: neighbours with one mask."""
    members: list[list[Part]] = []
    for part in parts:
        if members and part.mask.dim() == 2 and part.mask is members[-1][0].mask:
            members[-1].append(part)
        else:
            members.append([part])
    return [Span(sum(len(part.ids) for part in some), some[0].ids.shape[1], _four(some[0].mask))
            for some in members], members


def _kept(spans: Sequence[Span]) -> Tensor:
    """Return the rows of the spans' outputs, int64[M]."""
    rows, start = [], 0
    for span in spans:
        assert span.outputs is not None
        first = start + span.length * torch.arange(span.sequences, device=span.outputs.device)
        rows.append((first[:, None] + span.outputs).flatten())
        start += span.rows
    return torch.cat(rows)


def count_parameters(model: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(p.numel() for p in model.parameters())


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
