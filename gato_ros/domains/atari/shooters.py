"""Games of shooting upwards: which column to stand in, what to step out of."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.atari.buttons import FIRE, stick

COLUMNS, COLUMN = 6, 16  # of invaders; pixels from one to the next
SHIELDS = range(42, 120, 32)  # left edges of what also stops one's own shots


def space_invaders(ram: np.ndarray, former: np.ndarray) -> int:
    """Fire from under the nearest column, beside the shields; step aside of a bomb."""
    x, left, before = ram[28], ram[26], former[26]
    for y, y_then, bomb in zip(ram[81:83], former[81:83], ram[83:85] - 2, strict=True):
        if y != y_then and 120 < 2 * y + 3 < 196 and abs(bomb - x - 3) < 8:
            return stick(x + 3 - bomb or 1, fire=True)
    standing = [column for column in range(COLUMNS) if (ram[18:24] >> column & 1).any()]
    if not standing:
        return FIRE
    places = [left + COLUMN * column + 4 * (left - before) for column in standing]
    aim = min(places, key=lambda place: abs(place - x) + 20 * _shielded(place))
    return stick(aim - x if abs(aim - x) > 2 else 0, fire=True)


def _shielded(place: int) -> bool:
    return any(shield - 8 < place < shield + 8 for shield in SHIELDS)
