"""Weights, their average and the optimiser split over processes (FSDP2); the state of such a run.

    torchrun --nnodes 2 --nproc-per-node 8 ... -m gato_ros.tools.cli train big.yaml

with ``sharded: true`` in it. Every process writes its own part of the state, on a file system that
all of them see, and another number of processes may read it. ``state/STEP`` is whole once it holds
``.metadata``, which torch writes last; it is for whoever wrote it, not for strangers.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from gato_ros.config import ConfigError
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.processes import Process

WHOLE = '.metadata'  # the file that torch writes last


def shard(loss: MaskedLoss, process: Process) -> None:
    """Leave each process its share of every weight; a block's are gathered while it computes.

    Raises ConfigError where this torch cannot do it.
    """
    if not hasattr(FSDPModule, 'set_reduce_scatter_unused_params'):
        raise ConfigError(f'sharded is true, but this torch is {torch.__version__}, expected 2.13 '
                          'or later; leave it false')
    mesh = init_device_mesh(process.device.type, (process.world,))
    for block in loss.model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(loss, mesh=mesh)
    # A process whose part of a batch is text alone has no use for the patch encoder.
    loss.set_reduce_scatter_unused_params(True)  # type: ignore[operator]


def local(value: Tensor) -> Tensor:
    """Return what this process holds of a tensor."""
    return value.to_local() if isinstance(value, DTensor) else value


def gather(weights: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Return whole weights on the CPU; nothing where ``keep`` is false. All processes call it."""
    found = {}
    for name, value in weights.items():
        whole = value.full_tensor() if isinstance(value, DTensor) else value
        if keep:
            found[name] = whole.cpu()
    return found


def save_state(folder: Path, step: int, model: nn.Module, average: Mapping[str, Tensor],
               optimizer: torch.optim.Optimizer) -> None:
    """Write ``folder/STEP``, each process its part, and remove what was there before.

    Raises OSError or CheckpointException when it cannot be written; what was there stays.
    """
    place = folder / f'{step:09d}'
    checkpoint.save(_state(step, model, average, optimizer), checkpoint_id=place)
    if distributed.get_rank() == 0:
        for other in folder.iterdir():
            if other != place:
                shutil.rmtree(other)


def newest(folder: Path) -> Path | None:
    """Return the newest state in a folder that is whole; None: there is none."""
    return max((file.parent for file in folder.glob(f'*/{WHOLE}')), default=None)


def load_state(place: Path, model: nn.Module, average: dict[str, Tensor],
               optimizer: torch.optim.Optimizer) -> int:
    """Read a state into these, whatever number of processes wrote it; return its step."""
    state = _state(0, model, average, optimizer)
    checkpoint.load(state, checkpoint_id=place)
    set_optimizer_state_dict(model, optimizer, state['optimizer'])
    return int(state['step'])


def _state(step: int, model: nn.Module, average: Mapping[str, Tensor],
           optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {'step': step, 'model': model.state_dict(), 'average': dict(average),
            'optimizer': get_optimizer_state_dict(model, optimizer)}
