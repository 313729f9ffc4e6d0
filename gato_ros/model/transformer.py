"""The decoder: pre-norm blocks, relative-position attention, GEGLU, stochastic depth (paper, C.1).

Attention is Transformer-XL's: the score of a query for a key is a product of contents plus a
product with an encoding of their *distance*. Cached keys therefore stay valid while the window
slides, and one projection more per layer gives the parameter counts that the paper states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_ros.model import fused
from gato_ros.model.architecture import Architecture
from gato_ros.model.kv_cache import LayerCache, Reach


def distance_encoding(count: int, width: int, device: torch.device | str = 'cpu') -> Tensor:
    """Return sinusoids (count, D) for the distances 0 ... count - 1."""
    distance = torch.arange(count, device=device, dtype=torch.float32)
    rate = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width))
    angle = distance[:, None] * rate[None, :]
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


@dataclass(frozen=True, eq=False)
class Span:
    """B sequences of T tokens, which follow each other in a batch's rows.

    mask     bool (1|B, 1, T, T): true where a row may see a column
    outputs  int64[n]: the positions that are computed; None: all
    """

    sequences: int
    length: int
    mask: Tensor
    outputs: Tensor | None = None

    @property
    def rows(self) -> int:
        """How many rows of the batch it takes."""
        return self.sequences * self.length

    @property
    def computed(self) -> int:
        """How many of them are computed."""
        return self.rows if self.outputs is None else self.sequences * len(self.outputs)


class Attention(nn.Module):
    """Multi-head attention with relative positions; H heads of ``key_size``."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        inner = arch.heads * arch.key_size
        self.heads, self.key_size = arch.heads, arch.key_size
        self.query = nn.Linear(arch.width, inner, bias=False)
        self.key_value = nn.Linear(arch.width, 2 * inner, bias=False)
        self.distance = nn.Linear(arch.width, inner, bias=False)
        self.out = nn.Linear(inner, arch.width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(arch.heads, 1, arch.key_size))
        self.distance_bias = nn.Parameter(torch.zeros(arch.heads, 1, arch.key_size))

    def _split(self, x: Tensor) -> Tensor:
        """(..., T, H * key_size) -> (..., H, T, key_size)."""
        return x.unflatten(-1, (self.heads, self.key_size)).transpose(-2, -3)

    def distances(self, encoding: Tensor) -> Tensor:
        """Project distance encodings (n, D) into (H, n, key_size)."""
        return self._split(self.distance(encoding))

    def forward(self, x: Tensor, spans: Sequence[Span], encoding: Tensor,
                kept: Tensor | None = None) -> Tensor:
        """Attend within whole sequences, which stand end to end in x (R, D).

        encoding (T, D) of the distances 0 ... T - 1, T of the longest;
        kept int64[M]: the rows of the spans' outputs, in order -> (M|R, D).
        """
        queries = self.query(x if kept is None else x[kept])
        of_spans = queries.split([span.computed for span in spans])
        seen = self.key_value(x).split([span.rows for span in spans])
        # Rows by distance T - 1 ... 0, then each row shifted so that columns are keys.
        distances = self.distances(encoding.flip(0)).to(queries.dtype)
        return self.out(torch.cat([
            self._attend(*members, distances[:, -members[2].length:])
            for members in zip(of_spans, seen, spans, strict=True)]))

    def _attend(self, queries: Tensor, seen: Tensor, span: Span, distances: Tensor) -> Tensor:
        """Return (B * n|T, H * key_size) for the sequences of one span."""
        if fused.serves(queries, span.mask, span.outputs, self.key_size):
            return fused.attend(queries, seen, distances, self.content_bias, self.distance_bias,
                                span.mask[0, 0], span.outputs)
        return self._attend_plainly(queries, seen, span, distances)

    def _attend_plainly(self, queries: Tensor, seen: Tensor, span: Span, distances: Tensor
                        ) -> Tensor:
        """Do the same on any device, in any type."""
        length, outputs = span.length, span.outputs
        queries = self._split(queries.unflatten(0, (span.sequences, -1)))  # (B, H, n|T, key_size)
        keys, values = self._split(seen.unflatten(0, (span.sequences, -1)).unflatten(
            -1, (2, -1)).movedim(-2, 0))
        content = (queries + self.content_bias.to(queries.dtype)) @ keys.transpose(-1, -2)
        place = (queries + self.distance_bias.to(queries.dtype)) @ distances.transpose(-1, -2)
        if outputs is None:
            shifted = F.pad(place, (1, 0)).flatten(-2)[..., length:]
            place = shifted.unflatten(-1, (length, length))
            mask = span.mask
        else:
            column = torch.arange(length, device=queries.device)
            index = (length - 1 - outputs[:, None] + column[None, :]).clamp(max=length - 1)
            place = place.gather(-1, index.expand(*place.shape[:2], -1, -1))
            mask = span.mask[..., outputs, :]
        scores = (content + place) * self.key_size ** -0.5
        weights = scores.masked_fill(~mask, float('-inf')).softmax(dim=-1)
        return (weights.to(values.dtype) @ values).transpose(1, 2).flatten(-2).flatten(0, 1)

    def extend(self, x: Tensor, cache: LayerCache, reach: Reach) -> Tensor:
        """Attend from T new tokens (T, D) to the ring, after writing them into it -> (T, D)."""
        queries = self._split(self.query(x))  # (H, T, key_size)
        keys, values = self._split(self.key_value(x).unflatten(-1, (2, -1)).movedim(-2, 0))
        cache.write(reach.slots, keys, values)
        content = (queries + self.content_bias) @ cache.keys.transpose(-1, -2)  # (H, T, slots)
        distances = cache.distances[:, :reach.farthest]
        place = (queries + self.distance_bias) @ distances.transpose(-1, -2)
        place = place.gather(-1, reach.distance.expand(self.heads, -1, -1))
        scores = (content + place) * self.key_size ** -0.5
        weights = scores.masked_fill(~reach.mask, float('-inf')).softmax(dim=-1)
        return self.out((weights @ cache.values).transpose(0, 1).flatten(-2))


