"""The gate over time: its states, the age of everything it hears, and the command of each tick.

Pure: whoever runs it passes in what has arrived and the steady clock's time in seconds, calls
``tick`` at a fixed rate, and sends what comes back.

    guard = Guard(load_robot('panda_sim'), GuardSettings())
    guard.propose(effort, stamp_ns, now_s)      # -> Command, the answer to that proposal
    guard.tick(now_s).effort                    # -> what goes on the wire now
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gato_ros.robot import RobotSpec
from gato_ros.safety.damping import SLOWEST_S
from gato_ros.safety.gate import Command, SafetyGate
from gato_ros.safety.limits import Joints, Limits
from gato_ros.safety.machine import Machine, State
from gato_ros.safety.sources import BACK_S, JUMP_S, Source

HOLD_RAD = 0.2  # a held joint answers a displacement of so much with its whole scale
STILL, MOVING = 10, 0.02  # so many equal positions with a joint at so many rad/s
MOVED_RAD = 0.05  # a disabled position-controlled arm that is so far off was moved by hand
SETTLED_S = 0.5  # a stop that damping keeps moving counts as complete after this


@dataclass(frozen=True)
class GuardSettings:
    """How the gate is set; seconds on the steady clock.

    stop        'ramp': to zero residual torque; 'hold': a spring to where the stop began, damped
    simulation  enable and clear by itself, and look at nothing but proposals: the simulator's time
                stands still between episodes. Never on a real robot.
    lock_step   physics waits for each answer: silence is no danger, and a period passes between
                two proposals whatever the clock says
    deadline_s  longest time between two ticks
    tick_s      time between two ticks, as planned; the gate's own damping must bear it
    """

    command_max_age_s: float = 0.1
    heartbeat_max_age_s: float = 0.06
    observation_max_age_s: float = 0.3
    deadline_s: float = 0.05
    tick_s: float = SLOWEST_S
    stop: Literal['ramp', 'hold'] = 'ramp'
    blend: float = 1.0
    simulation: bool = False
    lock_step: bool = False


class Guard:
    """State machine, sources and limits of one robot; not thread-safe."""

    def __init__(self, robot: RobotSpec, settings: GuardSettings,
                 hold_controllers: Sequence[str] | None = None) -> None:
        self.gate = SafetyGate(robot, hold_controllers, settings.blend, settings.tick_s)
        self.machine = Machine()
        self.joint_states = Source(robot.joint_states_topic, robot.joint_states_max_age_s,
                                   "joint_states_max_age_s in the robot's YAML file",
                                   robot.disorder_s)
        self.heartbeat = Source('policy/heartbeat', settings.heartbeat_max_age_s,
                                'heartbeat_max_age_s of the safety node')
        self.trouble = ''  # found by whoever runs the guard; '' when there is none
        self._robot, self._settings = robot, settings
        self._trusting = settings.simulation or settings.lock_step
        self._limits, self._workspace = Limits(robot), self.gate.workspace
        self._source_limits = {c.topic: c.max_age_s for c in robot.cameras}
        self._source_limits[robot.joint_states_topic] = robot.joint_states_max_age_s
        self._period_s = 1.0 / robot.rate_hz
        self._damper = self.gate.damper
        self._spring = np.where(self.gate.hold, 0.0, robot.scale / HOLD_RAD)
        if self._damper is not None:
            self._spring = np.minimum(self._spring, self._damper.spring)

        self._joints: Joints | None = None
        self._still = 0  # messages with the same positions while a velocity is not zero
        self._joints_say = self._place_says = self._policy_says = ''
        self._target: np.ndarray | None = None  # the newest good proposal while enabled
        self._stamp_ns = -1  # of the newest proposal
        self._accepted_s = -float('inf')
        self.refusal = ''  # of the newest proposal
        self._tick_s: float | None = None
        self._late, self._late_s = '', -float('inf')
        self._stopped_s = 0.0
        self._held: np.ndarray | None = None  # positions that a stop holds
        self._disabled_by_request = False
        self._command = self.gate.stop('nothing has been proposed')

    @property
    def state(self) -> State:
        return self.machine.state

    # What arrives.

    def observe(self, joints: Joints | None, stamp_ns: int, now_s: float,
                problem: str = '') -> None:
        """Take a joint state, finite and in the robot's order; None with what is wrong with it."""
        if self.joint_states.overtaken(stamp_ns):
            return
        if joints is not None:
            self._still = self._still + 1 if (
                self._joints is not None and np.abs(joints.velocities).max() > MOVING
                and np.array_equal(joints.positions, self._joints.positions)) else 0
            if self._still >= STILL:
                problem = (f'{self.joint_states.name}: the same positions {self._still + 1} times '
                           'while a joint says that it moves')
        self._joints, self._joints_say = joints, problem
        self._place_says = '' if joints is None else self._place_problem(joints)
        if joints is not None and self._damper is not None:
            self._damper.watch(joints.positions, now_s)
        self.joint_states.arrived(stamp_ns, now_s)

    def distrust(self, problem: str) -> None:
        """Take note of a joint state that could not even be read."""
        self._joints, self._joints_say = None, problem

    def beat(self, problem: str, ages_s: Mapping[str, float], now_s: float) -> None:
        """Take the policy's heartbeat: what is wrong with it, and how old its sources are."""
        self.heartbeat.arrived(round(now_s * 1e9), now_s)
        limits = {topic: self._source_limits.get(topic, float('inf')) for topic in ages_s}
        old = [f'{topic}: the policy last saw it {age:.3f} s ago, expected within '
               f'{limits[topic]:g} s' for topic, age in ages_s.items()
               if not age <= limits[topic]]
        self._policy_says = problem or (old[0] if old else '')

    def propose(self, effort: Sequence[float] | np.ndarray, stamp_ns: int,
                now_s: float) -> Command:
        """Judge a proposal and return the answer to it: what is sent from now on, and why."""
        self._note_pause(now_s)
        if stamp_ns < self._stamp_ns and self._trusting:
            self._command = self.gate.stop('time began anew')
            self._target = None
        reason = self.gate.fault(effort, 0.0) or self._stamp_fault(stamp_ns)
        self._stamp_ns = stamp_ns
        if reason:
            return self.refuse(reason, now_s)
        self.refusal = ''
        since_s = now_s - self._accepted_s
        self._accepted_s = now_s
        if self._trusting:
            self._revive()
        if self.state is not State.ENABLED:
            return self._told(f'the gate is {self.state.value}' + (
                f': {self.machine.fault}' if self.machine.fault else ''))
        self._target = np.asarray(effort, np.float64)
        # In simulation a proposal may change as much at once as in the period it is held for.
        dt = (self._period_s if self._settings.lock_step
              else min(since_s, self._period_s) if self._trusting else self._elapsed(now_s))
        self._tick_s = now_s
        self._command = self.gate.check(self._target, dt, self._fresh_joints(now_s),
                                        self.joint_states.age_s(now_s))
        self._note(now_s, dt)
        return self._command

    def refuse(self, reason: str, now_s: float) -> Command:
        """Take note of a proposal that cannot be used, and return the answer to it."""
        self.refusal = reason
        if self._trusting:
            self._command = self.gate.stop(reason)
            return self._command
        self._note_pause(now_s)
        self.machine.look(self.problem(now_s))
        self._begin_stop(now_s)
        return self._told(reason)

    # What somebody asks for; '' when granted, otherwise a sentence.

    def enable(self, now_s: float) -> str:
        """Follow proposals from now on."""
        self.machine.look(self.problem(now_s))
        self._take_place(self._fresh_joints(now_s))
        self._target, self._disabled_by_request = None, False
        return self.machine.enable()

    def stop(self, now_s: float) -> str:
        """Stop and be disabled."""
        answer, self._disabled_by_request = self.machine.stop(), True
        self._begin_stop(now_s)
        return answer

    def clear(self, now_s: float) -> str:
        """Forget a fault that has ended."""
        return self.machine.clear(self.problem(now_s))

    # What goes out.

    def tick(self, now_s: float) -> Command | None:
        """Return what to send now; None while a position-controlled arm's place is unknown."""
        if self._settings.lock_step:
            if self.state is State.STOPPING:
                self._command = self.gate.stop('the gate was told to stop')
                self.machine.at_rest()
            return self._command
        dt = self._elapsed(now_s)
        self._tick_s = now_s
        joints, age = self._fresh_joints(now_s), self.joint_states.age_s(now_s)
        problem = self.problem(now_s)
        self.machine.look(problem)
        self._begin_stop(now_s)
        if self.state is State.ENABLED:
            self._command = (
                self.gate.settle(self.gate.stop_command, dt, 'no proposal since it was enabled',
                                 joints, age) if self._target is None
                else self.gate.check(self._target, dt, joints, age))
            self._note(now_s, dt)
            return self._command
        if self._waiting_for_place() and joints is None:
            return None
        self._take_place(joints)
        target = self._stop_target(joints)
        reason = self.machine.fault or problem or f'the gate is {self.state.value}'
        self._command = self.gate.settle(target, dt, reason, joints, age)
        self._note(now_s, dt)
        if self.state is State.STOPPING and (now_s - self._stopped_s > SETTLED_S or np.allclose(
                self._command.residual, target, atol=1e-9)):
            self.machine.at_rest()
        return self._command

    def left(self, now_s: float) -> None:
        """Note that a command has just left: from then on counts what the next may change."""
        if self._tick_s is not None:
            self._tick_s = max(self._tick_s, now_s)

    def problem(self, now_s: float) -> str:
        """Return the first thing that forbids motion now, '' when there is none."""
        return next(self.problems(now_s), '')

    def problems(self, now_s: float) -> Iterator[str]:
        """Name all that forbids motion now; the first explains the others best."""
        if self._damper is not None and self._damper.problem and not self._trusting:
            yield self._damper.problem
        if now_s - self._late_s < BACK_S:
            yield self._late
        if self.refusal:
            yield self.refusal
        age = now_s - self._accepted_s
        if age == float('inf'):
            yield 'proposed_effort: nothing has arrived'
        elif age > self._settings.command_max_age_s and not self._settings.lock_step:
            yield (f'no proposal for {age:.3f} s, expected one every {self._period_s:g} s '
                   f'(stale_periods allows {self._settings.command_max_age_s:g} s)')
        if not self._trusting:
            yield from filter(None, (
                self.trouble, self._joints_say, self.joint_states.problem(now_s),
                self.heartbeat.problem(now_s), self._policy_says, self._place_says))

    def _place_problem(self, joints: Joints) -> str:
        fast = self._limits.runaway(joints)
        if fast is not None:
            joint = self._robot.joints[fast]
            return (f'{joint.name} moves at {joints.velocities[fast]:.3g} {joint.units[1]}, '
                    f'a quarter above its limit {joint.velocity:g}')
        return self._workspace.outside(joints.positions) if self._workspace.bounded else ''

    def _stamp_fault(self, stamp_ns: int) -> str:
        """Return why the observation that a proposal answers cannot be right, or ''."""
        if self._trusting:
            return ''
        if stamp_ns < self._stamp_ns:
            return (f'proposed_effort: the stamps jump back by '
                    f'{(self._stamp_ns - stamp_ns) * 1e-9:.3f} s')
        if self.joint_states.stamp_ns is None:
            return ''
        age = (self.joint_states.stamp_ns - stamp_ns) * 1e-9
        if age > self._settings.observation_max_age_s:
            return (f'proposed_effort: it answers an observation of {age:.3f} s ago, expected '
                    f'within {self._settings.observation_max_age_s:g} s '
                    '(observation_max_age_s of the safety node)')
        if age < -JUMP_S:
            return f'proposed_effort: it answers an observation {-age:.3f} s in the future'
        return ''

    def _revive(self) -> None:
        """Be enabled whatever was, but for a request to stop: the simulator's operator."""
        if self.state is not State.ENABLED and not self._disabled_by_request:
            self.machine = Machine()
            self.machine.look('')
            self.machine.enable()

    def _begin_stop(self, now_s: float) -> None:
        """Note when and where a stop begins."""
        if self.state is State.STOPPING and self._target is not None:
            self._target, self._stopped_s = None, now_s
            joints = self._fresh_joints(now_s)
            self._held = None if joints is None else joints.positions
        elif self.state is State.ENABLED:
            self._held = None

    def _waiting_for_place(self) -> bool:
        return self._robot.interface == 'position' and self.state in (State.DISABLED, State.READY)

    def _take_place(self, joints: Joints | None) -> None:
        """Let a position-controlled arm that waits start from where somebody has moved it.

        Not at each tick: a command that follows an arm which sags would sink with it.
        """
        if self._waiting_for_place() and joints is not None and (
                np.abs(joints.positions - self.gate.sent).max() > MOVED_RAD):
            self.gate.start_from(joints.positions)

    def _stop_target(self, joints: Joints | None) -> np.ndarray:
        """Return float64[N]: the command that a stop leads to."""
        rest = self.gate.stop_command
        if (self._settings.stop == 'ramp' or self._held is None or joints is None
                or self._robot.interface != 'effort'
                or (self._damper is not None and self._damper.problem)):
            return rest
        return rest + self._spring * (self._held - joints.positions)

    def _fresh_joints(self, now_s: float) -> Joints | None:
        """Return the joint state if it may be used; never in lock-step, where runs repeat."""
        source = self.joint_states
        old = source.age_s(now_s) > source.max_age_s
        return None if old or self._settings.lock_step else self._joints

    def _elapsed(self, now_s: float) -> float:
        """Return seconds since the last command, as far as they count for the slew rate."""
        if self._tick_s is None:
            return 0.0
        self._note_pause(now_s)
        return min(max(now_s - self._tick_s, 0.0), self._settings.deadline_s, self._period_s)

    def _note_pause(self, now_s: float) -> None:
        """Note that no command has left for too long; what waited meanwhile is old, not wrong."""
        gap = 0.0 if self._tick_s is None else now_s - self._tick_s
        if gap > self._settings.deadline_s and not self._trusting:
            self._late_s = now_s
            self._late = (f'the gate itself stood still for {gap:.3f} s, expected a tick within '
                          f'{self._settings.deadline_s:g} s (deadline_s of the safety node)')

    def _note(self, now_s: float, dt: float) -> None:
        """Let what the damping does to the arm be judged."""
        if self._damper is not None:
            self._damper.tick(now_s, self._command.damping, self._command.residual, dt)

    def _told(self, reason: str) -> Command:
        """Return the newest command as a refusal's answer."""
        return replace(self._command, reasons=(reason,), refused=True)
