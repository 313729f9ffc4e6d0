"""What a domain is: its tasks, its specifications, its world, its expert, its scores.

Collecting, training and evaluation know this protocol and nothing of any one domain. To add a
domain is to write one file with these two classes: docs/domains.md does it step by step.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.robot import RobotSpec
from gato_ros.spec import DiscreteField, Observation, TimestepSpec

Values = Mapping[str, np.ndarray]  # action field -> float64[n] in its unit, or int64[n]


class DomainError(RuntimeError):
    """A domain that cannot be used, or a world that broke its word; one sentence for people."""


class ActionError(ValueError):
    """An action that the specification does not allow; one sentence for people."""


@dataclass(frozen=True)
class Seeds:
    """Which episodes serve what. Nothing is trained or chosen on test seeds.

    demonstrations  of prompts in an evaluation; training, from the first one on
    """

    test: range = range(0, 10_000)
    validation: range = range(10_000, 20_000)
    demonstrations: range = range(20_000, 30_000)
    first_training: int = 100_000

    def split(self, name: str) -> range:
        """Return the seeds of ``test`` or ``validation``."""
        return {'test': self.test, 'validation': self.validation}[name]


@dataclass(frozen=True)
class TaskSpec:
    """One task of a domain.

    sentence  what a policy is told; an episode's own may differ, see Environment.sentence
    body      which of the domain's specifications it has; '' where there is but one
    held_out  whether it may never be collected for training
    varied    whether episodes show more than the sentence says, such as other shapes
    alias_of  the longer name of the same task; '' for a name of its own
    chance    largest success rate of a policy that sees one timestep, in a task that needs memory
    """

    name: str
    sentence: str = ''
    body: str = ''
    held_out: bool = False
    varied: bool = False
    alias_of: str = ''
    chance: float | None = None


@dataclass(frozen=True)
class Score:
    """The score of an actor in one task: mean and standard deviation of n episodes."""

    mean: float
    deviation: float
    n: int


@dataclass(frozen=True)
class Scores:
    """The two ends of the normalised score, (score - random) / (expert - random)."""

    random: Score
    expert: Score

    def __post_init__(self) -> None:
        if not self.expert.mean > self.random.mean:
            raise ConfigError(f'the expert scores {self.expert.mean:g} and chance '
                              f'{self.random.mean:g}, expected more of the expert')

    def normalised(self, score: float) -> float:
        """Return 0 for the random actor's mean score and 1 for the expert's."""
        return (score - self.random.mean) / (self.expert.mean - self.random.mean)


class Environment(ABC):
    """A world at work: one episode after the other.

    spec       what is seen and done there; of the present task
    robot      the robot that the world stands for: the gate stands before it. None: there is none
    pictures   whether observations hold images; may be changed between episodes
    randomise  whether looks and physics are drawn anew at a reset, where the domain can
    disturbance  one of the domain's disturbances, from the next reset on; '': none
    delay_s    how much later than asked an action acts; worlds without time to lose ignore it
    """

    spec: TimestepSpec
    robot: RobotSpec | None = None
    pictures: bool = True
    randomise: bool = False
    disturbance: str = ''
    delay_s: float = 0.0

    @abstractmethod
    def reset(self, task: str, seed: int) -> Observation:
        """Begin the episode of this seed: the same seed gives the same episode, bit by bit."""

    @abstractmethod
    def step(self, values: Values) -> Observation:
        """Do this for one timestep; ActionError for values that are not allowed."""

    @property
    @abstractmethod
    def ended(self) -> bool:
        """Whether the episode is over, won, lost or out of time."""

    @property
    @abstractmethod
    def score(self) -> float:
        """The return of the episode so far; 1.0 for a success where that is all that counts."""

    @abstractmethod
    def picture(self, size: int) -> np.ndarray:
        """Return uint8[H, W, 3] for people, about ``size`` pixels wide."""

    @property
    def success(self) -> bool | None:
        """Whether the task is solved; None where the domain knows scores alone."""
        return None

    @property
    def failure(self) -> str:
        """What went wrong so far, in a few words; '' on success."""
        return 'not solved' if self.success is False else ''

    @property
    def progress(self) -> float:
        """Share of the longest episode that has passed, in [0, 1]."""
        return float(self.ended)

    @property
    def sentence(self) -> str:
        """What a policy is told in this episode."""
        return ''

    def targets(self) -> Mapping[str, np.ndarray]:
        """Return name -> float[n], NaN where unknown: for training targets only, never seen.

        The simulator's state, or what follows from what is seen and said.
        """
        return {}

    def still(self, former: Values | None = None) -> Values:
        """Return what does least: the middle of each range, the first choice.

        former  what was done last; a gripper keeps its force
        """
        return {field.name: np.zeros(field.size, np.int64) if isinstance(field, DiscreteField)
                else (np.array(field.low) + np.array(field.high)) / 2
                for field in self.spec.actions}

    def other_goal(self, seed: int) -> None:
        """Judge this episode by another goal than the scene's own, drawn by the seed."""
        raise ConfigError(f'{type(self).__name__} has one goal for each scene, expected a task '
                          'such as stack_any_pair, where a prompt can say another')

    def twin(self) -> Environment:
        """Return another environment whose episodes have the goal of the present one."""
        return copy.deepcopy(self)

    def close(self) -> None:
        """Free what the world holds."""
        return

    @property
    def world(self) -> Environment:
        """The environment itself, below what may be wrapped around it."""
        return self

    def apply(self, values: Values) -> tuple[Observation, Values]:
        """Do one timestep; return what is seen then, and what was really done."""
        return self.step(values), values


