"""The gate's own joint damping: no more than is stable, watched, given up when it feeds the arm.

What the gate knows of a joint's speed is old when its answer acts, and the answer is held and
slewed. A torque -b v of a speed up to T seconds old, on an inertia I, can never raise the largest
speed of the last T seconds where ``b T <= I``: to pass it, the speed must cross zero, and from
there it has T seconds and a torque of b times that largest speed at most. That holds for any
delays up to T, in any order, and for any part of the torque that a limit cuts off.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.robot import RobotSpec
from gato_ros.safety.limits import Joints

SLOWEST_S = 0.02  # between two commands, unless somebody says that they come faster
AGE_S = 0.025  # a joint state that arrived so long ago damps no more
SURE = 10.0  # the bound holds for an arm of a tenth of the inertia given
REACH_S = 1e-3  # no arm is so soon at full speed by full effort: its inertia, if none is given
HOLD = 1 / 8  # a spring that holds: so much of the damping over the delay
OVERSPEED = 1.25  # of a joint's largest speed: beyond it the gate has long stopped the arm

FADE_S = 0.1  # until damping that has fed the arm is gone
MEMORY_S = 1.0  # over which fed energy is summed
SPEED = 0.1  # rad/s: as much as the damping takes from this in MEMORY_S may be fed, no more


class Damper:
    """The damping torque of each of N joints.

    held    bool[N]: joints that are never damped
    tick_s  longest time from one command to the next

    largest  float64[N], Nm per rad/s: what is stable; also of a joint that is not damped
    spring   float64[N], Nm per rad: the stiffest hold that the damping keeps calm
    problem  names the joint that the gate's own damping has fed, '' while there is none

    Raises ConfigError for a joint whose damping is not stable.
    """

    def __init__(self, robot: RobotSpec, held: np.ndarray, tick_s: float = SLOWEST_S) -> None:
        joints = robot.joints
        self._names = robot.joint_names
        self._scale = robot.scale
        self._damping = np.where(held, 0.0, [joint.damping for joint in joints])
        self._age_s = min(AGE_S, robot.joint_states_max_age_s)
        self._behind_s = robot.damping_delay_s + tick_s
        inertia = np.array([joint.inertia or REACH_S * joint.effort / joint.velocity
                            for joint in joints]) / SURE
        delay_s = self._age_s + self._behind_s
        speed = OVERSPEED * np.array([joint.velocity for joint in joints])
        slew = np.array([joint.slew for joint in joints])
        # The slew rate delays too: by scale / slew, or by b speed / slew where that is less.
        ramp = speed / slew
        self.largest = np.maximum(
            inertia / (delay_s + self._scale / slew),
            (np.sqrt(delay_s ** 2 + 4 * ramp * inertia) - delay_s) / (2 * ramp))
        self.spring = HOLD * self._damping / (
            delay_s + np.minimum(self._damping * speed, self._scale) / slew)
        for i in np.flatnonzero(self._damping > self.largest):
            given = (f'its inertia of {joints[i].inertia:g}' if joints[i].inertia else
                     f'the {inertia[i] * SURE:.3g} kg m2 that are taken for its inertia')
            raise ConfigError(
                f'joint {joints[i].name!r}: damping {joints[i].damping:g} by the gate is not '
                f'stable with {given} and {delay_s:g} s of delay, expected at most '
                f"{self.largest[i]:.2g} (damping, inertia and damping_delay_s in the robot's YAML "
                'file; docs/safety.md)')
        self.problem = ''
        self._share = 1.0
        self._sent: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
        self._places: tuple[float, np.ndarray] | None = None
        self._fed, self._pushed = np.zeros(len(joints)), np.zeros(len(joints))
        self._allowed = self._damping * SPEED ** 2 * MEMORY_S

    def torque(self, joints: Joints, age_s: float) -> np.ndarray:
        """Return float64[N], Nm; zero for a joint state that arrived ``age_s`` > AGE_S ago."""
        if age_s > self._age_s:
            return np.zeros(len(self._damping))
        return -self._share * self._damping * joints.velocities

    def brake(self) -> np.ndarray:
        """Return float64[N], Nm per rad/s: what may brake a joint that is too fast."""
        return self._share * self.largest

    def tick(self, now_s: float, damping: np.ndarray, others: np.ndarray, dt_s: float) -> None:
        """Note what was sent, float64[N] each: the damping and the rest of the command."""
        self._sent.append((now_s, damping, others))
        if self.problem:
            self._share = max(0.0, self._share - dt_s / FADE_S)

    def watch(self, positions: np.ndarray, now_s: float) -> None:
        """Judge by where the joints are now, float64[N], what the damping has done to them.

        Which of the newest commands moved the joint is not known: the one that fed most counts.
        More than is allowed, and more than whoever else moves the joint has fed, is the problem.
        """
        former, self._places = self._places, (now_s, positions)
        if former is None or now_s - former[0] > MEMORY_S:
            return
        while len(self._sent) > 1 and self._sent[1][0] < former[0] - self._behind_s:
            self._sent.popleft()
        if not self._sent or self.problem:
            return
        step = positions - former[1]
        forgotten = max(0.0, 1.0 - (now_s - former[0]) / MEMORY_S)
        self._fed *= forgotten
        self._pushed *= forgotten
        self._fed += (np.array([damping for _, damping, _ in self._sent]) * step).max(axis=0)
        self._pushed += (np.array([others for _, _, others in self._sent]) * step).max(axis=0)
        fed = np.flatnonzero((self._fed > self._allowed) & (self._fed > self._pushed))
        if fed.size:
            self.problem = (
                f"{self._names[fed[0]]}: the gate's own damping feeds its motion, so it is given "
                'up: lower damping, or mend inertia and damping_delay_s, in the YAML file of the '
                'robot, and start the gate anew')
