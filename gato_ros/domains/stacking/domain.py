"""The blocks before the arm as a domain: its tasks, the scripted expert and person.

A task has its full name or a shorter one: 'stack_wide' is 'stack_red_on_blue_wide'.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from gato_ros.config import data_path, to_dict
from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec
from gato_ros.domains.stacking.disturbances.conditions import (
    ARMS,
    DISTURBANCES,
    IN_ROOMS,
    ROOMS,
)
from gato_ros.domains.stacking.memory.tasks import MEMORY_TASKS
from gato_ros.domains.stacking.tasks import ALIASES, load_task, task_names
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import TimestepSpec

SUITE = ('stack_narrow', 'stack_wide', 'stack_any_pair', 'tower_of_three', 'shapes_seen',
         'shapes_unseen')


class Stacking(Domain):
    """Reach, lift and stack blocks by residual joint torques, seen by two cameras.

    Every arm but panda_sim's is a body of its own: its joints and limits are its specification.
    """

    name = 'stacking'
    licence = 'Apache-2.0'
    demonstrators = ('expert', 'person')
    randomises = True
    robot: RobotSpec

    def __init__(self, robot: str = 'panda_sim') -> None:
        self.robot = load_robot(robot)
        gripper = self.robot.teleoperation and self.robot.teleoperation.gripper
        self.undisturbed = frozenset([gripper] if gripper else [])

    @cached_property
    def tasks(self) -> Mapping[str, TaskSpec]:
        found, body = {}, self.robot.name if self.robot.simulation else ''
        for name in (*task_names(), *ALIASES):
            task = load_task(name)
            found[name] = TaskSpec(name, task.sentence, body, held_out=task.shapes == 'unseen',
                                   varied=task.shapes != 'cubes', alias_of=ALIASES.get(name, ''))
        return found | {name: TaskSpec(name, task.sentence, varied=True, chance=task.chance)
                        for name, task in MEMORY_TASKS.items()}

    @property
    def disturbances(self) -> Mapping[str, str]:
        known = DISTURBANCES | ARMS
        return {name: found.title for name, found in known.items()} | {ROOMS: IN_ROOMS}

    @property
    def suite(self) -> Sequence[str]:
        return SUITE

    def task(self, name: str) -> TaskSpec:
        if name not in MEMORY_TASKS:
            load_task(name)  # says how a name is made
        return self.tasks[name]

    def specification(self, task: str = '') -> TimestepSpec:
        return self.robot.timestep()

    def environment(self) -> Environment:
        from gato_ros.domains.stacking.environment import StackingEnvironment
        return StackingEnvironment(self.robot)

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        from gato_ros.domains.stacking.environment import StackingEnvironment
        world = environment.world
        assert isinstance(world, StackingEnvironment)
        return world.demonstrator(kind, rng)

    def demonstrators_of(self, task: str) -> Sequence[str]:
        if task in MEMORY_TASKS:
            return self.demonstrators[:1]
        found = load_task(task)
        by_keys = (found.kind, found.shapes) == ('stack', 'cubes')
        return self.demonstrators if by_keys else self.demonstrators[:1]

    def forgetful(self, environment: Environment) -> Demonstrator:
        from gato_ros.domains.stacking.environment import StackingEnvironment
        world = environment.world
        assert isinstance(world, StackingEnvironment)
        return world.forgetful()

    def with_robot(self, robot: str) -> Stacking:
        return Stacking(robot)

    def fingerprint(self) -> list[bytes]:
        from gato_ros.domains.stacking.bodies.arm import model_files
        from gato_ros.domains.stacking.physics import mujoco
        source = sorted(Path(__file__).parent.rglob('*.py'))
        scene = [data_path('sim', name) for name in ('stacking.xml', 'randomisation.yaml')]
        if self.robot.simulation is not None:
            scene += model_files(self.robot.simulation)
        return [json.dumps(to_dict(self.robot)).encode(), mujoco.__version__.encode(),
                *(file.read_bytes() for file in (*source, *scene))]
