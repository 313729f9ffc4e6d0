"""How fast a run is, against what its machine could do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from gato_ros.training import processes
from gato_ros.training.data.group import Group
from gato_ros.training.processes import Process


class Meter:
    """Counts over all processes, between two readings.

    dtype  of the matrix products, whose measured rate is what ``matrix_share`` refers to
    """

    def __init__(self, process: Process, dtype: torch.dtype) -> None:
        self._process = process
        self._rate = processes.matrix_rate(process.device, dtype) * process.world
        self._flops_per_step = 0
        self._clear()

    def _clear(self) -> None:
        self._start = time.perf_counter()
        self._steps = self._timesteps = self._tokens = 0
        self._waited_s = 0.0

    @contextmanager
    def step(self, groups: Sequence[Group]) -> Iterator[None]:
        """Count one optimiser step; the first one also counts its floating-point operations."""
        if self._flops_per_step:
            yield
        else:
            with FlopCounterMode(display=False) as counter:
                yield
            self._flops_per_step = counter.get_total_flops() * self._process.world
        world = self._process.world
        self._steps += 1
        self._tokens += world * sum(g.ids.numel() for g in groups)
        self._timesteps += world * sum(
            len(g.ids) * (int(g.layout.timestep[-1]) + 1) for g in groups)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time in which the model waits for data."""
        start = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - start

    def read(self) -> tuple[float, dict[str, float]]:
        """Return the seconds of a step and the figures since the last reading.

        matrix_share  of the machine's measured matrix rate that the model's products make up
        data_share    of the time spent waiting for data
        """
        elapsed = time.perf_counter() - self._start
        values = {'timesteps_per_s': self._timesteps / elapsed,
                  'tokens_per_s': self._tokens / elapsed,
                  'matrix_share': self._flops_per_step * self._steps / elapsed / self._rate,
                  'data_share': self._waited_s / elapsed}
        second = elapsed / max(1, self._steps)
        self._clear()
        return second, values
