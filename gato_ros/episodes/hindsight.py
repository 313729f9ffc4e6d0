"""What a person meant: the torques that lead to where the hand was soon after.

A person's torques follow from what no camera sees: a plan, a goal ahead of the arm, a finger on a
key. A policy that learns them dawdles and misses. Where the hand went next can be seen and learnt:
a timestep's label is the pull of the jog's springs towards the first place of the demonstration
that is as far ahead as the jog's goal may be, or where the gripper is told otherwise.

Waypoints as labels: Shi et al. 2023, "Waypoint-Based Imitation Learning" (there of positions).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from gato_ros.jog import AHEAD_M, AHEAD_RAD, Jog
from gato_ros.kinematics import rotation_vector
from gato_ros.robot import RobotSpec

SOONER = 2  # timesteps by which the gripper is told sooner than a person did
STILL = 0.05  # of the gripper's range: nearer than this to where it stops, it has stopped


def labels(robot: RobotSpec, positions: np.ndarray, efforts: np.ndarray) -> np.ndarray:
    """Return float64 (T, N): torques in Nm (N) for T timesteps that follow each other.

    positions  float64 (T, N), rad (m);  efforts  float64 (T, N), what the person had the arm sent

    While the gripper is on its way the hand stays. Raises ConfigError for a robot whose YAML file
    does not say how a person moves it.
    """
    jog = Jog(robot)
    poses = [jog.chain.pose(row) for row in positions]
    grip = jog.gripper
    told = np.zeros(len(poses)) if grip is None else np.sign(efforts[:, grip])
    bounds = [0, *(np.flatnonzero(np.diff(told)) + 1), len(poses)]
    found = np.array(efforts, np.float64)
    for start, end in pairwise(bounds):
        waits = np.zeros(end - start, bool)
        if grip is not None and start > 0:
            width = positions[start:end, grip]
            low, high = robot.joints[grip].position
            waits = np.abs(width - np.median(width[len(width) // 2:])) > STILL * (high - low)
        for t in range(start, end):
            ahead = t
            while not waits[t - start] and ahead < min(end, len(poses) - 1) and not (
                    np.linalg.norm(poses[ahead].position - poses[t].position) >= AHEAD_M
                    or np.linalg.norm(rotation_vector(poses[ahead].rotation, poses[t].rotation))
                    >= AHEAD_RAD):
                ahead += 1
            found[t] = jog.pull(positions[t], poses[ahead].position, poses[ahead].rotation)
    if grip is not None:
        found[:, grip] = efforts[np.minimum(np.arange(len(poses)) + SOONER, len(poses) - 1), grip]
    return found
