"""Fine-tuning of few weights: beside each matrix of the blocks a product of two thin ones learns.

    adapt(model, rank=16)                    # everything else stands still
    ... train ...
    weights = merged(model.state_dict())     # the names and shapes of an ordinary model

After Hu et al. 2021, "LoRA". What is saved is an ordinary checkpoint, so nothing else knows of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_ros.config import ConfigError
from gato_ros.model.gato import Gato

_PARTS = ('linear.weight', 'up', 'down')


class LowRank(nn.Module):
    """A linear layer without bias that stands still, and its change of rank R, which learns."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) * linear.in_features**-0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))  # no change at first

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.linear(x) + F.linear(F.linear(x, self.down), self.up)


def adapt(model: Gato, rank: int) -> None:
    """Let only changes of rank ``rank`` to the blocks' matrices learn.

    Raises ConfigError for a rank that is no less than a matrix's own.
    """
    model.requires_grad_(False)
    for block in model.blocks:
        for part in (block.attention, block.feedforward):
            for name, linear in list(part.named_children()):
                assert isinstance(linear, nn.Linear) and linear.bias is None
                if rank >= min(linear.weight.shape):
                    raise ConfigError(f'low_rank is {rank}, expected less than '
                                      f"{min(linear.weight.shape)}, the least of the model's "
                                      'matrices; 0 trains all weights')
                setattr(part, name, LowRank(linear, rank))


def merged(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of an ordinary model; those of one are returned as they are."""
    found = {name: value for name, value in weights.items() if not name.endswith(_PARTS)}
    for name in weights:
        if name.endswith('.up'):
            layer = name.removesuffix('.up')
            found[f'{layer}.weight'] = (weights[f'{layer}.linear.weight']
                                        + weights[name] @ weights[f'{layer}.down'])
    return found
