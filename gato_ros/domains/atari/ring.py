"""Games of two fighters: how near to come, and when to strike."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.atari.buttons import stick

REACH, BESIDE = 12, 9  # pixels that a fist reaches; by which to stand above or below the other


def boxing(ram: np.ndarray, former: np.ndarray) -> int:
    """Stand at a fist's length, a little above or below, and strike by turns."""
    x, his_x, y, his_y = ram[32:36]
    across = his_x - x - (REACH if x <= his_x else -REACH)
    along = his_y - y + (BESIDE if y > his_y else -BESIDE)
    strikes = bool(ram[0] & 8)  # two timesteps of four, by the frames' count: he must let go, too
    return stick(across if abs(across) > 1 else 0, along if abs(along) > 1 else 0, strikes)
