"""Any Gymnasium environment as a domain, by a YAML file alone.

    environment: CartPole-v1       # what gymnasium.make takes; all else may be left out
    options: {}                    # of gymnasium.make
    imports: [ale_py]              # modules that register environments
    licence: MIT
    tasks:                         # else one task, called default
      balance: {sentence: keep the pole upright, options: {}}
    observation:                   # by the parts of the space, see gym_spaces.py
      observation: {names: [position, velocity, angle, turning], low: [...], high: [...]}
    action: {}
    success: is_success            # the key of the step's information that says so
    bar: 0.5                       # normalised score from which an episode is learnt from
    scores: {random: {mean: 21.0, deviation: 10.0, n: 50}, expert: {...}}
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from gato_ros.config import ConfigError, from_dict, read_yaml
from gato_ros.domains import gym_spaces
from gato_ros.domains.domain import (
    Demonstrator,
    Domain,
    DomainError,
    Environment,
    Scores,
    TaskSpec,
    Values,
)
from gato_ros.domains.gym_spaces import FieldSettings
from gato_ros.spec import ContinuousField, DiscreteField, ImageField, Observation, TimestepSpec

OBSERVATION, ACTION = 'observation', 'action'
PERIOD_NS = 50_000_000  # between the stamps of two timesteps


@dataclass(frozen=True)
class GymnasiumTask:
    """One task of the file: its words, and what gymnasium.make gets beside ``options``."""

    sentence: str = ''
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class GymnasiumSettings:
    """What the YAML file may say; see above."""

    environment: str
    options: dict[str, Any] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    licence: str = ''
    tasks: dict[str, GymnasiumTask] = field(default_factory=lambda: {'default': GymnasiumTask()})
    observation: dict[str, FieldSettings] = field(default_factory=dict)
    action: dict[str, FieldSettings] = field(default_factory=dict)
    success: str = ''
    bar: float | None = None
    scores: Scores | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError('tasks is empty, expected at least one; left out, there is default')
        if self.bar is not None and self.scores is None:
            raise ConfigError(f'bar is {self.bar} and no scores are given, expected both: the '
                              'bar is a normalised score')


class GymnasiumDomain(Domain):
    """The environment of one YAML file; the domain has the file's name.

    Raises ConfigError for a file or a space that cannot be mapped, DomainError for an environment
    that Gymnasium does not have.
    """

    demonstrators = ()

    def __init__(self, file: Path) -> None:
        self._file = file
        self.settings = from_dict(GymnasiumSettings, read_yaml(file), str(file))
        self.name, self.bar, self.licence = file.stem, self.settings.bar, self.settings.licence
        self.version = f'gymnasium {gymnasium.__version__}'
        made = self.make(next(iter(self.settings.tasks)))
        try:
            self.observation_parts = gym_spaces.parts_of(
                made.observation_space, self.settings.observation, OBSERVATION)
            self.action_parts = gym_spaces.parts_of(
                made.action_space, self.settings.action, ACTION)
        except ConfigError as error:
            raise ConfigError(f'{file}: {error}') from error
        finally:
            made.close()
        seen = [part.field for part in self.observation_parts]
        done = [part.field for part in self.action_parts]
        self._spec = TimestepSpec(
            tuple(f for f in seen if isinstance(f, ImageField)),
            tuple(f for f in seen if isinstance(f, ContinuousField)),
            tuple(f for f in seen if isinstance(f, DiscreteField)),
            tuple(f for f in done if isinstance(f, ContinuousField)),
            tuple(f for f in done if isinstance(f, DiscreteField)))

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {name: TaskSpec(name, task.sentence) for name, task in self.settings.tasks.items()}

    def specification(self, task: str = '') -> TimestepSpec:
        return self._spec

    def environment(self) -> Environment:
        return GymnasiumEnvironment(self)

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        raise ConfigError(f'{self._file} has no {kind}, expected the actor random')

    def scores(self, task: str) -> Scores | None:
        return self.settings.scores

    def fingerprint(self) -> list[bytes]:
        return [self._file.read_bytes(), *super().fingerprint()]

    def make(self, task: str) -> gymnasium.Env:
        """Return a task's environment, able to draw itself where it can."""
        settings = self.settings
        try:
            for module in settings.imports:
                importlib.import_module(module)
            options = {**settings.options, **settings.tasks[task].options}
            if 'rgb_array' in _modes(settings):
                options.setdefault('render_mode', 'rgb_array')
            options.setdefault('disable_env_checker', True)  # wrappers.Checked says it better
            return gymnasium.make(settings.environment, **options)
        except Exception as error:  # whatever the environment of a stranger raises
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise DomainError(f'{self._file}: environment {settings.environment!r} cannot be '
                              f'made: {why}') from error


