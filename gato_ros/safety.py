"""The gate between a proposal and the robot: finite, right length, limits, rate of change.

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
from gato_ros.spec import RobotSpec


@dataclass(frozen=True, eq=False)
class Command:
    """What may be sent.

    effort   float64[N] in the robot's joint order: Nm (N for a sliding joint), or rad/s
    reasons  one sentence for each thing that was changed
    refused  true when the proposal was thrown away and ``effort`` is the stop command
    """

    effort: np.ndarray
    reasons: tuple[str, ...] = ()
    refused: bool = False


class SafetyGate:
    """Checks proposals one by one; remembers only what was last sent.

    hold_controllers  controllers whose joints keep their last command on a stop, by default those
                      with 'gripper' in their name: an arm without residual torque stands on its
                      gravity compensation and damping, a gripper without force drops the block

    Raises ConfigError for a position interface, where zero is a place and not a stop.
    """

    def __init__(self, robot: RobotSpec, hold_controllers: Sequence[str] | None = None) -> None:
        if robot.interface == 'position':
            raise ConfigError(f"robot {robot.name!r} has interface 'position', expected 'effort' "
                              "or 'velocity' (set in its YAML file): a zero position is no stop")
        if hold_controllers is None:
            hold_controllers = [name for name in robot.controllers if 'gripper' in name]
        for name in hold_controllers:
            if name not in robot.controllers:
                raise ConfigError(f'hold_controllers names {name!r}, expected some of '
                                  f'{", ".join(robot.controllers)}')
        self._names = robot.joint_names
        self._scale = robot.scale
        self._slew = np.array([joint.slew for joint in robot.joints])
        self._hold = np.array([joint.controller in hold_controllers for joint in robot.joints])
        self._sent = np.zeros(len(self._names))

    @property
    def sent(self) -> np.ndarray:
        """float64[N]: what was last sent, zero before anything was."""
        return self._sent.copy()

    def check(self, effort: Sequence[float] | np.ndarray, dt: float) -> Command:
        """Limit ``effort`` to the scale and to the slew rate times ``dt``, or refuse it.

        effort  float[N] in the robot's joint order
        dt      seconds since the last command, finite and not negative
        """
        fault = self._fault(effort, dt)
        if fault:
            return self.stop(fault)
        wanted = np.asarray(effort, np.float64)
        limited = np.clip(wanted, -self._scale, self._scale)
        step = self._slew * dt
        sent = np.clip(limited, self._sent - step, self._sent + step)
        reasons = [f'{name}: {wanted[i]:.4g} exceeds the scale {self._scale[i]:.4g}'
                   for i, name in enumerate(self._names) if limited[i] != wanted[i]]
        reasons += [f'{name}: a change to {limited[i]:.4g} exceeds the slew rate, '
                    f'sent {sent[i]:.4g}'
                    for i, name in enumerate(self._names) if sent[i] != limited[i]]
        self._sent = sent
        return Command(sent.copy(), tuple(reasons))

    def stop(self, reason: str) -> Command:
        """Return zero residual effort, whatever the slew rate; grippers keep theirs."""
        self._sent = np.where(self._hold, self._sent, 0.0)
        return Command(self._sent.copy(), (reason,), refused=True)

    def _fault(self, effort: Sequence[float] | np.ndarray, dt: float) -> str:
        """Return why the proposal cannot be judged, or '' when it can."""
        if not (math.isfinite(dt) and dt >= 0):
            return f'the time since the last command is {dt} s, expected a finite number >= 0'
        try:
            values = np.asarray(effort, np.float64)
        except (TypeError, ValueError):
            return f'the effort is {effort!r}, expected {len(self._names)} numbers'
        if values.shape != self._scale.shape:
            return (f'the effort has shape {values.shape}, expected {self._scale.shape}: one '
                    f'value for each of {", ".join(self._names)}')
        bad = [f'{name} is {value}' for name, value in zip(self._names, values, strict=True)
               if not math.isfinite(value)]
        return f'the effort of {", ".join(bad)}, expected finite numbers' if bad else ''
