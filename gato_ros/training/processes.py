"""One process or many: what ``torchrun`` tells each of them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed

from gato_ros.config import ConfigError


@dataclass(frozen=True)
class Process:
    """This process among ``world`` equal ones; rank 0 writes files and prints."""

    rank: int
    world: int
    device: torch.device


def start(device: str) -> Process:
    """Join the group that torchrun announces, if it does; ``device`` is auto, cpu or cuda.

    Raises ConfigError when CUDA is asked for and absent.
    """
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('device is cuda, but this torch sees no CUDA device; use --device cpu')
    world = int(os.environ.get('WORLD_SIZE', '1'))
    place = torch.device(device)
    if device == 'cuda':
        place = torch.device('cuda', int(os.environ.get('LOCAL_RANK', '0')))
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision('high')
    if world > 1:
        distributed.init_process_group('nccl' if device == 'cuda' else 'gloo')
        return Process(distributed.get_rank(), world, place)
    return Process(0, 1, place)


def stop(process: Process) -> None:
    """Leave the group."""
    if process.world > 1:
        distributed.destroy_process_group()