class GymnasiumEnvironment(Environment):
    """A task's environment at work; it is made anew where another task's options ask for it."""

    def __init__(self, domain: GymnasiumDomain) -> None:
        self._domain, self.spec = domain, domain.specification()
        self._task: str | None = None

    def reset(self, task: str, seed: int) -> Observation:
        if self._task != task:
            self.close()
            self._inside, self._task = self._domain.make(task), task
        seen, self._info = self._inside.reset(seed=seed)
        self._steps, self._score, self._ended = 0, 0.0, False
        words = gym_spaces.sentence_of(self._inside.observation_space, seen, OBSERVATION)
        self._sentence = words or self._domain.settings.tasks[task].sentence
        return self._observation(seen)

    def step(self, values: Values) -> Observation:
        action = gym_spaces.write(self._domain.action_parts, values, self._inside.action_space)
        seen, reward, terminated, truncated, self._info = self._inside.step(action)
        self._steps += 1
        self._score += float(reward)
        self._ended = bool(terminated or truncated)
        return self._observation(seen)

    @property
    def ended(self) -> bool:
        return self._ended

    @property
    def score(self) -> float:
        return self._score

    @property
    def success(self) -> bool | None:
        key = self._domain.settings.success
        return bool(self._info.get(key, False)) if key else None

    @property
    def progress(self) -> float:
        spec = self._inside.spec
        longest = spec.max_episode_steps if spec is not None else None
        return self._steps / longest if longest else float(self._ended)

    @property
    def sentence(self) -> str:
        return self._sentence

    def picture(self, size: int) -> np.ndarray:
        drawn = None
        if self._inside.render_mode == 'rgb_array':
            with suppress(gymnasium.error.DependencyNotInstalled):
                drawn = self._inside.render()
        if isinstance(drawn, np.ndarray) and drawn.ndim == 3:
            return drawn[..., :3].astype(np.uint8)
        return next(iter(self._images.values()), np.zeros((size, size, 3), np.uint8))

    def twin(self) -> Environment:
        twin = GymnasiumEnvironment(self._domain)
        twin.pictures = self.pictures
        return twin

    def close(self) -> None:
        if self._task is not None:
            self._inside.close()

    def _observation(self, seen: Any) -> Observation:
        arrays = gym_spaces.read(self._domain.observation_parts, seen)
        pictures = {image.name for image in self.spec.images}
        self._images = {name: array for name, array in arrays.items() if name in pictures}
        return Observation(
            self._images if self.pictures else {},
            {name: array for name, array in arrays.items() if name not in pictures},
            stamp_ns=self._steps * PERIOD_NS)


def _modes(settings: GymnasiumSettings) -> list[str]:
    """Return how an environment can draw itself, as its class says."""
    spec = gymnasium.spec(settings.environment)
    made: Any = spec.entry_point if callable(spec.entry_point) else (
        gymnasium.envs.registration.load_env_creator(str(spec.entry_point)))
    return list(getattr(made, 'metadata', {}).get('render_modes', []))