class FeedForward(nn.Module):
    """GEGLU: the hidden width is split in two, one half gates the other."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.hidden = nn.Linear(arch.width, arch.feedforward, bias=False)
        self.out = nn.Linear(arch.feedforward // 2, arch.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.hidden(x).chunk(2, dim=-1)
        return self.out(value * F.gelu(gate))


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and beside the residual stream."""

    def __init__(self, arch: Architecture) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(arch.width)
        self.attention = Attention(arch)
        self.norm2 = nn.LayerNorm(arch.width)
        self.feedforward = FeedForward(arch)
        self.skip = arch.stochastic_depth

    def forward(self, x: Tensor, spans: Sequence[Span], encoding: Tensor,
                kept: Tensor | None = None) -> Tensor:
        """Take sequences end to end, as Attention does."""
        attended = self.attention(self.norm1(x), spans, encoding, kept)
        x = (x if kept is None else x[kept]) + self._drop(attended, spans)
        return x + self._drop(self.feedforward(self.norm2(x)), spans)

    def extend(self, x: Tensor, cache: LayerCache, reach: Reach) -> Tensor:
        x = x + self.attention.extend(self.norm1(x), cache, reach)
        return x + self.feedforward(self.norm2(x))

    def _drop(self, x: Tensor, spans: Sequence[Span]) -> Tensor:
        """Skip the sub-layer for a random share of the sequences in training."""
        if not self.training or self.skip == 0:
            return x
        kept = [(torch.rand(span.sequences, 1, device=x.device) >= self.skip).expand(
            -1, span.computed // span.sequences).flatten() for span in spans]
        return x * (torch.cat(kept)[:, None] / (1.0 - self.skip)).to(x.dtype)
