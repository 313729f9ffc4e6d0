"""The safety node as a process: what reaches the wire, and what happens when nobody proposes."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_bench import Bench, Processes, until
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from gato_ros.nodes.common import convert, qos
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
NAMES = list(ROBOT.joint_names)
PROPOSER = str(Path(__file__).parents[1] / 'helpers' / 'proposer.py')


class Wire:
    """The safety node and everything that it says."""

    def __init__(self, bench: Bench, processes: Processes, **parameters: object) -> None:
        self.arm = bench.record(Float64MultiArray, 'effort_controller/commands', qos.RECORD)
        self.gripper = bench.record(Float64MultiArray, 'gripper_controller/commands', qos.RECORD)
        self.sent = bench.record(JointState, 'sent_effort', qos.EVENTS)
        self.said = bench.record(DiagnosticArray, '/diagnostics', qos.EVENTS)
        self.process = processes.node('safety_node', **{'simulation': True, **parameters})
        self._publisher = bench.publisher(JointState, 'proposed_effort', qos.COMMAND)
        until(lambda: self.arm and self._publisher.get_subscription_count(), what='safety node')

    def propose(self, effort: list[float], stamp_ms: int, names: list[str] = NAMES) -> JointState:
        """Publish a proposal and return the answer to it."""
        msg = convert.from_effort(names, np.array(effort), stamp_ms * 1_000_000)
        before = len(self.sent)
        self._publisher.publish(msg)
        answer = until(lambda: self.sent[before:], what='answer')[0][1]
        assert answer.header.stamp == msg.header.stamp
        return answer

    def status(self, level: bytes) -> DiagnosticStatus:
        """Wait for a status of this level."""
        return until(lambda: [s for _, m in self.said for s in m.status if s.level == level],
                     what=f'level {level!r}')[-1]


def test_a_good_proposal_goes_to_each_controller(bench: Bench, processes: Processes) -> None:
    wire = Wire(bench, processes)
    effort = [float(i) for i in range(1, 9)]
    order = [3, 7, 0, 1, 2, 4, 5, 6]
    answer = wire.propose([effort[i] for i in order], 50, [NAMES[i] for i in order])
    assert list(answer.name) == NAMES and list(answer.effort) == effort[:4] + [5.0, 6.0, 5.0, 8.0]
    until(lambda: any(list(m.data) == list(answer.effort)[:7] for _, m in wire.arm))
    until(lambda: any(list(m.data) == [8.0] for _, m in wire.gripper))
    status = wire.status(DiagnosticStatus.WARN)
    assert 'panda_joint7: 7 exceeds the scale 5' in status.message


@pytest.mark.parametrize(('effort', 'names', 'words'), [
    ([math.nan] + [1.0] * 7, NAMES, 'panda_joint1 is nan'),
    ([1.0] * 7, NAMES[:7], 'panda_finger_joint1 missing'),
    ([1.0] * 8, [*NAMES[:7], 'elbow'], 'elbow unknown'),
    ([1.0] * 7, NAMES, '7 values of effort'),
])
def test_a_bad_proposal_never_reaches_the_wire(bench: Bench, processes: Processes, effort: list,
                                               names: list, words: str) -> None:
    wire = Wire(bench, processes)
    answer = wire.propose(effort, 50, names)
    assert list(answer.effort) == [0.0] * 8
    status = wire.status(DiagnosticStatus.ERROR)
    assert words in status.message
    assert {v.key: v.value for v in status.values}['refused'] == '1'
    count = len(wire.arm)
    until(lambda: len(wire.arm) > count + 10)
    assert all(value == 0.0 for _, m in wire.arm + wire.gripper for value in m.data)
    assert list(wire.propose([2.0] * 8, 100).effort) == [2.0] * 8  # and it recovers


def test_a_repeated_proposal_gets_the_same_answer_and_no_new_lease(bench: Bench,
                                                                   processes: Processes) -> None:
    wire = Wire(bench, processes)
    first = wire.propose([2.0] * 8, 50)
    assert wire.propose([3.0] * 8, 50) == first
    stopped = until(lambda: [t for t, m in wire.arm[-3:] if list(m.data) == [0.0] * 7])
    assert stopped


def test_a_jump_back_in_time_starts_from_the_stop_command(bench: Bench,
                                                          processes: Processes) -> None:
    wire = Wire(bench, processes, lock_step=True)
    wire.propose([30.0] * 4 + [8.0, 8.0, 5.0, 20.0], 5000)
    # Without the jump a slew of 50 Nm in a period would allow -20 only.
    assert wire.propose([-30.0] * 4 + [0.0] * 4, 50).effort[0] == -30.0


def test_a_killed_proposer_stops_the_arm_in_time(bench: Bench, processes: Processes) -> None:
    wire = Wire(bench, processes)

    def seconds_to_stop() -> float:
        proposer = processes.start(PROPOSER, '3.0', '-20.0')
        until(lambda: wire.arm[-1][1].data[0] == 3.0 and wire.gripper[-1][1].data[0] == -20.0)
        killed = time.monotonic()
        proposer.send_signal(signal.SIGKILL)
        until(lambda: wire.arm[-1][1].data[0] == 0.0, what='stop command')
        return next(t for t, m in wire.arm if t > killed and m.data[0] == 0.0) - killed

    # Three trials, for other work on the machine may delay all processes of one.
    assert any(seconds_to_stop() < 0.2 for _ in range(3))
    assert 'no proposal for' in wire.status(DiagnosticStatus.ERROR).message
    assert wire.gripper[-1][1].data[0] == -20.0  # it still holds the block
    count = len(wire.arm)
    until(lambda: len(wire.arm) > count + 20)  # and the stop is repeated
    assert all(m.data[0] == 0.0 for _, m in wire.arm[count:])


def test_on_sigterm_the_last_word_is_the_stop_command(bench: Bench, processes: Processes) -> None:
    wire = Wire(bench, processes, lock_step=True)
    wire.propose([3.0] * 8, 50)
    until(lambda: wire.arm[-1][1].data[0] == 3.0)
    wire.process.send_signal(signal.SIGTERM)
    assert wire.process.wait(timeout=20) == 0
    until(lambda: wire.arm[-1][1].data[0] == 0.0, what='stop command')


def test_no_torch_in_the_safety_process(bench: Bench, processes: Processes) -> None:
    wire = Wire(bench, processes)
    assert 'torch' not in Path(f'/proc/{wire.process.pid}/maps').read_text()
    code = 'import sys, gato_ros.nodes.safety.safety_node; sys.exit("torch" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_a_bad_parameter_is_one_sentence(processes: Processes) -> None:
    process = processes.node('safety_node', stale_periods=0.5)
    assert process.wait(timeout=30) == 1
    words = process.log.read_text()
    assert "parameter 'stale_periods' is 0.5, expected a number with a point from 1.0" in words
    assert 'Traceback' not in words
