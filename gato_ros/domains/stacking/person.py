"""A scripted person at the keyboard: keys are down or up, there is a plan in mind, and some skill.

    person = Person(env, np.random.default_rng(seed))
    effort = person.act()

Unlike the expert a person has a memory, is slow, and comes only near to where they want to be. The
torques come from the jog that real keys move, so this is how recordings of teleoperation look.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.orientation import facing_down
from gato_ros.jog import ANGULAR, LINEAR, Jog, Wish
from gato_ros.kinematics import Chain, rotation_vector

OPEN, CLOSE = 1, -1
SLACK_M, SLACK_RAD = 0.005, 0.07  # nearer than this no key is pressed for a direction
SLOWEST, FASTEST = 1, 7  # tenths of full speed


@dataclass(frozen=True)
class Goal:
    """Where the hand should be, m and rad, and what the gripper does there."""

    position: np.ndarray
    yaw: float
    gripper: int


@dataclass(frozen=True)
class Gap:
    """How far the hand is from what is next: m in the base frame, rad about its z axis."""

    position: np.ndarray
    turn: float
    gripper: int


class Plan:
    """How to stack one block on another, from where they lay at the start.

    near_m, near_rad  how exactly places are reached
    patience          looks at a gripper that opens or closes before the plan goes on
    """

    def __init__(self, env: StackingEnv, near_m: float, near_rad: float, patience: int) -> None:
        self._near_m, self._near_rad, self._patience = near_m, near_rad, patience
        (upper, lower), world = env.task.blocks, env.world
        above, below = world.block(upper), world.block(lower)
        yaw = _quarter(world.block_yaw(upper))
        hover, lift, on_top = np.array([(0, 0, 0.09), (0, 0, 0.15), (0, 0, 0.0415)])
        self._goals = [Goal(above + hover, yaw, OPEN), Goal(above, yaw, OPEN),
                       Goal(above, yaw, CLOSE), Goal(above + lift, yaw, CLOSE),
                       Goal(below + lift, 0.0, CLOSE), Goal(below + on_top, 0.0, CLOSE),
                       Goal(below + on_top, 0.0, OPEN), Goal(below + lift, 0.0, OPEN)]
        self._chain, self._gripper, self._looks = Chain(env.robot), OPEN, 0

    def gap(self, positions: np.ndarray) -> Gap | None:
        """Look at the hand, float64[N] joint positions; None when all is done."""
        pose = self._chain.pose(positions)
        while self._goals:
            goal = self._goals[0]
            turn = float(rotation_vector(facing_down(goal.yaw), pose.rotation)[2])
            gap = goal.position - pose.position
            near = np.abs(gap).max() < self._near_m and abs(turn) < self._near_rad
            moving = goal.gripper != self._gripper
            self._looks = self._looks + 1 if moving else 0
            if not (self._looks > self._patience or (near and not moving)):
                return Gap(gap, turn, goal.gripper)
            self._goals.pop(0)
            self._gripper, self._looks = goal.gripper, 0
        return None


def keys(gap: Gap, lag_s: float) -> Wish:
    """Return which keys a person holds down who looks again in ``lag_s`` seconds.

    Slower near the goal, so as not to overshoot.
    """
    linear = tuple(float(np.sign(x)) if abs(x) > SLACK_M else 0.0 for x in gap.position)
    turn = float(np.sign(gap.turn)) if abs(gap.turn) > SLACK_RAD else 0.0
    far_s = max(np.abs(gap.position).max() / LINEAR, abs(gap.turn) / ANGULAR)  # at full speed
    tenths = int(np.clip(10 * far_s / (3 * lag_s + 0.25), SLOWEST, FASTEST))
    return Wish(linear, (0.0, 0.0, turn), (), gap.gripper, speed=tenths / 10)


class Person:
    """Solves ``env``'s task, a stack of two; skill and quickness are drawn from ``rng``."""

    def __init__(self, env: StackingEnv, rng: np.random.Generator) -> None:
        self._world, self._period_s = env.world, 1 / env.robot.rate_hz
        self._every = int(rng.integers(1, 4))  # timesteps from look to look
        self._plan = Plan(env, rng.uniform(0.004, 0.010), rng.uniform(0.05, 0.12),
                          patience=int(rng.integers(10, 25)) // self._every)
        self._jog, self._wish, self._steps = Jog(env.robot), Wish(), 0

    def act(self) -> np.ndarray:
        """Return torques float64[N] in Nm (N), by keys pressed after the look before."""
        positions = self._world.joint_positions
        effort = self._jog.act(positions, self._wish, self._period_s)
        if self._steps % self._every == 0:
            gap = self._plan.gap(positions)
            self._wish = Wish() if gap is None else keys(gap, self._every * self._period_s)
        self._steps += 1
        return effort


def _quarter(yaw: float) -> float:
    """Return the turn of a cube that is nearest to none."""
    return float((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4)
