"""Faults in a running graph of real processes, seen on the wire; `make faults` runs the long half.

GATO_KILLS=100 sets how often the policy is killed; the figures are printed.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from plant import ACTIVATE, ARM, CONFIGURE, DEACTIVATE, ROBOT, SLOW, WAVING, Plant
from ros_bench import Bench, Processes, until
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from gato_ros.nodes.common import convert, qos

pytestmark = pytest.mark.sim
KILLS = int(os.environ.get('GATO_KILLS', '2'))
HOUR_NS = 3600 * 10**9


def report(name: str, seconds: list[float]) -> None:
    ms = np.sort(seconds) * 1e3
    print(f'{name}: n = {len(ms)}, p50 {np.percentile(ms, 50):.0f} ms, p100 {ms[-1]:.0f} ms; '
          f'the last {ms[-5:].round()}')


def in_time(seconds: list[float]) -> bool:
    """Whether the arm stood within 100 ms: every time on a quiet machine, mostly on any other."""
    return (max(seconds) if SLOW == 1 else float(np.median(seconds))) < 0.1 * SLOW


def test_a_killed_policy_stops_the_arm_every_time(bench: Bench, processes: Processes) -> None:
    plant = Plant(bench, processes, relay=False)
    plant.recover()
    delays = []
    for index in range(KILLS):
        if index:
            plant.start_policy()
            plant.recover()
        delays.append(plant.stopped(plant.kill(plant.policy)))
        plant.policy.wait()
        plant.within_limits()
        plant.forget()
    report('kill -9 of the policy, until zero is on the wire', delays)
    assert in_time(delays)
    plant.start_policy()
    plant.recover()


def test_a_policy_that_stands_still_stops_the_arm_and_may_go_on(bench: Bench,
                                                                 processes: Processes) -> None:
    plant = Plant(bench, processes, relay=False)
    plant.recover()
    delays = []
    for _ in range(max(1, KILLS // 5)):
        moment = plant.kill(plant.policy, signal.SIGSTOP)
        delays.append(plant.stopped(moment))
        plant.named('policy/heartbeat: nothing new', moment)
        plant.kill(plant.policy, signal.SIGCONT)
        plant.recover()  # no restart: clear the fault and enable
    report('SIGSTOP of the policy, until zero is on the wire', delays)
    assert in_time(delays)


def test_lifecycle_nothing_is_proposed_unless_active(plant: Plant) -> None:
    moment = time.monotonic()
    plant.change(DEACTIVATE, 'inactive')
    plant.stopped(moment)
    plant.named('it is not active', moment)
    assert 'expected ready' in plant.enable().message
    plant.change(ACTIVATE, 'active')
    assert 'expected ready' in plant.enable().message  # the fault is remembered
    plant.recover()
    for impossible in (CONFIGURE, ACTIVATE):
        assert not plant.ask(impossible).success
    plant.recover()  # the process is still there


def each(change: Callable[[Any], Any]) -> Callable[[Any], list]:
    """Return a fault that changes every message."""
    def fault(msg: Any) -> list:
        change(msg)
        return [msg]
    return fault


def shift(ns: int) -> Callable[[Any], list]:
    return each(lambda msg: setattr(msg.header, 'stamp', convert.to_stamp(
        max(0, convert.to_ns(msg.header.stamp) + ns))))


class Freeze:
    """The first message again and again; ``stamped``: as if it were new each time."""

    def __init__(self, stamped: bool) -> None:
        self._stamped, self._first = stamped, None

    def __call__(self, msg: Any) -> list:
        stamp = msg.header.stamp
        self._first = self._first or msg
        if self._stamped:
            self._first.header.stamp = stamp
        return [self._first]


class Reorder:
    """So many messages at a time, the last of them first."""

    def __init__(self, count: int = 2) -> None:
        self._kept: list = []
        self._count = count

    def __call__(self, msg: Any) -> list:
        self._kept.append(msg)
        if len(self._kept) < self._count:
            return []
        out, self._kept = self._kept[::-1], []
        return out


def set_position(value: float) -> Callable[[Any], list]:
    return each(lambda msg: msg.position.__setitem__(2, value))


def shorten(msg: Any) -> None:
    msg.position = msg.position[:-1]


def rename(msg: Any) -> None:
    msg.name = [*msg.name[:-1], 'elbow']


FRONT = 'camera/front/image_raw'
# What is broken, how, words of the diagnostic that names it.
INPUT_FAULTS = {
    'joints dropped': ('joint_states', lambda: lambda msg: [], 'joint_states: nothing new'),
    'joints frozen': ('joint_states', lambda: Freeze(False), 'joint_states: nothing new'),
    'joints frozen, stamped anew': ('joint_states', lambda: Freeze(True),
                                    'joint_states: the same positions'),
    'joints reordered': ('joint_states', lambda: Reorder(10),
                         'joint_states: the stamps jump back'),
    'joints from the future': ('joint_states', lambda: shift(HOUR_NS),
                               'joint_states: the stamps jump ahead'),
    'joints of an hour ago': ('joint_states', lambda: shift(-HOUR_NS),
                              'joint_states: the stamps jump back'),
    'joints NaN': ('joint_states', lambda: set_position(math.nan), 'panda_joint3 is nan'),
    'joints infinite': ('joint_states', lambda: set_position(math.inf), 'panda_joint3 is inf'),
    'joints too short': ('joint_states', lambda: each(shorten), '7 values of position'),
    'joint missing': ('joint_states', lambda: each(rename), 'panda_finger_joint1 missing'),
    'camera dropped': (FRONT, lambda: lambda msg: [], f'{FRONT}: nothing new'),
    'camera frozen': (FRONT, lambda: Freeze(False), f'{FRONT}: nothing new'),
    'camera frozen, stamped anew': (FRONT, lambda: Freeze(True), f'{FRONT}: the same picture'),
    'camera reordered': (FRONT, Reorder, f'{FRONT}: the stamps jump back'),
    'camera from the future': (FRONT, lambda: shift(HOUR_NS), f'{FRONT}: the stamps jump ahead'),
    'camera of an hour ago': (FRONT, lambda: shift(-HOUR_NS), f'{FRONT}: the stamps jump back'),
    'camera of another size': (FRONT, lambda: each(lambda msg: setattr(msg, 'height', 32)),
                               'the image is 32x64'),
}
SHORT = ('joints dropped', 'joints NaN', 'joints too short', 'camera frozen',
         'camera from the future')


def check_inputs(plant: Plant, names: Any) -> None:
    """Break each input, see it stop and named, mend it, and recover by clearing the fault."""
    for name in names:
        topic, make, words = INPUT_FAULTS[name]
        moment = time.monotonic()
        plant.spoil[topic] = make()
        named, stopped = plant.named(words, moment), plant.stopped(moment)
        print(f'{name}: named after {named * 1e3:.0f} ms, zero after {stopped * 1e3:.0f} ms')
        assert named < 1.0 or SLOW > 1, 'a fault must be named within a second'
        del plant.spoil[topic]
        plant.recover()
        plant.within_limits()


def test_broken_inputs_stop_the_arm_and_are_named(plant: Plant) -> None:
    check_inputs(plant, SHORT)


@pytest.mark.faults
def test_all_broken_inputs_stop_the_arm_and_are_named(plant: Plant) -> None:
    check_inputs(plant, INPUT_FAULTS)


def test_shuffled_joints_and_repeated_messages_are_no_fault(plant: Plant) -> None:
    def shuffle(msg: Any) -> list:
        order = [5, 2, 7, 0, 1, 6, 4, 3]
        msg.name = [msg.name[i] for i in order]
        msg.position = [msg.position[i] for i in order]
        msg.velocity = [msg.velocity[i] for i in order]
        return [msg, msg]

    moment = time.monotonic()
    plant.spoil.update({'joint_states': shuffle, FRONT: lambda msg: [msg, msg]})
    plant.named('joint_states: a stamp came twice', moment)
    until(lambda: FRONT in plant.value('policy', 'duplicates'), what='the count of pictures')
    plant.recover()  # at once, if the machine has not been busy


def test_a_second_driver_on_joint_states_and_a_little_disorder_are_no_fault(plant: Plant) -> None:
    """A gripper's joint states between the arm's, with clocks that differ; two that overtake."""
    pairs = Reorder(2)

    def beside(msg: Any) -> list:
        out = []
        for own in pairs(msg):
            ns = convert.to_ns(own.header.stamp)
            for lead_ms in (-2, 2, -10**6, 10**6):
                other = JointState(name=['other_gripper'], position=[0.0], velocity=[0.0])
                other.header.stamp = convert.to_stamp(max(0, ns + lead_ms * 1_000_000))
                out.append(other)
            out.append(own)
        return out

    plant.spoil['joint_states'] = beside
    plant.recover()
    time.sleep(1.0 * SLOW)
    plant.wire.clear()
    plant.said.clear()
    until(lambda: plant.state() in ('enabled', 'fault') and len(plant.said) > 5, what='a report')
    assert not any('jump' in s.message for _, m in plant.said for s in m.status)


def test_a_second_publisher_on_the_wire_is_a_fault(plant: Plant, bench: Bench) -> None:
    moment = time.monotonic()
    other = bench.publisher(Float64MultiArray, ARM, qos.COMMAND)
    plant.named(f'2 nodes publish on {ARM}', moment)
    until(lambda: plant.state() == 'fault', what='a fault')
    assert 'the fault lasts' in plant.clear().message
    bench.drop(other)
    plant.recover()


def test_a_second_policy_cannot_take_over(plant: Plant, bench: Bench) -> None:
    """Proposals with NaN, wrong lengths and old stamps between the good ones."""
    publisher = bench.publisher(JointState, 'proposed_effort', qos.COMMAND)
    until(publisher.get_subscription_count, what='the gate')
    for effort, names, shift_ns, words in (
            ([math.nan] * 8, ROBOT.joint_names, 0, 'is nan'),
            ([math.inf] * 8, ROBOT.joint_names, 0, 'is inf'),
            ([1.0] * 7, ROBOT.joint_names[:7], 0, 'panda_finger_joint1 missing'),
            ([1.0] * 8, ROBOT.joint_names, HOUR_NS, 'in the future'),
            ([1.0] * 8, ROBOT.joint_names, -HOUR_NS // 4000, 'proposed_effort: ')):
        moment = time.monotonic()
        for _ in range(20):  # the gate keeps only the newest proposal, and that may be a good one
            stamp = convert.to_ns(plant.sent[-1][1].header.stamp)
            publisher.publish(convert.from_effort(names, np.array(effort), stamp + shift_ns + 1))
            time.sleep(0.02)
        plant.named(words, moment)
        plant.stopped(moment)
        plant.recover()


def test_clock_that_jumps_ahead_and_back_stops_the_arm_twice(plant: Plant) -> None:
    """All sources at once, as after a change of the computer's clock; nothing is restarted."""
    topics = ('joint_states', *(c.topic for c in ROBOT.cameras))
    moment = time.monotonic()
    plant.spoil.update((topic, shift(HOUR_NS)) for topic in topics)
    plant.named('joint_states: the stamps jump ahead by 3', moment)
    plant.stopped(moment)
    plant.recover()  # in the new time
    moment = time.monotonic()
    plant.spoil.clear()
    plant.named('joint_states: the stamps jump back by 3', moment)
    plant.stopped(moment)
    plant.recover()


def test_limits_cut_what_a_policy_wants_too_much_of(bench: Bench, processes: Processes) -> None:
    gripper = bench.record(Float64MultiArray, 'gripper_controller/commands', qos.RECORD)
    plant = Plant(bench, processes, (WAVING, '--grip', '1000'))
    moment = time.monotonic()
    plant.recover()
    plant.named('panda_finger_joint1: 1000 exceeds the scale 20', moment)
    until(lambda: gripper[-1][1].data[0] == 20.0, what='the limit on the wire')
    assert max(abs(m.data[0]) for _, m in gripper) == 20.0
    plant.within_limits()
