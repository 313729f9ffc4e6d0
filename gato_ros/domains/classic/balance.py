"""Experts for MuJoCo's poles and its arm of two links: linear-quadratic control, and kinematics.

What is seen is float64[n] in Gymnasium's order, without the values that tasks.py leaves out.
"""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from gato_ros.domains.classic.rules import Rule
from gato_ros.domains.stacking.physics import mujoco

STEP, SWEEPS = 1e-5, 500  # of the finite differences; of Riccati's equation until it stands still


def feedback(world: Any, places: np.ndarray, cost: float) -> np.ndarray:
    """Return float64[nu, 2 nv]: the best linear feedback around the upright rest.

    places  float64[2 nv]: what a deviation of each position and velocity costs
    cost    of a squared action
    """
    model, data = world.model, world.data
    size, drives = 2 * model.nv, model.nu

    def after(deviation: np.ndarray) -> np.ndarray:
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = np.split(deviation, [model.nv, size])
        mujoco.mj_step(model, data, world.frame_skip)
        return np.concatenate([data.qpos, data.qvel])

    moves = STEP * np.eye(size + drives)
    slopes = np.array([after(move) - after(-move) for move in moves]).T / (2 * STEP)
    free, given = slopes[:, :size], slopes[:, size:]
    value, gain = np.diag(places), np.zeros((drives, size))
    for _ in range(SWEEPS):
        gain = np.linalg.solve(cost * np.eye(drives) + given.T @ value @ given,
                               given.T @ value @ free)
        value = np.diag(places) + free.T @ value @ (free - given @ gain)
    return gain


def pole(env: gymnasium.Env) -> Rule:
    """Balance one pole: seen are place, angle and their speeds."""
    gain = feedback(env.unwrapped, np.array([1.0, 10.0, 0.1, 0.1]), 0.1)
    return lambda seen: -gain @ seen


def two_poles(env: gymnasium.Env) -> Rule:
    """Balance two poles: seen are the place, the sines of the two angles, and three speeds."""
    gain = feedback(env.unwrapped, np.array([1.0, 10.0, 10.0, 0.1, 0.1, 0.1]), 1.0)

    def act(seen: np.ndarray) -> np.ndarray:
        angles = np.arcsin(np.clip(seen[1:3], -1, 1))
        return -gain @ np.array([seen[0], *angles, *seen[3:6]])

    return act


UPPER, LOWER = 0.1, 0.11  # m, of Reacher's two links
STIFF, DAMP = 0.2, 0.043  # of full torque per rad and per rad/s


def two_links(seen: np.ndarray) -> np.ndarray:
    """Bring the tip to the target: the joints' angles there, and a damped spring towards them."""
    now = np.arctan2(seen[2:4], seen[0:2])
    x, y = seen[4:6]
    cosine = np.clip((x**2 + y**2 - UPPER**2 - LOWER**2) / (2 * UPPER * LOWER), -1, 1)
    bend = math.copysign(math.acos(cosine), now[1])
    turn = math.atan2(y, x) - math.atan2(LOWER * math.sin(bend), UPPER + LOWER * math.cos(bend))
    away = np.array([turn, bend]) - now
    away[0] = (away[0] + math.pi) % (2 * math.pi) - math.pi
    return STIFF * away - DAMP * seen[6:8]
