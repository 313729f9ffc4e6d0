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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from gato_ros.config import ConfigError, from_dict, read_yaml
from gato_ros.domains.domain import Demonstrator, DomainError, Environment, Scores, TaskSpec
from gato_ros.domains.gym_environment import BodySettings, GymDomain, make_gym
from gato_ros.domains.gym_spaces import FieldSettings


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


class GymnasiumDomain(GymDomain):
    """The environment of one YAML file; the domain has the file's name.

    Raises ConfigError for a file or a space that cannot be mapped, DomainError for an environment
    that Gymnasium does not have.
    """

    demonstrators = ()

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file
        self.settings = from_dict(GymnasiumSettings, read_yaml(file), str(file))
        self.name, self.bar, self.licence = file.stem, self.settings.bar, self.settings.licence
        self.version = f'gymnasium {gymnasium.__version__}'
        self.success_key = self.settings.success
        try:
            self.specification()
        except ConfigError as error:
            raise ConfigError(f'{file}: {error}') from error

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {name: TaskSpec(name, task.sentence) for name, task in self.settings.tasks.items()}

    def settings_of(self, task: str) -> BodySettings:
        return BodySettings(self.settings.observation, self.settings.action)

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        raise ConfigError(f'{self._file} has no {kind}, expected the actor random')

    def scores(self, task: str) -> Scores | None:
        return self.settings.scores

    def fingerprint(self) -> list[bytes]:
        return [self._file.read_bytes(), *super().fingerprint()]

    def make(self, task: str) -> gymnasium.Env:
        settings = self.settings
        for module in settings.imports:
            try:
                importlib.import_module(module)
            except Exception as error:  # whatever the module of a stranger raises
                raise DomainError(f'{self._file}: {module!r} of imports does not load: {error}'
                                  ) from error
        return make_gym(str(self._file), settings.environment,
                        {**settings.options, **settings.tasks[task].options})
