"""What is evaluated: tasks, randomisation, actors and seeds; which results may be reused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

import gato_ros
from gato_ros.config import ConfigError
from gato_ros.domains.domain import Domain
from gato_ros.domains.registry import find_task
from gato_ros.evaluation.actors import expert_of
from gato_ros.evaluation.cast import ACTORS, CONTROLS, EXPERT_ACTORS, POLICY_ACTORS
from gato_ros.evaluation.rollout import NOMINAL, RANDOMISED
from gato_ros.policy.checkpoint import (
    SHIPPED,
    Checkpoint,
    CheckpointConfig,
    checkpoint_hash,
    load_checkpoint,
)
from gato_ros.tokens.text import DEFAULT_MODEL
from gato_ros.workers import here

CONDITIONS = (NOMINAL, RANDOMISED)
SPLITS = ('test', 'validation')
QUOTABLE = 200  # episodes below which a rate is a first look, not a figure to quote

# What decides how an episode ends, beside the domain's own: files below gato_ros.
_WORLD = ('config.py', 'spec.py', 'robot.py', 'kinematics.py', 'safety', 'domains/domain.py',
          'domains/wrappers.py', 'episodes/prompts.py', 'evaluation/actors.py',
          'evaluation/prompted.py', 'evaluation/rollout.py', 'tokens')
_POLICY = ('policy', 'model')
_WORDED = ('domains/language',)  # of the actor that is told in other words


class EvaluationError(RuntimeError):
    """An evaluation that cannot go on; the message says what is kept and what to do."""


@dataclass(frozen=True)
class Job:
    """One episode to roll out; ``task`` is DOMAIN/TASK, or a task of stacking."""

    task: str
    randomisation: str
    actor: str
    seed: int


@dataclass(frozen=True)
class EvaluateSettings:
    """What to roll out, and with whom; ``episodes`` seeds of each task, condition and actor.

    randomisations  nominal, randomised by the domain's own means, or disturbances by name
    robot        another robot than the domain's own; '': that
    temperature  of the action tokens; None: the checkpoint says
    window       timesteps that the policy sees; None: the checkpoint says
    pictured     seeds of each task, the first ones, whose failures leave pictures; None: all
    out          folder for finished episodes, pictures and the plot
    workers      processes; 0: one per core
    ray          address of a Ray cluster whose nodes share the work; '': this machine alone
    """

    checkpoint: Path = SHIPPED
    tasks: tuple[str, ...] = ('stack_wide',)
    randomisations: tuple[str, ...] = (NOMINAL,)
    actors: tuple[str, ...] = CONTROLS
    episodes: int = QUOTABLE
    split: str = 'test'
    robot: str = ''
    temperature: float | None = None
    window: int | None = None
    pictured: int | None = None
    out: Path = Path('out/evaluate')
    workers: int = 0
    ray: str = ''

    def __post_init__(self) -> None:
        _require_known('actor', self.actors, ACTORS)
        _require_known('split', (self.split,), SPLITS)
        for task in self.tasks:
            domain, name = self.find(task)
            _require_known('randomisation', self.randomisations,
                           (*CONDITIONS, *domain.disturbances))
            if 'forgetful' in self.actors and domain.task(name).chance is None:
                raise ConfigError(f'the actor forgetful was asked for in {task!r}, expected a '
                                  'task that needs memory, such as recall_pair')
            if not EXPERT_ACTORS.isdisjoint(self.actors):
                expert_of(domain)
            if RANDOMISED in self.randomisations and not domain.randomises:
                raise ConfigError(f'randomisation is {RANDOMISED!r}, but the domain '
                                  f'{domain.name!r} has none, expected {NOMINAL!r}')
            if not 1 <= self.episodes <= len(domain.seeds.split(self.split)):
                raise ConfigError(f'episodes is {self.episodes}, expected 1 to '
                                  f'{len(domain.seeds.split(self.split))}')

    def find(self, task: str) -> tuple[Domain, str]:
        """Return a task's domain, and its name there."""
        return find_task(task, self.robot)

    @cached_property
    def seeds(self) -> Sequence[int]:
        """Of the first task's domain; all of ours have the same."""
        return self.find(self.tasks[0])[0].seeds.split(self.split)[:self.episodes]

    @property
    def jobs(self) -> list[Job]:
        """Every episode, in the order in which they are begun."""
        seeds = {task: self.find(task)[0].seeds.split(self.split)[:self.episodes]
                 for task in self.tasks}
        return [Job(task, randomisation, actor, seed) for task in self.tasks
                for randomisation in self.randomisations for actor in self.actors
                for seed in seeds[task]]


