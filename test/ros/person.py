"""A scripted person who stacks two blocks: sees where they lay, and where the hand is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_ros.kinematics import Chain, rotation_vector
from gato_ros.sim import StackingEnv, load_task
from gato_ros.spec import load_robot

ROBOT = load_robot('panda_sim')
OPEN, CLOSE = 1, -1


@dataclass
class Goal:
    """Where the hand should be, at which yaw, and what the gripper does there."""

    position: np.ndarray
    yaw: float
    gripper: int


class Person:
    """Follows a plan; ``error`` says how far the hand is from what is next.

    near_m, near_rad  how exactly places are reached
    """

    def __init__(self, seed: int, near_m: float = 0.004, near_rad: float = 0.05,
                 task: str = 'stack_wide') -> None:
        self._near_m, self._near_rad = near_m, near_rad
        env = StackingEnv(ROBOT, load_task(task), render=False)
        env.reset(seed)
        upper, lower = env.task.blocks
        above, below = env.world.block(upper), env.world.block(lower)
        yaw = self._quarter(env.world.block_yaw(upper))
        self._chain, self._wait = Chain(ROBOT), 0
        up, lift = np.array([0, 0, 0.09]), np.array([0, 0, 0.15])
        place = below + (0, 0, 0.0415)
        self._plan = [Goal(above + up, yaw, OPEN), Goal(above, yaw, OPEN), Goal(above, yaw, CLOSE),
                      Goal(above + lift, yaw, CLOSE), Goal(below + lift, 0.0, CLOSE),
                      Goal(place, 0.0, CLOSE), Goal(place, 0.0, OPEN),
                      Goal(below + lift, 0.0, OPEN)]
        self._former = OPEN

    @staticmethod
    def _quarter(yaw: float) -> float:
        """Return the turn of a cube that is nearest to none."""
        return float((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4)

    def error(self, positions: np.ndarray) -> tuple[np.ndarray, float, int] | None:
        """Return (m in the base frame, rad about z, gripper) to go; None when all is done."""
        pose = self._chain.pose(positions)
        while self._plan:
            goal = self._plan[0]
            c, s = np.cos(goal.yaw), np.sin(goal.yaw)
            facing = np.array([[c, s, 0], [s, -c, 0], [0, 0, -1]])
            turn = float(rotation_vector(facing, pose.rotation)[2])
            gap = goal.position - pose.position
            self._wait = self._wait + 1 if goal.gripper != self._former else 0
            reached = np.abs(gap).max() < self._near_m and abs(turn) < self._near_rad
            if self._wait > 40 or (goal.gripper == self._former and reached):
                self._plan.pop(0)
                self._former, self._wait = goal.gripper, 0
                continue
            return gap, turn, goal.gripper
        return None
