"""What stands between the host and a CUDA device: one copy in for many vectors, and graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gato_ros.policy.engine import one_sentence

LINE = 16  # bytes: where a vector may begin


class Inbox:
    """Named vectors that one copy brings to the device; ``there`` holds them on it.

    parts  type and length of each
    """

    def __init__(self, device: torch.device, **parts: tuple[torch.dtype, int]) -> None:
        on_gpu = device.type == 'cuda'
        sizes = [-(-dtype.itemsize * count // LINE) * LINE for dtype, count in parts.values()]
        host = torch.zeros(sum(sizes), dtype=torch.uint8, pin_memory=on_gpu)
        self._host, self._device = host, host.to(device, copy=True)
        self._gone = torch.cuda.Event() if on_gpu else None
        self.there = _views(self._device, sizes, parts)
        self._here = {name: part.numpy() for name, part in _views(host, sizes, parts).items()}

    def send(self, **values: np.ndarray | float) -> None:
        """Copy values to the front of their vectors, a number to a whole one; then send all."""
        if self._gone is not None:
            self._gone.synchronize()  # the former copy still reads what is written here
        for name, value in values.items():
            self._here[name][:np.size(value) if np.ndim(value) else None] = value
        self._device.copy_(self._host, non_blocking=True)
        if self._gone is not None:
            self._gone.record()


def _views(memory: Tensor, sizes: list[int], parts: dict[str, tuple[torch.dtype, int]]
           ) -> dict[str, Tensor]:
    return {name: piece[:dtype.itemsize * count].view(dtype) for piece, (name, (dtype, count))
            in zip(memory.split(sizes), parts.items(), strict=True)}


class Graph:
    """A function of buffers that never move, captured when it is first called."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _capture(self) -> torch.cuda.CUDAGraph:
        aside = torch.cuda.Stream()  # libraries choose their ways and take memory before a capture
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                self._run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            self._run()
        return graph


def read_bandwidth(device: str, size: int = 2**30, rounds: int = 20) -> float:
    """Measure how many bytes/s the device reads from its memory at best, ``size`` bytes at once.

    Raises EngineError where the device or its memory does not suffice.
    """
    with one_sentence(device):
        numbers = torch.ones(size // 4, device=device)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        times = []
        for _ in range(rounds):
            start.record()
            numbers.sum()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1e-3)
        return size / min(times)
