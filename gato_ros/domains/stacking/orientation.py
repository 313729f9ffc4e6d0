"""How the hand should be turned, and how far it is from that."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.physics import mujoco


def rotation_vector(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Return the rotation float64[3] in rad that turns ``current`` into ``target`` (both 3x3).

    kinematics.rotation_vector without MuJoCo ends in other last bits, on which episodes rest.
    """
    quaternion, vector = np.zeros(4), np.zeros(3)
    mujoco.mju_mat2Quat(quaternion, (target @ current.T).ravel())
    mujoco.mju_quat2Vel(vector, quaternion, 1.0)
    return vector


def facing_down(yaw: float) -> np.ndarray:
    """Return the hand's rotation float64[3, 3] that points down, turned by ``yaw`` rad."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])
