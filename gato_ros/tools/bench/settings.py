"""What to measure, checked before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from gato_ros.domains.registry import find_task
from gato_ros.model.architecture import PRESETS
from gato_ros.policy.checkpoint import SHIPPED, Checkpoint, load_checkpoint
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import Observation, TimestepSpec, example_observation

SCHEDULINGS = ('real_time', 'ordinary')
PARTS = ('stages', 'versus', 'growth', 'long', 'agreement', 'graph')
TASK_PARTS = ('stages', 'long')  # what is measured without a robot


class BenchError(RuntimeError):
    """A measurement that cannot be made; one sentence."""


@dataclass(frozen=True)
class TaskBody:
    """A domain's task, as far as a step needs it."""

    spec: TimestepSpec

    def timestep(self) -> TimestepSpec:
        """Return the fields that tokens are made from."""
        return self.spec

    def example_observation(self, seed: int = 0) -> Observation:
        """Return a random valid observation."""
        return example_observation(self.spec, seed)


@dataclass(frozen=True)
class BenchSettings:
    """What to measure.

    steps    of each in-process measurement; rivals that take seconds get fewer
    models   presets for the comparison beside the checkpoint
    minutes  of the graph; long_steps of the run that shows whether cost grows
    episodes folder of recorded episodes for the agreement; None: they are recorded first
    task     DOMAIN/TASK to step in, in the robot's place: for the parts of TASK_PARTS
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
    task: str = ''
    device: str = 'auto'
    scheduling: str = 'real_time'

    def __post_init__(self) -> None:
        for name, given, known in (('part', self.parts, PARTS), ('model', self.models, PRESETS),
                                   ('scheduling', (self.scheduling,), SCHEDULINGS)):
            unknown = next((one for one in given if one not in known), None)
            if unknown is not None:
                raise BenchError(f'{name} {unknown!r} is not known; choose from '
                                 f'{", ".join(known)}')
        wrong = next((part for part in self.parts if self.task and part not in TASK_PARTS), None)
        if wrong is not None:
            raise BenchError(f'part {wrong!r} needs a robot, but the task {self.task!r} is given; '
                             f'choose from {", ".join(TASK_PARTS)}')
        found = torch.cuda.is_available()
        if self.device == 'auto':
            object.__setattr__(self, 'device', 'cuda' if found else 'cpu')
        if self.device not in ('cpu', 'cuda') or (self.device == 'cuda' and not found):
            raise BenchError(f'device is {self.device!r}, expected auto or one that torch finds '
                             f'here: cpu{", cuda" if found else ""}')

    def body(self) -> RobotSpec | TaskBody:
        """Return what the steps are taken in."""
        if not self.task:
            return load_robot(self.robot)
        domain, task = find_task(self.task)
        return TaskBody(domain.specification(task))

    def load(self) -> Checkpoint:
        """Return the checkpoint on the device; CheckpointError where it does not know the task."""
        checkpoint = load_checkpoint(self.checkpoint, self.device)
        if self.task:
            domain, task = find_task(self.task)
            checkpoint.config.name_of(domain.source(task), domain.specification(task))
        return checkpoint
