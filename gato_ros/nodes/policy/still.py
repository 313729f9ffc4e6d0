"""What the policy node proposes while there is nothing to do: the robot stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gato_ros.robot import POSITIONS, RobotSpec
from gato_ros.spec import Observation


def still(robot: RobotSpec, observation: Observation,
          sent: Mapping[str, np.ndarray] | None) -> np.ndarray:
    """Return the command float64[N] that moves nothing.

    That is no residual effort or velocity, and of grippers what was sent last; with the interface
    position, the places that are seen.
    """
    if robot.interface == 'position':
        return np.array(observation.proprioception[POSITIONS], np.float64)
    grips = np.array(['gripper' in joint.controller for joint in robot.joints])
    former = np.zeros(len(grips)) if sent is None else sent[robot.command_field]
    return np.where(grips, former, 0.0)
