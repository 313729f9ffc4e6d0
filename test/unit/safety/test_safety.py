"""SafetyGate: whatever is proposed, what leaves is finite, within the scale and the slew rate."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_ros.config import ConfigError
from gato_ros.robot import load_robot
from gato_ros.safety import SafetyGate

ROBOT = load_robot('panda_sim')
N = len(ROBOT.joints)
SLEW = np.array([j.slew for j in ROBOT.joints])
GRIPPER = ROBOT.joint_names.index('panda_finger_joint1')

any_effort = st.lists(st.floats(width=64), min_size=N, max_size=N)
finite_effort = st.lists(st.floats(-1e9, 1e9), min_size=N, max_size=N)
intervals = st.floats(0.0, 0.2)


@settings(deadline=None)  # other work on the machine is no fault
@given(st.lists(st.tuples(any_effort, intervals), max_size=8))
def test_anything_in_only_safe_commands_out(proposals: list) -> None:
    gate = SafetyGate(ROBOT)
    for effort, dt in proposals:
        before = gate.sent
        command = gate.check(effort, dt)
        assert np.isfinite(command.effort).all()
        assert (np.abs(command.effort) <= ROBOT.scale).all()
        assert np.array_equal(gate.sent, command.effort)
        if command.refused:
            assert not np.isfinite(effort).all()
            assert (np.delete(command.effort, GRIPPER) == 0).all()
            assert command.effort[GRIPPER] == before[GRIPPER]
        else:
            assert (np.abs(command.effort - before) <= SLEW * dt + 1e-9).all()


@settings(deadline=None)  # other work on the machine is no fault
@given(finite_effort)
def test_reasons_are_given_exactly_when_something_changed(effort: list[float]) -> None:
    command = SafetyGate(ROBOT).check(effort, dt=0.01)
    changed = {ROBOT.joint_names[i] for i in range(N) if command.effort[i] != effort[i]}
    assert {reason.split(':')[0] for reason in command.reasons} == changed


@settings(deadline=None)  # other work on the machine is no fault
@given(finite_effort, finite_effort)
def test_the_slew_limit_moves_towards_the_proposal(first: list, second: list) -> None:
    gate = SafetyGate(ROBOT)
    gate.check(first, dt=0.05)
    before = gate.sent
    target = np.clip(second, -ROBOT.scale, ROBOT.scale)
    after = gate.check(second, dt=0.01).effort
    assert (np.abs(target - after) <= np.abs(target - before)).all()


def test_a_harmless_proposal_passes_bit_for_bit() -> None:
    effort = ROBOT.scale * 0.3
    command = SafetyGate(ROBOT).check(effort, dt=0.05)
    assert np.array_equal(command.effort, effort) and command.reasons == ()


@pytest.mark.parametrize(('effort', 'words'), [
    ([0.0] * (N - 1), 'shape (7,), expected (8,)'),
    ([[0.0] * N], 'shape (1, 8)'),
    ([0.0] * (N - 1) + [float('nan')], 'panda_finger_joint1 is nan'),
    ([float('-inf')] + [0.0] * (N - 1), 'panda_joint1 is -inf'),
    (['a'] * N, 'expected 8 numbers'),
])
def test_a_refusal_stops_and_says_why(effort: list, words: str) -> None:
    command = SafetyGate(ROBOT).check(effort, dt=0.05)
    assert command.refused and len(command.reasons) == 1 and words in command.reasons[0]
    assert (command.effort == 0).all()


@pytest.mark.parametrize('dt', [float('nan'), float('inf'), -0.01])
def test_a_strange_interval_is_refused(dt: float) -> None:
    assert SafetyGate(ROBOT).check(ROBOT.scale, dt).refused


def test_a_stop_is_at_once_and_keeps_the_grip() -> None:
    gate = SafetyGate(ROBOT)
    gate.check(-ROBOT.scale, dt=1.0)
    command = gate.stop('no proposal for 0.1 s')
    assert command.reasons == ('no proposal for 0.1 s',)
    assert (np.delete(command.effort, GRIPPER) == 0).all()
    assert command.effort[GRIPPER] == -ROBOT.scale[GRIPPER]


def test_after_a_stop_the_slew_starts_from_zero() -> None:
    gate = SafetyGate(ROBOT)
    gate.check(ROBOT.scale, dt=1.0)
    gate.stop('test')
    arm = np.delete(gate.check(ROBOT.scale, dt=0.001).effort, GRIPPER)
    assert np.allclose(arm, np.delete(SLEW * 0.001, GRIPPER))


def test_a_caller_cannot_change_what_the_gate_remembers() -> None:
    gate = SafetyGate(ROBOT)
    gate.check(np.zeros(N), dt=0.05).effort[:] = 99.0
    gate.sent[:] = 99.0
    assert (gate.sent == 0).all()


def test_held_controllers_can_be_chosen_and_must_exist() -> None:
    gate = SafetyGate(ROBOT, hold_controllers=())
    gate.check(ROBOT.scale, dt=1.0)
    assert (gate.stop('test').effort == 0).all()
    with pytest.raises(ConfigError, match='hand_controller'):
        SafetyGate(ROBOT, hold_controllers=('hand_controller',))


def test_the_gate_needs_neither_torch_nor_ros() -> None:
    code = ('import sys, gato_ros.safety; '
            'sys.exit(any(m in sys.modules for m in ("torch", "rclpy", "mujoco")))')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
