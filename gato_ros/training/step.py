"""One optimiser step, its random numbers, and the weights that a run begins with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from gato_ros.config import ConfigError
from gato_ros.model.gato import Gato
from gato_ros.training.data.group import Group
from gato_ros.training.settings import TrainSettings


class NotFiniteError(ArithmeticError):
    """A loss or gradient that is NaN or infinite; ``sources`` are those that it may come from."""

    def __init__(self, what: str, sources: list[str]) -> None:
        super().__init__(f'{what} of {", ".join(sources)} is not finite')
        self.sources = sources


def seed_of(*numbers: int) -> int:
    """Return the seed of a step's random numbers from the run's seed, the step and the rank.

    Written out is what CPython 3.8 to 3.14 calls the hash of a tuple (xxHash, 64 bits), which the
    first runs were seeded by, so that they go on bit for bit with any interpreter.
    """
    total, bits = 2870177450012600261, 2**64 - 1
    for number in numbers:
        total = (total + (number % (2**61 - 1)) * 14029467366897019727) & bits
        total = ((total << 31 | total >> 33) * 11400714785074694791) & bits
    total = (total + (len(numbers) ^ (2870177450012600261 ^ 3527539))) & bits
    signed = total - 2**64 if total >= 2**63 else total
    return signed % 2**63


def optimise(module: nn.Module, batches: Mapping[int, list[Group]],
             optimizer: torch.optim.Optimizer, settings: TrainSettings, device: torch.device
             ) -> list[dict[str, Tensor]]:
    """Take one step down the mean loss of a batch's parts; return the terms of each one's loss.

    batches  seed of its random numbers -> groups, for each part that this process computes

    Raises NotFiniteError, in every process, with no weight changed, where the loss or its gradient
    is not finite in any of them.
    """
    optimizer.zero_grad(set_to_none=True)
    losses, terms = [], []
    for seed, groups in batches.items():
        torch.manual_seed(seed)
        with torch.autocast(device.type, dtype=settings.dtype, enabled=settings.autocast):
            loss, its = module(groups)
        (loss / len(batches)).backward()
        losses.append(loss.detach())
        terms.append(its)
    norm = nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
    if isinstance(norm, DTensor):
        norm = norm.full_tensor()
    finite = torch.stack(losses).isfinite().all()
    broken = (~(finite & norm.isfinite())).float()
    if distributed.is_initialized():
        distributed.all_reduce(broken, distributed.ReduceOp.MAX)  # all of them stop, or none
    if broken:
        names = sorted({group.source for groups in batches.values() for group in groups})
        faulty = [name for name in names
                  if any(term.endswith(f'/{name}') and not value.isfinite()
                         for its in terms for term, value in its.items())]
        raise NotFiniteError('the gradient' if finite else 'the loss', faulty or names)
    optimizer.step()
    return terms


def make_optimizer(model: Gato, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW with the paper's betas; norms, biases and tables do not decay."""
    learning = {n: p for n, p in model.named_parameters() if p.requires_grad}
    matrices = [p for n, p in learning.items()
                if p.dim() >= 2 and 'embedding.' not in n and '_bias' not in n]
    chosen = {id(p) for p in matrices}
    others = [p for p in learning.values() if id(p) not in chosen]
    return torch.optim.AdamW(
        [{'params': matrices, 'weight_decay': settings.weight_decay},
         {'params': others, 'weight_decay': 0.0}],
        lr=settings.learning_rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def take_weights(model: Gato, source: Gato) -> None:
    """Copy every weight of ``source``; the auxiliary heads may differ or be missing.

    A deeper model gets the blocks spread evenly over its own, and those between pass everything on
    as it is: it begins as the very function that the source is, and grows from there.

    Raises ConfigError where other sizes differ.
    """
    layers, former = model.arch.layers, source.arch.layers
    if former > layers:
        raise ConfigError(f'the starting checkpoint has {former} layers and the model {layers}, '
                          'expected as many or more; choose another model')
    places = [number * layers // former for number in range(former)]
    mine, found = model.state_dict(), {}
    for name, value in source.state_dict().items():
        if name.startswith('blocks.'):
            _, number, rest = name.split('.', 2)
            name = f'blocks.{places[int(number)]}.{rest}'
        if name in mine and value.shape == mine[name].shape:
            found[name] = value
    between = [i for i in range(layers) if i not in places]
    free = ('auxiliary_head', *(f'blocks.{i}.' for i in between))
    missing = [name for name in mine if name not in found and not name.startswith(free)]
    if missing:
        raise ConfigError(f'the starting checkpoint does not fit the model: {missing[0]} has '
                          f'another shape; choose the same model, or one with more layers')
    model.load_state_dict(found, strict=False)
    for block in (model.blocks[i] for i in between):
        for out in (block.attention.out, block.feedforward.out):
            nn.init.zeros_(out.weight)
