"""Gymnasium's environments as a domain: what a YAML file's and our own suites have in common.

A domain of such environments says how a task's is made (``make``) and what its fields are called
(``settings_of``); spaces become fields by gym_spaces.py.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np

from gato_ros.domains import gym_spaces
from gato_ros.domains.domain import Domain, DomainError, Environment, Values
from gato_ros.domains.gym_spaces import FieldSettings, Part
from gato_ros.spec import ContinuousField, DiscreteField, ImageField, Observation, TimestepSpec

# SDL, which draws some of them, else looks for a screen and complains that there is none.
os.environ.setdefault('SDL_VIDEODRIVER', 'dummy')
OBSERVATION, ACTION = 'observation', 'action'
PERIOD_NS = 50_000_000  # between the stamps of two timesteps


@dataclass(frozen=True)
class Body:
    """An environment's spaces as fields; ``spec`` has them all."""

    observation: list[Part]
    action: list[Part]
    spec: TimestepSpec


@dataclass(frozen=True)
class BodySettings:
    """What may be said of the fields, by the parts of the two spaces."""

    observation: Mapping[str, FieldSettings] = field(default_factory=dict)
    action: Mapping[str, FieldSettings] = field(default_factory=dict)


class GymDomain(Domain):
    """Tasks that are Gymnasium environments.

    success_key  of the step's information, that says whether the task is solved; '' : none does
    """

    success_key = ''

    def __init__(self) -> None:
        self._bodies: dict[str, Body] = {}

    @abstractmethod
    def make(self, task: str) -> gymnasium.Env:
        """Return a task's environment, able to draw itself where it can."""

    def settings_of(self, task: str) -> BodySettings:
        """Return what is said of a task's fields."""
        return BodySettings()

    def body(self, task: str) -> Body:
        """Return a task's fields; ConfigError for spaces that cannot be mapped."""
        name = self.tasks[task].body
        if name not in self._bodies:
            made = self.make(task)
            try:
                self._bodies[name] = body_of(made, self.settings_of(task))
            finally:
                made.close()
        return self._bodies[name]

    def specification(self, task: str = '') -> TimestepSpec:
        return self.body(task or next(iter(self.tasks))).spec

    def environment(self) -> Environment:
        return GymEnvironment(self)


class GymEnvironment(Environment):
    """A task's environment at work; it is made anew for another task."""

    def __init__(self, domain: GymDomain) -> None:
        self._domain, self.spec = domain, domain.specification(next(iter(domain.tasks)))
        self._task: str | None = None

    @property
    def gym(self) -> gymnasium.Env:
        """Gymnasium's environment of the present task, for experts."""
        return self._inside

    @property
    def task(self) -> str:
        """The present task's name."""
        assert self._task is not None, 'reset comes first'
        return self._task

    @property
    def body(self) -> Body:
        """The present task's fields, in the order of its space."""
        return self._body

    @property
    def info(self) -> Mapping[str, Any]:
        """What the last step told beside the observation, for experts."""
        return self._info

    def reset(self, task: str, seed: int) -> Observation:
        if self._task != task:
            self.close()
            self._inside, self._task = self._domain.make(task), task
            self._body = self._domain.body(task)
            self.spec = self._body.spec
        seen, self._info = self._inside.reset(seed=seed)
        self._steps, self._score, self._ended = 0, 0.0, False
        words = gym_spaces.sentence_of(self._inside.observation_space, seen, OBSERVATION)
        self._sentence = words or self._domain.tasks[task].sentence
        return self._observation(seen)

    def step(self, values: Values) -> Observation:
        action = gym_spaces.write(self._body.action, values, self._inside.action_space)
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
        key = self._domain.success_key
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
        twin = type(self)(self._domain)
        twin.pictures = self.pictures
        return twin

    def close(self) -> None:
        if self._task is not None:
            self._inside.close()

    def _observation(self, seen: Any) -> Observation:
        arrays = gym_spaces.read(self._body.observation, seen)
        pictures = {image.name for image in self.spec.images}
        self._images = {name: array for name, array in arrays.items() if name in pictures}
        return Observation(
            self._images if self.pictures else {},
            {name: array for name, array in arrays.items() if name not in pictures},
            stamp_ns=self._steps * PERIOD_NS)


class Held(gymnasium.Wrapper):
    """Ends an episode as a success once its goal has been held for some timesteps.

    The information tells ``success``, and the reward is 1 in the timestep that wins.
    """

    def __init__(self, env: gymnasium.Env, key: str, timesteps: int) -> None:
        super().__init__(env)
        self._key, self._timesteps, self._held = key, timesteps, 0

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, of which nothing is held."""
        self._held = 0
        seen, info = self.env.reset(**options)
        return seen, {**info, 'success': False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Do one timestep."""
        seen, _, terminated, truncated, info = self.env.step(action)
        self._held = self._held + 1 if info[self._key] else 0
        won = self._held >= self._timesteps
        return seen, float(won), terminated or won, truncated, {**info, 'success': won}


def body_of(made: gymnasium.Env, settings: BodySettings) -> Body:
    """Map an environment's spaces; ConfigError for what cannot be mapped."""
    observation = gym_spaces.parts_of(made.observation_space, settings.observation, OBSERVATION)
    action = gym_spaces.parts_of(made.action_space, settings.action, ACTION)
    seen, done = ([part.field for part in parts] for parts in (observation, action))
    return Body(observation, action, TimestepSpec(
        tuple(f for f in seen if isinstance(f, ImageField)),
        tuple(f for f in seen if isinstance(f, ContinuousField)),
        tuple(f for f in seen if isinstance(f, DiscreteField)),
        tuple(f for f in done if isinstance(f, ContinuousField)),
        tuple(f for f in done if isinstance(f, DiscreteField))))


def make_gym(title: str, environment: str, options: Mapping[str, Any]) -> gymnasium.Env:
    """Return what gymnasium.make does, drawing itself where it can.

    Raises DomainError that begins with ``title`` for one that cannot be made.
    """
    try:
        options = {**options}
        if 'rgb_array' in _modes(environment):
            options.setdefault('render_mode', 'rgb_array')
        options.setdefault('disable_env_checker', True)  # wrappers.Checked says it better
        return gymnasium.make(environment, **options)
    except Exception as error:  # whatever the environment of a stranger raises
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DomainError(f'{title}: environment {environment!r} cannot be made: {why}'
                          ) from error


def _modes(environment: str) -> list[str]:
    """Return how an environment can draw itself, as its class says."""
    spec = gymnasium.spec(environment)
    made: Any = spec.entry_point if callable(spec.entry_point) else (
        gymnasium.envs.registration.load_env_creator(str(spec.entry_point)))
    return list(getattr(made, 'metadata', {}).get('render_modes', []))