def controls(tasks: Iterable[str], robot: str = '') -> tuple[str, ...]:
    """Return the actors that a rate of these tasks is read beside: those that all can have."""
    blind = {'no_image', 'stale_image'}
    found = [find_task(task, robot) for task in tasks]
    left_out: set[str] = set()
    if not all(domain.specification(task).images for domain, task in found):
        left_out |= blind
    if not all(domain.demonstrators for domain, _ in found):
        left_out |= EXPERT_ACTORS
    return tuple(actor for actor in CONTROLS if actor not in left_out)


def parse_randomisation(word: str) -> tuple[str, ...]:
    """Return the conditions that a word stands for: one of CONDITIONS, or both."""
    return CONDITIONS if word == 'both' else (word,)


def open_checkpoint(settings: EvaluateSettings) -> Checkpoint:
    """Read the checkpoint; CheckpointError when it is damaged or knows not all of the tasks."""
    checkpoint = load_checkpoint(here(settings.checkpoint))
    for task in settings.tasks:
        name_in(checkpoint.config, *settings.find(task))
    return checkpoint


def name_in(config: CheckpointConfig, domain: Domain, task: str) -> str:
    """Return what a checkpoint calls the domain of a task; CheckpointError where it has none."""
    return config.name_of(domain.source(task), domain.specification(task))


Fingerprints = dict[tuple[str, str], str]  # (task, actor) -> twelve digits


def fingerprints(settings: EvaluateSettings) -> Fingerprints:
    """Return twelve digits that change with anything that a task's and actor's episodes rest on.

    That is the domain (its robot, its source, its library's version) and, for those that run the
    checkpoint, its contents, the temperature, the model's source, the text model and torch.
    """
    ours, policy = _digests(_contents(_WORLD)), []
    runs_policy = not POLICY_ACTORS.isdisjoint(settings.actors)
    if runs_policy:
        config = open_checkpoint(settings).config
        policy = _digests([checkpoint_hash(here(settings.checkpoint)).encode(),
                           torch.__version__.encode(), DEFAULT_MODEL.read_bytes(),
                           *_contents(_POLICY)])
    found: Fingerprints = {}
    worlds: dict[Domain, list[bytes]] = {}  # a domain of a hundred tasks is read once
    for task in settings.tasks:
        domain, name = settings.find(task)
        if domain not in worlds:
            worlds[domain] = [*ours, *_digests(domain.fingerprint())]
        world, own = worlds[domain], list(policy)
        if runs_policy:
            given = settings.temperature
            known = config.domains[name_in(config, domain, name)]
            own += _digests([str(float(known.temperature if given is None else given)).encode()])
            if settings.window is not None:
                own += _digests([f'window {settings.window}'.encode()])
        found |= {(task, actor): _joined([
            *world, *(own if actor in POLICY_ACTORS else ()),
            *(_digests(_contents(_WORDED)) if actor == 'worded' else ())])
                  for actor in settings.actors}
    return found


def _contents(names: Iterable[str]) -> list[bytes]:
    package = Path(gato_ros.__file__).parent
    files = [file for name in names for file in (
        sorted(f for f in (package / name).rglob('*') if f.suffix in ('.py', '.cpp', '.h'))
        if (package / name).is_dir() else [package / name])]
    return [file.read_bytes() for file in files]


def _digests(parts: Iterable[bytes]) -> list[bytes]:
    return [hashlib.sha256(part).digest() for part in parts]


def _joined(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b''.join(digests)).hexdigest()[:12]


def _require_known(key: str, values: Sequence[str], known: Iterable[str]) -> None:
    if not values:
        raise ConfigError(f'no {key} is given, expected some of {", ".join(known)}')
    for value in values:
        if value not in known:
            raise ConfigError(f'{key} is {value!r}, expected one of {", ".join(known)}')
