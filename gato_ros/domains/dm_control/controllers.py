"""Experts in closed form: energy to swing up, a linear regulator to hold, angles to reach.

Each is a function of the physics alone, so it labels any state. Signs are the suite's: a hinge
about y is 0 with its pole upright and positive towards x.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import mujoco
import numpy as np

G = 9.81  # m/s^2


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def regulator(model: Any, steps: int, state_cost: np.ndarray, control_cost: float) -> np.ndarray:
    """Return K, float64[U, 2 NV], of the discrete linear regulator u = -K [q, v] about zero.

    steps  physics steps of a decision
    """
    data = mujoco.MjData(model)
    size = 2 * model.nv

    def after(state: np.ndarray, control: np.ndarray) -> np.ndarray:
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = state[:model.nv], state[model.nv:], control
        for _ in range(steps):
            mujoco.mj_step(model, data)
        return np.concatenate([data.qpos, data.qvel])

    small = 1e-5
    still, idle = np.zeros(size), np.zeros(model.nu)
    a = np.stack([(after(row, idle) - after(-row, idle)) / (2 * small)
                  for row in small * np.eye(size)], 1)
    b = np.stack([(after(still, row) - after(still, -row)) / (2 * small)
                  for row in small * np.eye(model.nu)], 1)
    value = np.diag(state_cost)
    for _ in range(1000):  # the Riccati equation, by iterating it
        gain = np.linalg.solve(control_cost * np.eye(model.nu) + b.T @ value @ b, b.T @ value @ a)
        value = np.diag(state_cost) + a.T @ value @ (a - b @ gain)
    return gain


@lru_cache(maxsize=8)
def _gain(name: str, model: Any, steps: int) -> np.ndarray:
    costs = {'cartpole': ((1.0, 3.0, 0.1, 0.3), 0.3),
             'pendulum': ((1.0, 0.1), 0.05),
             'point_mass': ((1.0, 1.0, 0.02, 0.02), 3e-4)}
    state_cost, control_cost = costs[name]
    return regulator(model, steps, np.array(state_cost), control_cost)


def cartpole(physics: Any, steps: int) -> np.ndarray:
    """Pump energy until the regulator can hold the pole with what force there is."""
    x, angle = physics.data.qpos
    speed, turning = physics.data.qvel
    angle = _wrapped(angle)
    hold = -_gain('cartpole', physics.model.ptr, steps) @ [x, angle, speed, turning]
    if np.cos(angle) > 0.6 and abs(hold[0]) < 1.7:
        return np.clip(hold, -1, 1)
    mass, half, inertia = 0.1, 0.5, 0.0344  # kg, m to the pole's centre, kg m^2 about the hinge
    missing = mass * G * half * (1 - np.cos(angle)) - inertia * turning ** 2 / 2
    push = -np.tanh(8 * missing) * np.tanh(4 * turning * np.cos(angle))
    return np.clip([push - 0.54 * x - 0.3 * speed], -1, 1)


def pendulum(physics: Any, steps: int) -> np.ndarray:
    """Pump energy until the pole can coast to the top, then hold it there."""
    angle, turning = _wrapped(physics.data.qpos[0]), physics.data.qvel[0]
    mass, length = 1.0, 0.5
    if abs(angle) < 0.35 and abs(turning + 4.4 * angle) < 0.9:
        gain = _gain('pendulum', physics.model.ptr, steps)
        return np.clip(-gain @ [angle, turning], -1, 1)
    missing = mass * G * length * (1 - np.cos(angle)) - mass * length ** 2 * turning ** 2 / 2
    spare = 0.1  # J, what friction takes on the way
    return np.sign(turning or 1.0) * np.clip([20 * (missing + spare)], -1, 1)


def point_mass(physics: Any, steps: int) -> np.ndarray:
    """Go straight to the middle."""
    gain = _gain('point_mass', physics.model.ptr, steps)
    return np.clip(-gain @ [*physics.data.qpos, *physics.data.qvel], -1, 1)


def reacher(physics: Any, steps: int) -> np.ndarray:
    """Turn both joints to the nearer of the two poses that reach the target."""
    link, gear, stiff = 0.12, 0.05, 9.0  # m, Nm, rad/s
    x, y = physics.named.data.geom_xpos['target', :2]
    shoulder, wrist = physics.data.qpos
    bend = np.arccos(np.clip((x * x + y * y) / (2 * link ** 2) - 1, -1, 1))
    bend = min(bend, np.deg2rad(158))  # the wrist's limit is 160
    errors = [np.array([_wrapped(np.arctan2(y, x) - side * bend / 2 - shoulder),
                        side * bend - wrist]) for side in (1, -1)]
    error = min(errors, key=lambda e: np.abs(e).max())
    mass = np.zeros((2, 2))
    mujoco.mj_fullM(physics.model.ptr, mass, physics.data.qM)
    speed = physics.data.qvel
    torque = mass @ (stiff ** 2 * error - 2 * stiff * speed) + 0.01 * speed
    return np.clip(torque / gear, -1, 1)
