"""Games of a paddle and a ball: be where the ball will arrive."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.atari.buttons import FIRE, LEFT, NOTHING, RIGHT

FASTEST = 20  # pixels that a ball moves in a timestep at most; more is a new ball


def pong(ram: np.ndarray, former: np.ndarray) -> int:
    """Hit the ball with the paddle's end that sends it away from the opponent."""
    (x, y), (x_then, y_then), (mine, mine_then), his = (
        ram[[49, 54]], former[[49, 54]], (ram[51], former[51]), ram[50])
    if y == 0:
        return NOTHING
    aim = y - 8.0
    if 0 < x - x_then < FASTEST:
        left = (188 - x) / (x - x_then)  # timesteps until it is here
        arrives = _folded(y + (y - y_then) * left, 46, 206)
        aim = arrives - (8 if left <= 2 else 3 if his > arrives else 20)
    short = aim - (mine + 0.2 * (mine - mine_then))
    return LEFT if short > 6 else RIGHT if short < -6 else NOTHING  # left is down here


def breakout(ram: np.ndarray, former: np.ndarray) -> int:
    """Serve, and stand with the paddle's middle where the ball comes down."""
    (x, y), (x_then, y_then), (mine, mine_then) = (
        ram[[99, 101]], former[[99, 101]], (ram[72], former[72]))
    if y == 0:
        return FIRE
    aim = float(x)
    if 0 < y - y_then < FASTEST:
        aim = _folded(x + (x - x_then) * max(0, 178 - y) / (y - y_then), 57, 200)
    short = aim - 8 - (mine + 0.6 * (mine - mine_then))
    return RIGHT if short > 4 else LEFT if short < -4 else NOTHING


def _folded(place: float, low: float, high: float) -> float:
    """Return where a ball is that flew straight on and met walls on its way."""
    along = (place - low) % (2 * (high - low))
    return low + min(along, 2 * (high - low) - along)
