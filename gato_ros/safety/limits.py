"""How far each joint's command may go, given where the joint is and how fast it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gato_ros.robot import RobotSpec

BRAKE_BAND = 0.1  # share of the speed limit over which a command that accelerates fades


def clip(values: np.ndarray, low: np.ndarray | float, high: np.ndarray | float) -> np.ndarray:
    """Return values within [low, high], as np.clip does, which takes longer for a few numbers."""
    return np.minimum(np.maximum(values, low), high)


@dataclass(frozen=True, eq=False)
class Joints:
    """What the joints do: positions float64[N] in rad (m), velocities float64[N] in rad/s.

    Not to be changed afterwards: what follows from it is computed once.
    """

    positions: np.ndarray
    velocities: np.ndarray


class Limits:
    """Lower and upper limit of every joint's command.

    Without a joint state they are the command's range. With one, near a position limit the side
    that pushes further out closes, and above the speed limit the command must brake.

    brake  returns float64[N]: so much for each rad/s at most, where more would shake the arm
    """

    def __init__(self, robot: RobotSpec, brake: Callable[[], np.ndarray] | None = None) -> None:
        self._brake = brake
        joints = robot.joints
        self.low, self.high = robot.command_low, robot.command_high
        self._position = robot.interface == 'position'
        self._lowest = np.array([j.position[0] for j in joints])
        self._highest = np.array([j.position[1] for j in joints])
        self._margin = np.array([j.margin for j in joints])
        self._guarded = self._margin > 0
        self._fade = np.where(self._guarded, self._margin, 1.0)
        speed = np.array([j.velocity if j.observe_velocity else np.inf for j in joints])
        self._speed = speed
        self._band = np.where(np.isfinite(speed), speed * BRAKE_BAND, 1.0)
        if self._position:  # a place is limited itself; speed is what the slew rate limits
            self.low, self.high = self.low + self._margin, self.high - self._margin
        self._last: tuple[Joints, tuple[np.ndarray, np.ndarray]] | None = None

    def at(self, joints: Joints | None) -> tuple[np.ndarray, np.ndarray]:
        """Return (low, high), float64[N] each, in the command's unit."""
        if joints is None or self._position:
            return self.low, self.high
        if self._last is None or self._last[0] is not joints:  # several commands a joint state
            self._last = joints, self._at(joints)
        return self._last[1]

    def _at(self, joints: Joints) -> tuple[np.ndarray, np.ndarray]:
        speed = joints.velocities
        # 1 at leisure, 0 at the speed limit, -1 (full braking) a band above it.
        up = clip((self._speed - speed) / self._band, -1.0, 1.0)
        down = clip((self._speed + speed) / self._band, -1.0, 1.0)
        above = clip((self._highest - joints.positions) / self._fade - 1.0, 0.0, 1.0)
        below = clip((joints.positions - self._lowest) / self._fade - 1.0, 0.0, 1.0)
        up = np.where(self._guarded, np.minimum(up, above), up)
        down = np.where(self._guarded, np.minimum(down, below), down)
        low, high = self.low * down, self.high * up
        if self._brake is not None:
            braking = -self._brake() * speed
            high = np.where(up < 0.0, np.maximum(high, braking), high)
            low = np.where(down < 0.0, np.minimum(low, braking), low)
        return np.minimum(low, high), high

    def runaway(self, joints: Joints) -> int | None:
        """Return the first joint that is a quarter faster than its limit, or None."""
        fast = np.flatnonzero(np.abs(joints.velocities) > 1.25 * self._speed)
        return int(fast[0]) if fast.size else None
