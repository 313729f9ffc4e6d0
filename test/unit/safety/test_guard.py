"""The guard over time: what reaches the wire, when it may move, and what its states promise."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from fuzz_guard import POSITION, Fuzzer
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gato_ros.robot import load_robot
from gato_ros.safety import Joints, SafetyGate
from gato_ros.safety.guard import Guard, GuardSettings
from gato_ros.safety.machine import State
from gato_ros.safety.workspace import Workspace

ROBOT = load_robot('panda_sim')
N = len(ROBOT.joints)
SLEW = np.array([j.slew for j in ROBOT.joints])
HOME = np.array([0.0, -0.275, 0.0, -2.59, 0.0, 2.314, 0.785, 0.03])
TICK_S, ARM = 0.005, slice(0, N - 1)


class Bench:
    """A guard with everything around it: joint states, heartbeats and proposals at their rates."""

    def __init__(self, robot=ROBOT, **settings) -> None:
        self.robot, self.guard = robot, Guard(robot, GuardSettings(**settings))
        self.now_s, self.silent = 100.0, set()
        self.positions, self.velocities = HOME.copy(), np.zeros(N)
        self.effort = np.zeros(N)
        self.ages: dict[str, float] = {}
        self.stamp_shift_ns = 0
        self.wire: list[np.ndarray] = []
        self.ticks = 0

    def run(self, seconds: float):
        """Pass time; return the last command."""
        command = None
        for _ in range(max(1, round(seconds / TICK_S))):
            self.now_s += TICK_S
            self.ticks += 1
            stamp_ns = round(self.now_s * 1e9)
            if 'joints' not in self.silent:
                self.guard.observe(Joints(self.positions.copy(), self.velocities.copy()),
                                   stamp_ns + self.stamp_shift_ns, self.now_s)
                self.positions = self.positions + 1e-9  # a real encoder is never quite still
            if 'heartbeat' not in self.silent and self.ticks % 4 == 0:
                self.guard.beat('', self.ages, self.now_s)
            if 'policy' not in self.silent and self.ticks % 10 == 0:
                answer = self.guard.propose(self.effort, stamp_ns, self.now_s)
                self.wire += [] if answer.refused else [answer.effort]
            command = self.guard.tick(self.now_s)
            self.wire.append(command.effort)
            if self.robot.interface == 'position':  # a servo that follows at once
                self.positions = command.effort + 1e-9
        return command

    def enabled(self) -> Bench:
        self.run(0.1)
        assert self.guard.enable(self.now_s) == ''
        self.run(0.1)
        return self


def test_nothing_moves_before_it_is_enabled() -> None:
    bench = Bench()
    bench.effort[:] = 3.0
    bench.run(0.5)
    assert bench.guard.state is State.READY and not np.any(bench.wire)
    assert bench.guard.enable(bench.now_s) == ''
    assert (bench.run(0.2).effort == 3.0).all()


def test_enabling_is_refused_while_an_input_is_missing_and_says_which() -> None:
    bench = Bench()
    bench.silent.add('heartbeat')
    bench.run(0.2)
    assert bench.guard.state is State.DISABLED
    assert 'disabled, expected ready' in bench.guard.enable(bench.now_s)
    assert 'policy/heartbeat: nothing has arrived' in bench.guard.problem(bench.now_s)


FAULTS = {
    'a silent policy': (lambda b: b.silent.add('policy'), 'no proposal for'),
    'a silent heartbeat': (lambda b: b.silent.add('heartbeat'), 'policy/heartbeat: nothing new'),
    'silent joints': (lambda b: b.silent.add('joints'), 'joint_states: nothing new'),
    'an old camera': (lambda b: b.ages.update({'camera/front/image_raw': 0.2}),
                      'camera/front/image_raw: the policy last saw it 0.200 s ago'),
    'an age that is no number': (lambda b: b.ages.update({'camera/front/image_raw': math.nan}),
                                 'camera/front/image_raw: the policy last saw it nan s ago'),
    'an age of what it does not know': (lambda b: b.ages.update({'elsewhere': math.nan}),
                                        'elsewhere: the policy last saw it nan s ago'),
    'a value that is no number': (lambda b: b.effort.__setitem__(2, math.nan),
                                  'panda_joint3 is nan'),
    'a runaway joint': (lambda b: b.velocities.__setitem__(1, 3.0), 'panda_joint2 moves at 3'),
    'a tool outside its box': (lambda b: b.positions.__setitem__(1, 1.2), 'the tool is at'),
    'stamps of tomorrow': (lambda b: setattr(b, 'stamp_shift_ns', 3600 * 10**9),
                           'joint_states: the stamps jump ahead by 3600'),
    'stamps of yesterday': (lambda b: setattr(b, 'stamp_shift_ns', -3600 * 10**9),
                            'joint_states: the stamps jump back by 3599'),
    'joints that stand still in flight': (lambda b: b.velocities.__setitem__(1, 0.5),
                                          'joint_states: the same positions'),
    'somebody else on the wire': (lambda b: setattr(b.guard, 'trouble', '2 nodes publish'),
                                  '2 nodes publish'),
}


@pytest.mark.parametrize('name', FAULTS)
def test_every_fault_stops_is_named_and_stays_until_it_is_cleared(name: str) -> None:
    cause, words = FAULTS[name]
    bench = Bench()
    bench.effort[:] = 2.0
    bench.enabled()
    saved = {key: (value.copy() if hasattr(value, 'copy') else value)
             for key, value in vars(bench).items() if key not in ('guard', 'wire', 'robot')}
    cause(bench)
    if 'in flight' in name:
        bench.positions.setflags(write=False)
        bench.positions = _Stuck(bench.positions)
    command = bench.run(0.7 if 'runaway' in name else 0.3)
    assert bench.guard.state is State.FAULT and words in bench.guard.machine.fault
    assert command.effort[-1] == 2.0  # the grip stays
    if 'runaway' in name:
        assert command.effort[1] == -30.0  # it brakes
    else:
        assert (command.effort[ARM] == 0).all()
    assert words in command.reasons[0]
    bench.run(0.05)
    assert bench.guard.clear(bench.now_s) != ''  # it still lasts
    now_s, ticks = bench.now_s, bench.ticks
    vars(bench).update(saved)
    bench.now_s, bench.ticks, bench.guard.trouble = now_s, ticks, ''
    bench.run(2.5)
    assert bench.guard.state is State.FAULT  # it has ended, and is still remembered
    assert 'expected ready' in bench.guard.enable(bench.now_s)
    assert bench.guard.clear(bench.now_s) == ''
    bench.run(0.1)
    assert bench.guard.enable(bench.now_s) == ''
    assert (bench.run(0.2).effort == 2.0).all()


class _Stuck(np.ndarray):
    """Positions that do not change when something is added to them."""

    def __new__(cls, values):
        return np.asarray(values).view(cls)

    def __add__(self, _):
        return self


def test_the_gates_own_pause_is_a_fault() -> None:
    bench = Bench()
    bench.enabled()
    bench.now_s += 1.0
    bench.run(0.1)
    assert 'the gate itself stood still for 1.0' in bench.guard.machine.fault


def test_a_stop_is_no_fault_and_needs_a_new_enable() -> None:
    bench = Bench()
    bench.effort[:] = 2.0
    bench.enabled()
    assert bench.guard.stop(bench.now_s) == ''
    command = bench.run(0.1)
    assert bench.guard.state is State.READY and (command.effort[ARM] == 0).all()
    assert 'expected fault' in bench.guard.clear(bench.now_s)
    assert bench.guard.enable(bench.now_s) == ''


def test_a_stop_that_ramps_keeps_to_the_slew_rate() -> None:
    bench = Bench()
    bench.effort = ROBOT.scale.copy()
    bench.enabled()
    bench.wire.clear()
    bench.guard.stop(bench.now_s)
    bench.run(0.1)
    steps = np.abs(np.diff([c[ARM] for c in bench.wire], axis=0))
    assert (steps <= SLEW[ARM] * TICK_S + 1e-9).all()
    assert steps.max() > 1.0 and (bench.wire[-1][ARM] == 0).all()


def test_slew_counts_from_when_the_last_command_has_left() -> None:
    """One that was published late must not be followed by a large step a moment later."""
    bench = Bench()
    bench.enabled()
    bench.effort = ROBOT.scale.copy()
    bench.run(0.05)
    before = bench.guard.tick(bench.now_s + 0.005).effort
    bench.guard.left(bench.now_s + 0.034)
    bench.guard.propose(-ROBOT.scale, round((bench.now_s + 0.036) * 1e9), bench.now_s + 0.036)
    step = np.abs(bench.guard.tick(bench.now_s + 0.036).effort - before)
    assert (step <= SLEW * 0.002 + 1e-9).all() and step.max() > 0


def test_a_stop_that_holds_pushes_back_to_where_it_began() -> None:
    bench = Bench(stop='hold')
    bench.effort[:] = 2.0
    bench.enabled()
    bench.guard.stop(bench.now_s)
    bench.run(0.2)
    bench.positions[1] += 0.1
    pushed = bench.run(0.2).effort
    assert pushed[1] == pytest.approx(-15.0, abs=1e-3) and abs(pushed[0]) < 1e-3


def test_a_gate_that_damps_opposes_motion_always() -> None:
    bench = Bench(dataclasses.replace(ROBOT, damped_by='gate', joints=tuple(
        dataclasses.replace(joint, inertia=100.0) for joint in ROBOT.joints)))
    bench.velocities[0] = 0.2
    command = bench.run(0.2)
    assert command.effort[0] == pytest.approx(-6.0) and abs(command.residual[0]) < 1e-9
    bench.effort[:] = 2.0
    bench.enabled()
    assert bench.run(0.2).effort[0] == pytest.approx(-4.0)
    assert bench.run(0.1).residual[0] == pytest.approx(2.0)


def test_blend_scales_what_moves_the_arm() -> None:
    bench = Bench(blend=0.25)
    bench.effort[:] = 4.0
    bench.enabled()
    command = bench.run(0.1)
    assert (command.effort == 1.0).all() and 'blend: 0.25' in command.reasons[0]


def test_a_position_arm_starts_where_it_is_and_stops_where_it_stops() -> None:
    robot = dataclasses.replace(ROBOT, interface='position', workspace=None, joints=tuple(
        dataclasses.replace(j, slew=0.5) for j in ROBOT.joints))
    bench = Bench(robot)
    bench.effort = HOME + 0.2
    bench.enabled()
    moving = bench.run(0.1).effort
    assert (moving > HOME + 0.02)[ARM].all() and (moving < HOME + 0.15)[ARM].all()
    bench.guard.stop(bench.now_s)
    assert np.abs(bench.run(0.3).effort - moving).max() < 0.01
    steps = np.abs(np.diff(bench.wire[40:], axis=0)).max()
    assert steps <= 0.5 * TICK_S + 1e-9


def test_a_position_arm_enabled_before_its_first_command_stays_where_it_is() -> None:
    guard = Guard(dataclasses.replace(ROBOT, interface='position', workspace=None),
                  GuardSettings())
    guard.observe(Joints(HOME, np.zeros(N)), 10**9, 1.0)
    guard.beat('', {}, 1.0)
    guard.propose(HOME, 10**9, 1.0)
    assert guard.enable(1.0) == ''
    assert np.array_equal(guard.tick(1.0).effort, HOME)


def test_near_a_limit_a_push_outward_is_removed_and_inward_passes() -> None:
    def at(joint_1: float) -> Joints:
        return Joints(np.array([joint_1, *HOME[1:]]), np.zeros(N))

    gate, still = SafetyGate(ROBOT), at(2.8973 - 0.04)
    outward = gate.check(np.eye(N)[0] * 5.0, 0.05, still)
    assert outward.effort[0] == 0.0 and 'near a limit' in outward.reasons[0]
    assert gate.check(np.eye(N)[0] * -5.0, 0.05, still).effort[0] == -5.0
    half_way = at(2.8973 - 0.075)  # through the fade
    assert gate.check(np.eye(N)[0] * 30.0, 0.05, half_way).effort[0] == pytest.approx(15.0)


def test_above_the_speed_limit_the_command_brakes() -> None:
    gate = SafetyGate(ROBOT)
    fast = Joints(HOME, np.array([2.4, *[0.0] * (N - 1)]))
    assert gate.check(np.eye(N)[0] * 30.0, 0.05, fast).effort[0] == -30.0
    at_limit = Joints(HOME, np.array([2.175, *[0.0] * (N - 1)]))
    gate = SafetyGate(ROBOT)
    assert gate.check(np.eye(N)[0] * 30.0, 0.05, at_limit).effort[0] == pytest.approx(0.0)


def test_the_workspace_takes_only_what_pushes_the_tool_out() -> None:
    box = dataclasses.replace(ROBOT.workspace, low=(0.05, -0.7, float(
        Workspace(ROBOT).tool(HOME)[2]) - 0.01))
    workspace = Workspace(dataclasses.replace(ROBOT, workspace=box))
    down = -workspace.jacobian(HOME)[2] * 10.0
    left = workspace.inward(down, HOME)
    assert workspace.jacobian(HOME)[2] @ left == pytest.approx(0.0, abs=1e-9)
    assert np.array_equal(workspace.inward(-down, HOME), -down)
    turn = np.eye(N)[0] * 5.0  # joint 1 does not change the height
    assert np.allclose(workspace.inward(turn, HOME), turn)


def test_nominal_torques_pass_as_they_always_did() -> None:
    """What the gate did before it knew of states: clip to the scale, then to the slew rate."""
    rng, gate, sent = np.random.default_rng(0), SafetyGate(ROBOT), np.zeros(N)
    scale, effort = ROBOT.scale, np.zeros(N)
    for _ in range(2000):
        effort = effort + rng.normal(0.0, 0.3, N) * scale
        limited = np.clip(effort, -scale, scale)
        sent = np.clip(limited, sent - SLEW * 0.05, sent + SLEW * 0.05)
        assert np.array_equal(gate.check(effort, 0.05).effort, sent)
        effort = np.clip(effort, -1.5 * scale, 1.5 * scale)


@pytest.mark.parametrize('robot', ['panda_sim', 'fr3', 'ur5e', POSITION])
def test_whatever_comes_the_wire_stays_within_its_limits(robot: str) -> None:
    fuzzer = Fuzzer(robot, seed=1)
    fuzzer.run(6_000)
    # Else it has tried nothing; an arm that goes to positions is at rest at once.
    assert set(State) - set(fuzzer.visited) <= ({State.STOPPING} if robot == POSITION else set())


class Operator(RuleBasedStateMachine):
    """Any order of requests, faults and time; what is promised holds after each."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.bench.effort[:] = 2.0
        self.may_move = False  # an enable was granted, and nothing has gone wrong since
        self.lost_s = 0.0

    @rule(seconds=st.sampled_from([0.005, 0.05, 0.25]))
    def wait(self, seconds: float) -> None:
        self.bench.run(seconds)
        self.lost_s = self.lost_s + seconds if self.bench.silent else 0.0
        enabled = self.bench.guard.state is State.ENABLED
        assert self.may_move or not enabled  # it never enables itself
        assert self.lost_s < 0.15 or not enabled  # and never moves long without an input
        self.may_move = enabled

    @rule()
    def enable(self) -> None:
        before = self.bench.guard.state
        granted = self.bench.guard.enable(self.bench.now_s) == ''
        assert not granted or before in (State.READY, State.DISABLED)
        assert not granted or not self.bench.guard.problem(self.bench.now_s)
        self.may_move |= granted

    @rule()
    def stop(self) -> None:
        assert self.bench.guard.stop(self.bench.now_s) == ''
        assert self.bench.guard.state is not State.ENABLED
        self.may_move = False

    @rule()
    def clear(self) -> None:
        before = self.bench.guard.state
        granted = self.bench.guard.clear(self.bench.now_s) == ''
        assert not granted or before is State.FAULT
        assert self.bench.guard.state is not State.ENABLED or before is State.ENABLED

    @rule(source=st.sampled_from(['joints', 'heartbeat', 'policy']))
    def lose(self, source: str) -> None:
        self.bench.silent.add(source)

    @precondition(lambda self: self.bench.silent)
    @rule()
    def restore(self) -> None:
        self.bench.silent.clear()
        self.lost_s = 0.0

    @rule()
    def nonsense(self) -> None:
        self.bench.guard.propose([math.inf] * N, round(self.bench.now_s * 1e9), self.bench.now_s)
        assert self.bench.guard.state is not State.ENABLED
        self.may_move = False

    @invariant()
    def only_an_enabled_gate_follows(self) -> None:
        state = self.bench.guard.state
        if state is State.ENABLED:
            assert self.may_move
        elif state is not State.STOPPING and self.bench.wire:
            assert (self.bench.guard.gate.sent[ARM] == 0).all()
        assert (state is State.FAULT) <= bool(self.bench.guard.machine.fault)

    @invariant()
    def the_wire_never_jumps(self) -> None:
        if len(self.bench.wire) > 1:
            steps = np.abs(np.diff(self.bench.wire[-600:], axis=0))
            assert (steps <= SLEW * TICK_S + 1e-9).all()


TestOperator = Operator.TestCase
TestOperator.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
