"""Games of sport: where to be next to an opponent, a gate or a fish."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.atari.buttons import DOWN, FIRE, LEFT, NOTHING, RIGHT, stick

REACH, BESIDE = 12, 9  # pixels that a fist reaches; by which to stand above or below the other
FLAGS, GATE, SKIER = 2, 32, 40  # kind of a gate; its pixels across; the skier's line
ROW, SHARK, SURFACE = 2, 10, 14  # of fish, from below; pixels to keep off; depth where it swims


def boxing(ram: np.ndarray, former: np.ndarray) -> int:
    """Stand at a fist's length, a little above or below, and strike by turns."""
    x, his_x, y, his_y = ram[32:36]
    across = his_x - x - (REACH if x <= his_x else -REACH)
    along = his_y - y + (BESIDE if y > his_y else -BESIDE)
    strikes = bool(ram[0] & 8)  # two timesteps of four, by the frames' count: he must let go, too
    return stick(across if abs(across) > 1 else 0, along if abs(along) > 1 else 0, strikes)


def skiing(ram: np.ndarray, former: np.ndarray) -> int:
    """Turn so far that the way leads through the next gate's middle, never far from downhill."""
    x, heading = ram[25], ram[15]  # headings from 0, left, to 15, right; 7.5 is downhill
    ahead = [(178 - ram[86 + i], ram[62 + i] + GATE // 2) for i in range(8)
             if ram[70 + i] == FLAGS and 178 - ram[86 + i] > SKIER]
    wanted = 7.5
    if ahead:
        y, middle = min(ahead)
        wanted += np.clip(6 * (middle - x) / max(y - SKIER, 10), -3, 3)
    turn = wanted - heading
    return RIGHT if turn > 0.9 else LEFT if turn < -0.9 else NOTHING


def fishing_derby(ram: np.ndarray, former: np.ndarray) -> int:
    """Hook a fish of the last row but one, and reel it in, past the shark."""
    x, depth, shark, mine, his = ram[[32, 65, 75, 112, 113]]  # fish on the hooks, by their rows
    if mine:
        near = abs(shark + 17 - x) < SHARK and depth < SURFACE
        return NOTHING if near else FIRE
    if his == ROW:
        return DOWN
    across, along = ram[68 + ROW] + 4 - x, 8 * (7 - ROW) - 1 - depth
    return stick(across if abs(across) > 2 else 0, along if abs(along) > 1 else 0)
