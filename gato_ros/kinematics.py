"""Forward and inverse kinematics of a chain from a robot's YAML file; numpy only.

    chain = Chain(load_robot('panda_sim'))
    pose = chain.pose(positions)         # of the tool, with its Jacobian
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.robot import RobotSpec

DAMPING = 0.02  # of the least squares; keeps steps small where the arm is stretched


@dataclass(frozen=True, eq=False)
class Pose:
    """Of the tool in the base frame.

    position  float64[3] in m
    rotation  float64[3, 3], the tool's axes as columns
    jacobian  float64[6, M]: linear (m) over angular (rad) motion for each joint's rad
    """

    position: np.ndarray
    rotation: np.ndarray
    jacobian: np.ndarray


class Chain:
    """The M joints of ``robot.kinematics``, in the robot's order of joints.

    Raises ConfigError for a robot without kinematics.
    """

    def __init__(self, robot: RobotSpec) -> None:
        if not robot.kinematics:
            raise ConfigError(f'robot {robot.name!r} has no kinematics, expected the chain from '
                              'its base to its tool (in its YAML file)')
        turning = {link.joint for link in robot.kinematics if link.joint}
        self.joints = np.array([i for i, n in enumerate(robot.joint_names) if n in turning])
        order = [robot.joint_names[i] for i in self.joints]
        self._links = [(np.array(link.xyz), rpy_matrix(*link.rpy),
                        order.index(link.joint) if link.joint else None)
                       for link in robot.kinematics]

    def pose(self, positions: np.ndarray) -> Pose:
        """Return where the tool is, from float64[N] positions of all the robot's joints."""
        angles = np.asarray(positions, np.float64)[self.joints]
        place, rotation = np.zeros(3), np.eye(3)
        axes, places = np.zeros((3, len(angles))), np.zeros((3, len(angles)))
        for offset, turn, joint in self._links:
            place = place + rotation @ offset
            rotation = rotation @ turn
            if joint is not None:
                axes[:, joint], places[:, joint] = rotation[:, 2], place
                rotation = rotation @ _about_z(float(angles[joint]))
        (x, y, z), (u, v, w) = axes, place[:, None] - places
        jacobian = np.stack([y * w - z * v, z * u - x * w, x * v - y * u, x, y, z])
        return Pose(place, rotation, jacobian)


def inverse_step(jacobian: np.ndarray, position_error: np.ndarray, rotation_error: np.ndarray,
                 rest: np.ndarray) -> np.ndarray:
    """Return a joint step float64[M] in rad, by damped least squares.

    One linear step is enough for those who ask again at every control step.

    jacobian        float64[6, M]
    position_error  float64[3], m;  rotation_error  float64[3], rotation vector, rad; base frame
    rest            float64[M]: step wanted by the motion that leaves the tool where it is
    """
    error = np.concatenate([position_error, rotation_error])
    square = jacobian @ jacobian.T + DAMPING ** 2 * np.eye(6)
    return rest + jacobian.T @ np.linalg.solve(square, error - jacobian @ rest)


def shortened(vector: np.ndarray, largest: float) -> np.ndarray:
    """Return a vector that is no longer than ``largest``, in the same direction."""
    return vector / max(1.0, float(np.linalg.norm(vector)) / largest)


def rpy_matrix(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return float64[3, 3]: turns about the fixed x, y and z axes, in this order."""
    (a, b, c), (u, v, w) = np.cos((roll, pitch, yaw)), np.sin((roll, pitch, yaw))
    return np.array([[c * b, c * v * u - w * a, c * v * a + w * u],
                     [w * b, w * v * u + c * a, w * v * a - c * u],
                     [-v, b * u, b * a]])


def _about_z(angle: float) -> np.ndarray:
    cosine, sine = math.cos(angle), math.sin(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def rotation_vector(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the rotation float64[3] in rad that turns ``current`` into ``target`` (both 3x3)."""
    turn = target @ current.T
    twist = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine, cosine = float(np.linalg.norm(twist)) / 2, float(np.trace(turn) - 1) / 2
    angle = np.arctan2(sine, cosine)
    if sine > 1e-9:
        return twist * (angle / (2 * sine))
    if cosine > 0:
        return np.zeros(3)
    column = np.argmax(np.diag(turn))  # half a turn: the axis is what it leaves as it is
    axis = turn[:, column] + np.eye(3)[column]
    return np.pi * axis / np.linalg.norm(axis)


def turned(rotation: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return ``rotation`` float64[3, 3] after a turn by a rotation vector float64[3], rad."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return rotation
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return (np.eye(3) + np.sin(angle) * cross
            + (1 - np.cos(angle)) * cross @ cross) @ rotation