class Demonstrator(Protocol):
    """Acts in one episode and may know the world's state: an expert, or a scripted person."""

    def act(self, observation: Observation) -> Values:
        """Return what it would do now."""


class Domain(ABC):
    """A family of tasks in one kind of world.

    name           short and lower-case: in episodes, checkpoints and on the command line
    licence        of the package that it wraps; version: of that package
    demonstrators  who can act for data, the expert first
    randomises     whether its environments can draw looks and physics
    undisturbed    values of an action that collecting leaves without noise, such as a gripper's
    bar            normalised score from which an episode without a verdict is usable
    """

    name: str
    licence: str = ''
    version: str = ''
    robot: RobotSpec | None = None
    demonstrators: tuple[str, ...] = ('expert',)
    randomises: bool = False
    undisturbed: frozenset[str] = frozenset()
    bar: float | None = None
    seeds = Seeds()

    @property
    @abstractmethod
    def tasks(self) -> Mapping[str, TaskSpec]:
        """Every task by name."""

    @abstractmethod
    def specification(self, task: str) -> TimestepSpec:
        """Return what a timestep of this task holds."""

    @abstractmethod
    def environment(self) -> Environment:
        """Return a world of its own; its first call is ``reset``."""

    @abstractmethod
    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        """Return one of ``demonstrators`` for the episode that has just begun there."""

    def forgetful(self, environment: Environment) -> Demonstrator:
        """Return the expert denied its memory, in the episode that has just begun there."""
        raise ConfigError(f'the domain {self.name!r} has no expert without memory, expected a '
                          'task that needs some, such as stacking/recall_pair')

    @property
    def disturbances(self) -> Mapping[str, str]:
        """What its worlds can be disturbed by, name -> a few words for people."""
        return {}

    @property
    def memory(self) -> Sequence[str]:
        """The tasks that need memory."""
        return tuple(name for name, task in self.tasks.items() if task.chance is not None)

    @property
    def suite(self) -> Sequence[str]:
        """The tasks by which the domain is judged."""
        return tuple(self.tasks)

    def task(self, name: str) -> TaskSpec:
        """Return a task by name; ConfigError for one that the domain does not have."""
        if name not in self.tasks:
            raise ConfigError(f'task {name!r} is unknown in the domain {self.name!r}, expected '
                              f'one of {", ".join(self.tasks)}')
        return self.tasks[name]

    def full_name(self, task: str) -> str:
        """Return the one name of a task that may have two; a name of no task as it is."""
        return (self.tasks[task].alias_of if task in self.tasks else '') or task

    def source(self, task: str) -> str:
        """Return what mixtures and checkpoints call the episodes of a task: by their body."""
        body = self.task(task).body
        return f'{self.name}/{body}' if body else self.name

    def demonstrators_of(self, task: str) -> Sequence[str]:
        """Return which of ``demonstrators`` can do a task."""
        return self.demonstrators

    def usable(self, success: bool | None, normalised: float | None) -> bool:
        """Whether an episode may be learnt from: a success, or a score at the bar or above it."""
        if success is not None:
            return success
        return self.bar is None or (normalised is not None and normalised >= self.bar)

    def scores(self, task: str) -> Scores | None:
        """Return a task's scores where they are known beforehand; else the published count."""
        return None

    def human(self, task: str) -> float | None:
        """Return a person's published score, to be read beside ours; None: there is none."""
        return None

    def with_robot(self, robot: str) -> Domain:
        """Return this domain with another robot, a name or a YAML file."""
        raise ConfigError(f'the domain {self.name!r} has no robot, but robot {robot!r} was given; '
                          'leave --robot out')

    def fingerprint(self) -> list[bytes]:
        """Return all that an episode's course depends on, beside the actor and the seed."""
        return [Path(inspect.getfile(type(self))).read_bytes(), self.version.encode()]
