"""A real robot as a domain: recordings are learnt from, and nothing is simulated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import TimestepSpec


class RobotDomain(Domain):
    """The robot of one YAML file; the domain has the robot's name."""

    robot: RobotSpec

    def __init__(self, robot: str = 'fr3') -> None:
        self.robot = load_robot(robot)
        self.name = self.robot.name

    @property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {}

    def task(self, name: str) -> TaskSpec:
        """Return a task of any name: people record what they like."""
        return TaskSpec(name)

    def specification(self, task: str = '') -> TimestepSpec:
        return self.robot.timestep()

    def environment(self) -> Environment:
        raise ConfigError(f'robot {self.name!r} has no simulation here, expected a domain with '
                          'one, such as stacking')

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        raise ConfigError(f'robot {self.name!r} has no scripted {kind}; record demonstrations')

    def with_robot(self, robot: str) -> RobotDomain:
        return RobotDomain(robot)
