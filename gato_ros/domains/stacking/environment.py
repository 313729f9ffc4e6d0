"""The blocks' world as the protocol of an environment wants it: any task, mappings for arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Demonstrator, Environment, Values
from gato_ros.domains.stacking.disturbances.conditions import ROOMS, find_disturbance
from gato_ros.domains.stacking.disturbances.env import DisturbedEnv
from gato_ros.domains.stacking.disturbances.rooms import RoomsEnv
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.memory.env import MemoryEnv
from gato_ros.domains.stacking.memory.experts import ForgetfulExpert, MemoryExpert
from gato_ros.domains.stacking.memory.tasks import MEMORY_TASKS
from gato_ros.domains.stacking.person import Person
from gato_ros.domains.stacking.tasks import PAIRS, Task, load_task
from gato_ros.robot import RobotSpec
from gato_ros.spec import Observation

LATE_S = 1e-6  # sums of physics steps end this near to the time limit


class StackingEnvironment(Environment):
    """Makes a world for the task at its first reset; one for cubes does not serve other shapes.

    goal  the task of all its episodes, whatever a reset asks for: of a twin
    """

    robot: RobotSpec

    def __init__(self, robot: RobotSpec, goal: Task | None = None) -> None:
        self.robot, self.spec, self._goal = robot, robot.timestep(), goal
        self._made: tuple[str, str] | None = None

    def reset(self, task: str, seed: int) -> Observation:
        wanted = task, self.disturbance
        if self._made != wanted:
            self.close()
            self.env, self._made = self._make(task), wanted
        self.env.pictures, self.env.randomise = self.pictures, self.randomise
        return self.env.reset(seed)

    def _make(self, task: str) -> StackingEnv:
        if self.disturbance and task in MEMORY_TASKS:
            raise ConfigError(f'disturbance {self.disturbance!r} was asked for in {task!r}, '
                              'expected a task without a cue, such as stack_wide')
        if task in MEMORY_TASKS:
            return MemoryEnv(self.robot, MEMORY_TASKS[task], render=False)
        goal = self._goal or load_task(task)
        if self.disturbance == ROOMS:
            return RoomsEnv(self.robot, goal, render=False)
        if self.disturbance:
            return DisturbedEnv(self.robot, goal, find_disturbance(self.disturbance),
                                render=False)
        return StackingEnv(self.robot, goal, render=False)

    def step(self, values: Values) -> Observation:
        return self.env.step(values[self.robot.command_field], self.delay_s)

    @property
    def ended(self) -> bool:
        over = self.env.time_s >= self.env.time_limit_s - LATE_S
        return self.env.success or self.env.lost or over

    @property
    def score(self) -> float:
        return float(self.env.success)

    @property
    def success(self) -> bool:
        return self.env.success

    @property
    def failure(self) -> str:
        return self.env.failure

    @property
    def progress(self) -> float:
        return (self.env.time_s + LATE_S) / self.env.time_limit_s

    @property
    def sentence(self) -> str:
        return self.env.task.sentence

    def picture(self, size: int) -> np.ndarray:
        """Return uint8[2 S, S, 3]: the front camera's picture above the wrist's."""
        return np.concatenate([self.env.render(camera, size, size)
                               for camera in ('front', 'wrist')])

    def targets(self) -> Mapping[str, np.ndarray]:
        return self.env.targets()

    def still(self, former: Values | None = None) -> Values:
        """Return no residual torque, and for the fingers the force that they had."""
        effort, finger = np.zeros(len(self.robot.joints)), self.env.world.finger
        if former is not None:
            effort[finger] = former[self.robot.command_field][finger]
        return {self.robot.command_field: effort}

    def other_goal(self, seed: int) -> None:
        blocks = self.env.task.blocks
        if blocks not in PAIRS or isinstance(self.env, MemoryEnv):
            raise ConfigError(f'task {self.env.task.name!r} was given, expected a stack of '
                              'two blocks, such as stack_any_pair, where a prompt can say another')
        others = [pair for pair in PAIRS if pair != blocks]
        self.env.retell(others[np.random.default_rng((seed, 4)).integers(len(others))])

    def twin(self) -> StackingEnvironment:
        twin = StackingEnvironment(self.robot, self.env.task)
        twin.pictures, twin.randomise = self.pictures, self.randomise
        twin.disturbance = self.disturbance
        return twin

    def close(self) -> None:
        if self._made is not None:
            self.env.close()

    def demonstrator(self, kind: str, rng: np.random.Generator) -> Demonstrator:
        """Return the expert, or the scripted person, for the episode that has just begun."""
        if kind == 'person':
            return _Mapped(Person(self.env, rng), self.robot.command_field)
        if isinstance(self.env, MemoryEnv):
            return _Mapped(MemoryExpert(self.env), self.robot.command_field)
        return _Mapped(Expert(self.env), self.robot.command_field)


    def forgetful(self) -> Demonstrator:
        """Return the expert of a memory task without its memory, for the present episode."""
        assert isinstance(self.env, MemoryEnv)
        return _Mapped(ForgetfulExpert(self.env), self.robot.command_field)


class _Mapped:
    """Says by its field's name what the expert or the person says as an array."""

    def __init__(self, who: Expert | Person, field: str) -> None:
        self._who, self._field = who, field

    def act(self, observation: Observation) -> Values:
        return {self._field: self._who.act()}
