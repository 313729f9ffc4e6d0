"""Games of walking: where to set the foot next."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.atari.buttons import DOWN, NOTHING, UP, stick

LANES, LANE, STRIDE = 10, 16, 4  # of the road; pixels of a lane, and of a timestep's walk


def freeway(ram: np.ndarray, former: np.ndarray) -> int:
    """Walk up where no car will be, else wait, else step back."""
    speeds = (ram[108:118] - former[108:118] + 80) % 160 - 80
    for button, moves in ((UP, (1, 1, 1, 1)), (NOTHING, (0, 1, 1, 1)), (DOWN, (-1, 1, 1, 1)),
                          (NOTHING, (0, 0, 0)), (DOWN, (-1, -1, -1))):
        if not _run_over(ram[14], ram[108:118], speeds, moves):
            return button
    return UP


def gopher(ram: np.ndarray, former: np.ndarray) -> int:
    """Walk above the gopher and use the shovel, again and again."""
    away = ram[41] + 4 - ram[31]
    strikes = bool(ram[75] & 8)  # two timesteps of four, by the frames' count
    return stick(away if abs(away) > 3 else 0, fire=strikes)


def _run_over(y: int, cars: np.ndarray, speeds: np.ndarray, moves: tuple[int, ...]) -> bool:
    """Whether a car meets the chicken on its way; cars are numbered from below."""
    for step, move in enumerate(moves, 1):
        y = max(6, y + STRIDE * move)
        for lane in range(LANES):
            if 14 < y - LANE * lane < 30 and 40 <= (cars[lane] + speeds[lane] * step) % 160 <= 54:
                return True
    return False
