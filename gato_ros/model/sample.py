"""One id from restricted logits, without a host synchronisation."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel_noise(count: int, generator: torch.Generator) -> Tensor:
    """Draw Gumbel's noise, negated, float32[count]: logarithms of exponential draws."""
    return torch.empty(count).exponential_(generator=generator).log_()


def pick(logits: Tensor, temperature: float = 0.0, noise: Tensor | None = None) -> Tensor:
    """Return the index of the largest of logits (..., n), or a sample where noise is given.

    argmax(logits / t - noise) is distributed as softmax(logits / t) when noise comes from
    :func:`gumbel_noise`.
    """
    if noise is None:
        return logits.argmax(dim=-1)
    return (logits.float() / temperature - noise).argmax(dim=-1)
