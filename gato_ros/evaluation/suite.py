"""What is evaluated: tasks, looks, actors and seeds, and which finished episodes may be reused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import torch

import gato_ros
from gato_ros.config import ConfigError, data_path, to_dict
from gato_ros.domains.stacking import load_task
from gato_ros.evaluation.cast import ACTORS, CONTROLS, POLICY_ACTORS
from gato_ros.policy.checkpoint import (
    SHIPPED,
    Checkpoint,
    checkpoint_hash,
    load_checkpoint,
)
from gato_ros.robot import load_robot

SUITE = ('stack_narrow', 'stack_wide', 'stack_any_pair', 'tower_of_three', 'shapes_seen',
         'shapes_unseen')
LOOKS = ('nominal', 'randomised')
# Training seeds begin at 100,000.
SPLITS = {'test': range(0, 10_000), 'validation': range(10_000, 20_000)}
QUOTABLE = 200  # episodes below which a rate is a first look, not a figure to quote

# What decides how an episode ends: files below gato_ros.
_WORLD = ('config.py', 'spec.py', 'robot.py', 'safety', 'domains', 'evaluation/actors.py',
          'evaluation/prompted.py', 'evaluation/rollout.py', 'tokens')
_POLICY = ('policy', 'model')


class EvaluationError(RuntimeError):
    """An evaluation that cannot go on; the message says what is kept and what to do."""


@dataclass(frozen=True)
class Job:
    """One episode to roll out."""

    task: str
    looks: str
    actor: str
    seed: int


@dataclass(frozen=True)
class EvaluateSettings:
    """What to roll out, and with whom; ``episodes`` seeds of each task, looks and actor.

    temperature  of the action tokens; None: the checkpoint says
    out          folder for finished episodes, pictures and the plot
    workers      processes; 0: one per core
    """

    checkpoint: Path = SHIPPED
    tasks: tuple[str, ...] = ('stack_wide',)
    looks: tuple[str, ...] = ('nominal',)
    actors: tuple[str, ...] = CONTROLS
    episodes: int = QUOTABLE
    split: str = 'test'
    robot: str = 'panda_sim'
    temperature: float | None = None
    out: Path = Path('out/evaluate')
    workers: int = 0

    def __post_init__(self) -> None:
        for task in self.tasks:
            load_task(task)
        _require_known('looks', self.looks, LOOKS)
        _require_known('actor', self.actors, ACTORS)
        _require_known('split', (self.split,), SPLITS)
        if not 1 <= self.episodes <= len(SPLITS[self.split]):
            raise ConfigError(f'episodes is {self.episodes}, expected 1 to '
                              f'{len(SPLITS[self.split])}')

    @property
    def seeds(self) -> Sequence[int]:
        return SPLITS[self.split][:self.episodes]

    @property
    def jobs(self) -> list[Job]:
        """Every episode, in the order in which they are begun."""
        return [Job(task, looks, actor, seed) for task in self.tasks for looks in self.looks
                for actor in self.actors for seed in self.seeds]


def parse_looks(looks: str) -> tuple[str, ...]:
    """Return the looks that a word stands for: one of LOOKS, or both."""
    return LOOKS if looks == 'both' else (looks,)


def open_checkpoint(settings: EvaluateSettings) -> Checkpoint:
    """Read the checkpoint; CheckpointError when it is damaged or made for another robot."""
    checkpoint = load_checkpoint(settings.checkpoint)
    checkpoint.config.domain(load_robot(settings.robot).timestep())
    return checkpoint


def fingerprints(settings: EvaluateSettings) -> dict[str, str]:
    """Return for each actor twelve digits that change with anything that its episodes depend on.

    That is the robot, the simulator (its files, its source, MuJoCo's version) and, for those that
    run the checkpoint, its contents, the temperature, the model's source and torch's version.
    """
    world = [json.dumps(to_dict(load_robot(settings.robot))).encode(), mujoco.__version__.encode(),
             *_contents(_WORLD), *(data_path('sim', name).read_bytes()
                                   for name in ('stacking.xml', 'randomisation.yaml'))]
    policy: list[bytes] = []
    if not POLICY_ACTORS.isdisjoint(settings.actors):
        domain = open_checkpoint(settings).config.domain(load_robot(settings.robot).timestep())
        temperature = domain.temperature if settings.temperature is None else settings.temperature
        policy = [checkpoint_hash(settings.checkpoint).encode(), str(float(temperature)).encode(),
                  torch.__version__.encode(), *_contents(_POLICY)]
    return {actor: _digest([*world, *policy] if actor in POLICY_ACTORS else world)
            for actor in settings.actors}


def _contents(names: Iterable[str]) -> list[bytes]:
    package = Path(gato_ros.__file__).parent
    files = [file for name in names for file in (
        sorted(f for f in (package / name).rglob('*') if f.suffix in ('.py', '.cpp', '.h'))
        if (package / name).is_dir() else [package / name])]
    return [file.read_bytes() for file in files]


def _digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]


def _require_known(key: str, values: Sequence[str], known: Iterable[str]) -> None:
    if not values:
        raise ConfigError(f'no {key} is given, expected some of {", ".join(known)}')
    for value in values:
        if value not in known:
            raise ConfigError(f'{key} is {value!r}, expected one of {", ".join(known)}')
