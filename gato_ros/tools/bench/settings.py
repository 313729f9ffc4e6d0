"""What to measure, checked before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from gato_ros.model.architecture import PRESETS
from gato_ros.policy.checkpoint import SHIPPED, Checkpoint, load_checkpoint

SCHEDULINGS = ('real_time', 'ordinary')
PARTS = ('stages', 'versus', 'growth', 'long', 'agreement', 'graph')


class BenchError(RuntimeError):
    """A measurement that cannot be made; one sentence."""


@dataclass(frozen=True)
class BenchSettings:
    """What to measure.

    steps    of each in-process measurement; rivals that take seconds get fewer
    models   presets for the comparison beside the checkpoint
    minutes  of the graph; long_steps of the run that shows whether cost grows
    episodes folder of recorded episodes for the agreement; None: they are recorded first
    scheduling  of the graph's nodes, their parameter
    device   cpu, cuda, or auto: CUDA where there is a device
    """

    out: Path = Path('out/bench')
    checkpoint: Path = SHIPPED
    parts: tuple[str, ...] = PARTS
    models: tuple[str, ...] = ('79m',)
    steps: int = 200
    long_steps: int = 20_000
    minutes: float = 1.0
    threads: int = 1
    episodes: Path | None = None
    robot: str = 'panda_sim'
    device: str = 'auto'
    scheduling: str = 'real_time'

    def __post_init__(self) -> None:
        for name, given, known in (('part', self.parts, PARTS), ('model', self.models, PRESETS),
                                   ('scheduling', (self.scheduling,), SCHEDULINGS)):
            unknown = next((one for one in given if one not in known), None)
            if unknown is not None:
                raise BenchError(f'{name} {unknown!r} is not known; choose from '
                                 f'{", ".join(known)}')
        found = torch.cuda.is_available()
        if self.device == 'auto':
            object.__setattr__(self, 'device', 'cuda' if found else 'cpu')
        if self.device not in ('cpu', 'cuda') or (self.device == 'cuda' and not found):
            raise BenchError(f'device is {self.device!r}, expected auto or one that torch finds '
                             f'here: cpu{", cuda" if found else ""}')

    def load(self) -> Checkpoint:
        """Return the checkpoint on the device."""
        return load_checkpoint(self.checkpoint, self.device)
