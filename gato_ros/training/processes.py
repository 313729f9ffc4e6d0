"""One process or many, and the machine under them."""

from __future__ import annotations

import ctypes
import os
import time
from contextlib import suppress
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


def start(device: str, group: bool = False) -> Process:
    """Join the group that torchrun announces, if it does; ``device`` is auto, cpu or cuda.

    group  whether one process alone is to be a group, too

    Raises ConfigError when CUDA is asked for and absent.
    """
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if device == 'cuda' and not torch.cuda.is_available():
        raise ConfigError('device is cuda, but this torch sees no CUDA device; use --device cpu')
    world = int(os.environ.get('WORLD_SIZE', '1'))
    place = torch.device(device)
    if device == 'cpu':
        _keep_memory()
    if device == 'cuda':
        place = torch.device('cuda', int(os.environ.get('LOCAL_RANK', '0')))
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision('high')
    backend = 'nccl' if device == 'cuda' else 'gloo'
    if world > 1:
        distributed.init_process_group(backend)
        return Process(distributed.get_rank(), world, place)
    if group:
        distributed.init_process_group(backend, store=distributed.HashStore(), rank=0,
                                       world_size=1)
    return Process(0, 1, place)


def stop() -> None:
    """Leave the group, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Measure the rate of a large matrix product, in FLOP/s.

    In float32 where a CPU has no units for ``dtype`` and computes it a hundred times slower.
    """
    if device.type == 'cuda':
        return _product_rate(device, dtype, 8192)
    quickest = max((dtype, torch.float32), key=lambda kind: _product_rate(device, kind, 256))
    return _product_rate(device, quickest, 1536)


def _product_rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    a = torch.randn(size, size, device=device).to(dtype)
    best = float('inf')
    for _ in range(4):
        start = time.perf_counter()
        product = a @ a
        product[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _keep_memory() -> None:
    """Tell glibc to keep freed memory: to fault it in anew costs a quarter of a step."""
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names in malloc.h
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL('libc.so.6')
        for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 2**28)):
            libc.mallopt(option, value)
