"""One command at a time: finite, right length, within every limit, no faster than the slew rate.

Nothing but numpy, and no clock of its own: the safety node runs it in a process without torch.

    gate = SafetyGate(load_robot('panda_sim'))
    command = gate.check(effort, dt=0.05)
    command.effort      # float64[N], what may be sent
    command.reasons     # () when the proposal passed unchanged
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.robot import RobotSpec
from gato_ros.safety.damping import SLOWEST_S, Damper
from gato_ros.safety.limits import Joints, Limits, clip
from gato_ros.safety.workspace import Workspace

__all__ = ['Command', 'Joints', 'SafetyGate']


@dataclass(frozen=True, eq=False)
class Command:
    """What may be sent.

    effort   float64[N] in the robot's joint order: Nm (N for a sliding joint), rad/s or rad
    damping  float64[N]: the part of it that is the gate's own joint damping; zero for most robots
    reasons  one sentence for each thing that was changed
    refused  true when the proposal was thrown away and ``effort`` leads to the stop command
    """

    effort: np.ndarray
    damping: np.ndarray
    reasons: tuple[str, ...] = ()
    refused: bool = False

    @property
    def residual(self) -> np.ndarray:
        """float64[N]: what is left of the proposal; it, not the damping, answers the policy."""
        return self.effort - self.damping


class SafetyGate:
    """Checks proposals one by one; remembers only what was last sent.

    hold_controllers  controllers whose joints keep their last command on a stop, by default those
                      with 'gripper' in their name: an arm without residual torque stands on its
                      gravity compensation and damping, a gripper without force drops the block.
                      With the interface position every joint keeps its place.
    blend             0 to 1: how much of a proposal counts; below 1 for a first contact
    tick_s            longest time between two commands, which the gate's own damping must bear

    hold              bool[N]: the joints that keep their last command on a stop
    damper            the gate's own damping; None where the robot's side damps

    Raises ConfigError for settings that cannot be, and for a damping that is not stable.
    """

    def __init__(self, robot: RobotSpec, hold_controllers: Sequence[str] | None = None,
                 blend: float = 1.0, tick_s: float = SLOWEST_S) -> None:
        if hold_controllers is None:
            hold_controllers = [name for name in robot.controllers if 'gripper' in name]
        for name in hold_controllers:
            if name not in robot.controllers:
                raise ConfigError(f'hold_controllers names {name!r}, expected some of '
                                  f'{", ".join(robot.controllers)}')
        if not 0.0 <= blend <= 1.0:
            raise ConfigError(f'blend is {blend}, expected 0 to 1')
        self.blend = blend
        self._names = robot.joint_names
        self._range_low, self._range_high = robot.command_low, robot.command_high
        self.workspace = Workspace(robot)
        self._boxed = self.workspace.bounded and robot.interface != 'position'
        self._slew = np.array([joint.slew for joint in robot.joints])
        self.hold = np.array([joint.controller in hold_controllers
                               or robot.interface == 'position' for joint in robot.joints])
        self.damper = Damper(robot, self.hold, tick_s) if robot.damped_by == 'gate' else None
        self._limits = Limits(robot, self.damper.brake if self.damper else None)
        self._zero = np.zeros(len(self._names))
        self._sent = self._zero
        self._rest = self._zero  # what a blend of 0 sends

    @property
    def sent(self) -> np.ndarray:
        """float64[N]: what was last sent, zero before anything was."""
        return self._sent.copy()

    @property
    def stop_command(self) -> np.ndarray:
        """float64[N]: zero residual; joints that hold keep what was last sent."""
        return np.where(self.hold, self._sent, 0.0)

    def start_from(self, values: np.ndarray) -> None:
        """Take ``values`` float64[N] as sent: the place of a position-controlled arm."""
        self._sent = self._rest = np.array(values, np.float64)

    def check(self, effort: Sequence[float] | np.ndarray, dt: float,
              joints: Joints | None = None, age_s: float = 0.0) -> Command:
        """Limit ``effort`` to what may be sent ``dt`` after the last command, or refuse it.

        effort  float[N] in the robot's joint order
        dt      seconds since the last command, finite and not negative
        joints  where the joints are; None: position, speed and workspace are not looked at
        age_s   seconds since that arrived, which the gate's own damping must not exceed
        """
        fault = self.fault(effort, dt)
        if fault:
            return self.stop(fault)
        wanted = np.asarray(effort, np.float64)
        target = wanted if self.blend == 1.0 else self._rest + self.blend * (wanted - self._rest)
        sent, damping, limited = self._move(target, dt, joints, age_s)
        self._sent = sent
        if np.array_equal(sent, wanted):
            return Command(sent.copy(), damping)
        return Command(sent.copy(), damping, self._reasons(wanted, target + damping, limited))

    def stop(self, reason: str) -> Command:
        """Return zero residual effort, whatever the slew rate; grippers keep theirs."""
        self._sent = self.stop_command
        return Command(self._sent.copy(), self._zero, (reason,), refused=True)

    def settle(self, target: np.ndarray, dt: float, reason: str,
               joints: Joints | None = None, age_s: float = 0.0) -> Command:
        """Go from what was sent towards ``target`` float64[N] as fast as all limits allow."""
        self._sent, damping, _ = self._move(target, dt, joints, age_s)
        return Command(self._sent.copy(), damping, (reason,), refused=True)

    def fault(self, effort: Sequence[float] | np.ndarray, dt: float) -> str:
        """Return why the proposal cannot be judged, or '' when it can."""
        if not (math.isfinite(dt) and dt >= 0):
            return f'the time since the last command is {dt} s, expected a finite number >= 0'
        try:
            values = np.asarray(effort, np.float64)
        except (TypeError, ValueError):
            return f'the effort is {effort!r}, expected {len(self._names)} numbers'
        if values.shape != self._zero.shape:
            return (f'the effort has shape {values.shape}, expected {self._zero.shape}: one '
                    f'value for each of {", ".join(self._names)}')
        if np.isfinite(values).all():
            return ''
        bad = [f'{name} is {value}' for name, value in zip(self._names, values, strict=True)
               if not math.isfinite(value)]
        return f'the effort of {", ".join(bad)}, expected finite numbers'

    def _move(self, target: np.ndarray, dt: float, joints: Joints | None, age_s: float
              ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what may be sent, the damping in it, and what it is before the slew rate."""
        damping = self._zero
        if joints is not None:
            if self._boxed:
                target = self.workspace.inward(target, joints.positions)
            if self.damper is not None:
                damping = self.damper.torque(joints, age_s)
                target = target + damping
        low, high = self._limits.at(joints)
        limited = clip(target, low, high)
        step = self._slew * dt
        return clip(limited, self._sent - step, self._sent + step), damping, limited

    def _reasons(self, wanted: np.ndarray, target: np.ndarray,
                 limited: np.ndarray) -> tuple[str, ...]:
        """Return a sentence for each joint that gets something else than was proposed."""
        reasons = [] if self.blend == 1.0 else [f'blend: {self.blend:g} of each proposal counts']
        for i, name in enumerate(self._names):
            low, high = self._range_low[i], self._range_high[i]
            if limited[i] == min(max(target[i], low), high):
                if limited[i] != target[i]:
                    reasons.append(f'{name}: {wanted[i]:.4g} exceeds the scale {high:.4g}')
            else:
                reasons.append(f'{name}: {wanted[i]:.4g} was cut to {limited[i]:.4g} near a limit '
                               'of position, speed or workspace')
            if self._sent[i] != limited[i]:
                reasons.append(f'{name}: a change to {limited[i]:.4g} exceeds the slew rate, '
                               f'sent {self._sent[i]:.4g}')
        return tuple(reasons)
