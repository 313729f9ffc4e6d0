"""Gymnasium's own environments as the domain ``gymnasium``.

Every task has a body of its own, but those that have one specification. What is seen and done are
Gymnasium's fields, with limits that an episode needs; pictures are for people alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import Box2D
import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation

from gato_ros.config import data_path
from gato_ros.domains import gym_environment, gym_spaces
from gato_ros.domains.classic.rules import Rule
from gato_ros.domains.classic.tables import Places
from gato_ros.domains.classic.tasks import TASKS
from gato_ros.domains.domain import Demonstrator, Environment, TaskSpec, Values
from gato_ros.domains.gym_environment import (
    ACTION,
    OBSERVATION,
    BodySettings,
    GymDomain,
    GymEnvironment,
    make_gym,
)
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.spec import ContinuousField, Observation

BODIES = {'cliff_walking_slippery': 'cliff_walking'}  # task -> body of another name


class Classic(GymDomain):
    """Classic control, Box2D, toy text and MuJoCo's bodies, judged by their returns."""

    name = 'gymnasium'
    licence = 'MIT'
    version = (f'gymnasium {gymnasium.__version__}, Box2D {Box2D.__version__}, '
               f'mujoco {mujoco.__version__}')
    bar = 0.8

    def __init__(self) -> None:
        super().__init__()
        self._experts: dict[str, Expert] = {}

    @cached_property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {name: TaskSpec(name, task.sentence, BODIES.get(name, name), task.held_out)
                for name, task in TASKS.items()}

    def settings_of(self, task: str) -> BodySettings:
        seen = TASKS[task].seen
        return BodySettings({OBSERVATION: seen} if seen.names else {})

    def make(self, task: str) -> gymnasium.Env:
        row = TASKS[task]
        made = make_gym(f'task {task!r}', row.environment, row.make_options())
        if row.kept:
            space = spaces.Box(-np.inf, np.inf, (len(row.kept),))
            return TransformObservation(made, lambda seen: seen[list(row.kept)], space)
        return Places(made, row.parts) if row.parts else made

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, GymEnvironment), 'this domain made it'
        if world.task not in self._experts:
            made = self.make(world.task)  # one of its own, as the expert outlives the world
            self._experts[world.task] = Expert(TASKS[world.task].expert(made), world)
        return self._experts[world.task]

    def fingerprint(self) -> list[bytes]:
        ours = [*sorted(Path(__file__).parent.glob('*')), Path(gym_environment.__file__),
                Path(gym_spaces.__file__), data_path('config', 'experts', 'linear.yaml')]
        return [*(file.read_bytes() for file in ours if file.is_file()), self.version.encode()]


class Expert:
    """Answers what is seen by a rule; it remembers nothing."""

    def __init__(self, rule: Rule, world: GymEnvironment) -> None:
        self._rule = rule
        self._order = [part.field.name for part in world.body.observation]
        self._field = world.spec.actions[0]

    def act(self, observation: Observation) -> Values:
        """Return the rule's action, within the field's limits."""
        seen = np.concatenate([observation.proprioception[name] for name in self._order])
        answer = np.atleast_1d(self._rule(seen))
        if isinstance(self._field, ContinuousField):
            answer = np.clip(answer.astype(np.float64), self._field.low, self._field.high)
        return {ACTION: answer}
