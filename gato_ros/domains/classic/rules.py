"""Experts by rules of thumb, for classic control and the lunar lander.

Each takes the observation as float64[n] in Gymnasium's order and returns the action.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import gymnasium
import numpy as np
from gymnasium.envs.box2d.lunar_lander import heuristic

Rule = Callable[[np.ndarray], float | np.ndarray]


def cart_pole(seen: np.ndarray) -> int:
    """Push towards where the pole falls, and a little towards the middle."""
    return int(seen @ np.array([0.1, 0.3, 3.0, 1.0]) > 0)


def mountain_car(seen: np.ndarray) -> int:
    """Push the way that it rolls: that adds energy."""
    return 2 if seen[1] >= 0 else 0


def mountain_car_continuous(seen: np.ndarray) -> float:
    """Push the way that it rolls."""
    return 1.0 if seen[1] >= 0 else -1.0


def pendulum(seen: np.ndarray) -> float:
    """Add or take energy until it is nearly up, then hold it there.

    Gymnasium's rod: mass 1 kg, length 1 m, gravity 10 m/s^2.
    """
    cosine, sine, speed = seen
    if cosine > 0.9 or (cosine > 0.7 and abs(speed) < 2):
        return float(np.clip(-12 * math.atan2(sine, cosine) - 3 * speed, -2, 2))
    energy = speed**2 / 6 + 5 * (cosine - 1)  # 0 where it stands upright
    way = math.copysign(1.0, speed) if abs(speed) > 1e-3 else 1.0
    return float(np.clip(-3 * way * energy, -2, 2))


def acrobot(seen: np.ndarray) -> int:
    """Push the lower link the way that it turns, and against the upper one: both add energy."""
    return 2 if 0.5 * seen[5] > seen[4] else 0


def lander(world: gymnasium.Env) -> Rule:
    """Return Gymnasium's own pilot: upright, above the pad, and slow near the ground."""
    return lambda seen: heuristic(world, seen)
