"""The suite's worlds at work: one decision is several of its control steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gato_ros.domains.dm_control.tasks import BODIES, STEPS, TASKS
from gato_ros.domains.domain import Environment, Values
from gato_ros.domains.stacking.render import choose_gl
from gato_ros.spec import Observation, TimestepSpec

choose_gl()  # before the suite chooses a library that needs a screen
from dm_control import suite  # noqa: E402


class SuiteEnvironment(Environment):
    """A task's world; it is loaded anew where another task is asked for.

    score  the sum of rewards over the suite's 1,000 control steps, so 0 to 1,000
    """

    def __init__(self) -> None:
        self._task = ''

    def reset(self, task: str, seed: int) -> Observation:
        if self._task != task:
            self._inside: Any = suite.load(*task.split('-'), task_kwargs={'random': seed})
            self._task, self.body = task, BODIES[TASKS[task].body]
            self.spec: TimestepSpec = self.body.spec
            self._substeps = round(self._inside.control_timestep()
                                   / self._inside.physics.timestep())
        self._inside.task.random.seed(seed)
        self._inside.reset()
        self._steps, self._score = 0, 0.0
        return self._observation()

    def step(self, values: Values) -> Observation:
        task, physics = self._inside.task, self.physics
        control = np.asarray(values['control'], float)
        for _ in range(min(self.body.repeat, STEPS - self._steps)):
            task.before_step(control, physics)
            physics.step(self._substeps)
            task.after_step(physics)
            self._score += float(task.get_reward(physics))
            self._steps += 1
        return self._observation()

    @property
    def physics(self) -> Any:
        """The suite's physics, for the expert alone."""
        return self._inside.physics

    @property
    def decision(self) -> int:
        """Physics steps between two actions."""
        return self._substeps * self.body.repeat

    @property
    def raw(self) -> Mapping[str, np.ndarray]:
        """What the suite shows now, as it shows it."""
        return self._inside.task.get_observation(self.physics)

    @property
    def task(self) -> str:
        """The name of the present task."""
        return self._task

    @property
    def ended(self) -> bool:
        return self._steps >= STEPS

    @property
    def score(self) -> float:
        return self._score

    @property
    def progress(self) -> float:
        return self._steps / STEPS

    @property
    def sentence(self) -> str:
        return TASKS[self._task].sentence

    def picture(self, size: int) -> np.ndarray:
        return np.array(self.physics.render(size, size, camera_id=0))

    def twin(self) -> Environment:
        twin = SuiteEnvironment()
        twin.pictures = self.pictures
        return twin

    def _observation(self) -> Observation:
        raw = self.raw
        seen = {field.name: np.clip(self.body.read(field.name, raw[field.name]),
                                    field.low, field.high) for field in self.spec.continuous}
        return Observation({}, seen, stamp_ns=round(self.physics.time() * 1e9))
