"""Games of shooting upwards: which column to stand in, what to step out of."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.atari.buttons import FIRE, NOTHING, stick

COLUMNS, COLUMN = 6, 16  # of invaders; pixels from one to the next
SHIELDS = range(42, 120, 32)  # left edges of what also stops one's own shots

# Of a gallery's figures: height of each row; pixels from a row's first figure, by how many it has.
HEIGHTS = (89, 89, 68, 68, 47, 47)
FOLLOWING = {0: (0,), 1: (0, 16), 2: (0, 32), 3: (0, 16, 32), 4: (0, 64), 6: (0, 32, 64)}
FLYING, GUN, SHOT = 92, 186, 12  # kind that left its row; height of the gun; pixels a timestep


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


def carnival(ram: np.ndarray, former: np.ndarray) -> int:
    """Stand where the nearest figure will be when a shot is up there, and fire one at a time."""
    x, aims = ram[2], []
    for row, height in enumerate(HEIGHTS):
        first, speed = ram[18 + row], ram[18 + row] - former[18 + row]
        if ram[24 + 2 * row] == FLYING:
            continue
        lead = speed * (GUN - height) / SHOT if abs(speed) < 8 else 0.0  # else it came anew
        aims += [first + behind + lead for behind in FOLLOWING.get(ram[36 + row], (0,))
                 if 8 < first + behind < 156]
    if not aims:
        return NOTHING
    away = min(aims, key=lambda aim: abs(aim - x)) - x
    return stick(away if abs(away) > 2 else 0, fire=abs(away) < 7 and ram[55] < 15)


def _shielded(place: int) -> bool:
    return any(shield - 8 < place < shield + 8 for shield in SHIELDS)
