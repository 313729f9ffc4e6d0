"""Inverse kinematics: one damped least-squares step towards a pose of the hand.

One linear step is enough: the expert asks again at every control step, from where the arm is.
"""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.physics import mujoco

DAMPING = 0.02  # of the least squares; keeps steps small where the arm is stretched


def solve(jacobian: np.ndarray, position_error: np.ndarray, rotation_error: np.ndarray,
          rest: np.ndarray) -> np.ndarray:
    """Return a joint step float64[M] in rad.

    jacobian        float64[6, M]
    position_error  float64[3], m, base frame
    rotation_error  float64[3], rotation vector in rad, base frame
    rest            float64[M]: step wanted by the motion that leaves the hand where it is
    """
    error = np.concatenate([position_error, rotation_error])
    square = jacobian @ jacobian.T + DAMPING ** 2 * np.eye(6)
    return rest + jacobian.T @ np.linalg.solve(square, error - jacobian @ rest)


def rotation_vector(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the rotation float64[3] in rad that turns ``current`` into ``target`` (both 3x3)."""
    quaternion, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quaternion, (target @ current.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


def facing_down(yaw: float) -> np.ndarray:
    """Return the hand's rotation float64[3, 3] that points down, turned by ``yaw`` rad."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])
