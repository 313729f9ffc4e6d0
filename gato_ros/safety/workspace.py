"""Where the tool is, and which part of a command pushes it out of its box.

    workspace = Workspace(load_robot('panda_sim'))
    workspace.tool(positions)             # float64[3], m in the base frame
"""

from __future__ import annotations

import math

import numpy as np

from gato_ros.kinematics import Chain, Pose
from gato_ros.robot import RobotSpec, WorkspaceSpec


class Workspace:
    """The end of ``robot.kinematics``, and the box ``robot.workspace`` around it."""

    def __init__(self, robot: RobotSpec) -> None:
        self._chain = Chain(robot) if robot.kinematics else None
        self._size = len(robot.joints)
        box = robot.workspace or WorkspaceSpec((-math.inf,) * 3, (math.inf,) * 3)
        self._low, self._high, self._margin = np.array(box.low), np.array(box.high), box.margin
        self.bounded = robot.workspace is not None
        self._posed: tuple[np.ndarray, Pose] | None = None  # of the newest positions

    def tool(self, positions: np.ndarray) -> np.ndarray:
        """Return float64[3]: the end of the chain in the base frame, m; 0 without one."""
        return np.zeros(3) if self._chain is None else self._pose(self._chain, positions).position

    def jacobian(self, positions: np.ndarray) -> np.ndarray:
        """Return float64[3, N]: the tool's speed (m/s) for each joint's speed of 1 rad/s."""
        jacobian = np.zeros((3, self._size))
        if self._chain is not None:
            jacobian[:, self._chain.joints] = self._pose(self._chain, positions).jacobian[:3]
        return jacobian

    def outside(self, positions: np.ndarray) -> str:
        """Return a sentence when the tool is beyond its box, '' when it is not."""
        tool = self.tool(positions)
        if ((tool >= self._low) & (tool <= self._high)).all():
            return ''
        return (f'the tool is at ({", ".join(f"{x:.3f}" for x in tool)}) m, expected within '
                f"{self._low.tolist()} to {self._high.tolist()} (workspace in the robot's YAML "
                'file)')

    def inward(self, push: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Return ``push`` float64[N] without what drives the tool out through a near face.

        push  torque in Nm or speed in rad/s; the outward part fades between two margins and one
        """
        tool = self.tool(positions)
        room = np.minimum(tool - self._low, self._high - tool) / self._margin  # [3] in margins
        if room.min() >= 2.0:
            return push
        outward = np.where(tool - self._low < self._high - tool, -1.0, 1.0)
        jacobian = self.jacobian(positions)
        for face in np.flatnonzero(room < 2.0):
            along = outward[face] * jacobian[face]  # [N]: outward speed by each joint's speed
            power = float(along @ push)
            if power > 0.0:
                taken = min(1.0, 2.0 - room[face])
                push = push - taken * power / float(along @ along) * along
        return push

    def _pose(self, chain: Chain, positions: np.ndarray) -> Pose:
        """Return the tool's pose, which several questions about the same positions share."""
        if self._posed is None or self._posed[0] is not positions:
            self._posed = positions, chain.pose(positions)
        return self._posed[1]
