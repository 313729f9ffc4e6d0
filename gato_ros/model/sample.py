"""One id from restricted logits, without a host synchronisation."""

from __future__ import annotations

import torch
from torch import Tensor


def sample(logits: Tensor, temperature: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw an index from logits (..., n): the largest at temperature 0, else by Gumbel noise.

    The logarithm of an exponential draw is Gumbel's noise, negated; argmax(logits / t + noise) is
    distributed as softmax(logits / t).
    """
    if temperature == 0:
        return logits.argmax(dim=-1)
    waits = torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator)
    return (logits.float() / temperature - waits.log()).argmax(dim=-1)
