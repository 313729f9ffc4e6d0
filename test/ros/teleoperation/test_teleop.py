"""Teleoperation over real DDS: a person with a gamepad stacks a block; letting go is rest."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from person import plan_of
from ros_bench import Bench, Processes, ended, until
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import String

from gato_ros.episodes.episode import read_info
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.jog import ANGULAR, LINEAR, Wish
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.teleoperation.control import Control
from gato_ros.nodes.teleoperation.gamepad import EVENT, Gamepad, gamepad_wish
from gato_ros.nodes.teleoperation.keyboard import key_wish
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
SEED = 0


def joy(gap: np.ndarray, turn: float, gripper: int, held: bool = True) -> Joy:
    """Return sticks and buttons that lead there."""
    stick = np.clip(2.5 * gap / LINEAR, -1, 1)
    msg = Joy(axes=[0.0] * 8, buttons=[0] * 11)
    msg.axes[1], msg.axes[0], msg.axes[4] = (float(x) for x in stick)
    msg.axes[3] = float(np.clip(2.5 * turn / ANGULAR, -1, 1))
    for number in range(len(msg.axes)):  # a stick has a dead zone
        if abs(msg.axes[number]) > 0.002:
            msg.axes[number] = float(np.copysign(max(abs(msg.axes[number]), 0.13),
                                                 msg.axes[number]))
    msg.buttons[0], msg.buttons[1] = int(gripper < 0), int(gripper > 0)
    msg.buttons[4] = int(held)
    return msg


def positions(rows: list) -> np.ndarray:
    return convert.joint_values(rows[-1][1], ROBOT.joint_names, 'position', 'joint_states')


@pytest.mark.sim
@pytest.mark.slow
def test_a_person_stacks_a_block_and_the_recording_is_training_data(
        bench: Bench, processes: Processes, tmp_path: Path) -> None:
    joints = bench.record(JointState, 'joint_states', qos.JOINTS)
    said = bench.record(String, 'sim/episode', qos.EPISODES)
    stick = bench.publisher(Joy, 'joy', qos.COMMAND)
    processes.node('recorder_node', folder=tmp_path / 'demos', min_free_mb=1,
                   follow_simulator=True)
    processes.node('sim_node', seeds=f'[{SEED}]', time_limit_s=60.0, mode='lock_step')
    processes.node('safety_node', lock_step=True, simulation=True)
    processes.node('teleop_node', speed=1.0, command_age_s=0.3, lock_step=True)
    until(lambda: bench.found('proposed_effort', 'joint_states', 'recorder/mark') and joints,
          what='the graph')
    plan, deadline = plan_of(SEED), time.monotonic() + 150

    while not ended(said) and time.monotonic() < deadline:
        gap = plan.gap(positions(joints))
        if gap is not None:
            stick.publish(joy(gap.position, gap.turn, gap.gripper))
        time.sleep(0.02)
    assert ended(said) and ended(said)[0]['status'] == 'success', ended(said)
    file = until(lambda: next((tmp_path / 'demos').glob('*.mcap'), None), what='the recording')
    done = import_bag(file, tmp_path / 'out', ROBOT)
    info = read_info(done.file)
    assert (info.success, info.source, info.task) == (True, 'teleoperation', 'stack_wide')
    assert done.steps > 60


def test_a_button_let_go_or_not_heard_of_is_rest(bench: Bench, processes: Processes) -> None:
    """Pictures come rarely here: the answer to a button does not wait for them."""
    proposals = bench.record(JointState, 'proposed_effort', qos.EVENTS)
    images = [bench.publisher(Image, c.topic, qos.SENSORS) for c in ROBOT.cameras]
    states, stick = bench.publisher(JointState, 'joint_states', qos.SENSORS), bench.publisher(
        Joy, 'joy', qos.COMMAND)
    processes.node('teleop_node', command_age_s=0.06)
    until(lambda: bench.found('proposed_effort') and stick.get_subscription_count()
          and states.get_subscription_count(), what='teleop')
    at = np.array([0, -0.275, 0, -2.59, 0, 2.314, 0.785, 0.04])
    clock = [1_000_000_000]

    def robot(pictures: bool = False) -> None:
        clock[0] += 10_000_000
        states.publish(convert.from_joints(ROBOT.joint_names, at, np.zeros(8), clock[0]))
        if pictures:
            for image in images:
                image.publish(convert.from_image(np.zeros((64, 64, 3), np.uint8), clock[0], ''))

    def largest() -> float:
        return float(np.abs(proposals[-1][1].effort[:7]).max()) if proposals else -1.0

    def press(held: bool) -> None:
        stick.publish(joy(np.array([0.05, 0, 0]), 0.0, 0, held))

    until(lambda: robot(True) or press(True) or largest() > 1.0, what='a push')
    stamps = [convert.to_ns(msg.header.stamp) for _, msg in proposals]
    assert stamps == sorted(set(stamps))
    for let_go in (True, False):  # released, and fallen silent
        until(lambda: robot() or press(True) or largest() > 0.0, what='a push')
        if let_go:
            press(False)
        began = time.monotonic()
        until(lambda: robot() or largest() == 0.0, what='rest')
        took = proposals[-1][0] - began
        print(f'rest after {1e3 * took:.0f} ms')
        assert took < 0.5  # the bar of 0.1 s needs a quiet machine


def test_a_person_takes_over_from_a_policy_and_hands_back(
        bench: Bench, processes: Processes) -> None:
    """The robot and the policy, which proposes 2.5 Nm, are played by this test at 20 Hz."""
    proposals = bench.record(JointState, 'proposed_effort', qos.EVENTS)
    marks = bench.record(String, 'recorder/mark', qos.EVENTS)
    images = [bench.publisher(Image, c.topic, qos.SENSORS) for c in ROBOT.cameras]
    states = bench.publisher(JointState, 'joint_states', qos.SENSORS)
    policy = bench.publisher(JointState, 'policy_effort', qos.COMMAND)
    stick = bench.publisher(Joy, 'joy', qos.COMMAND)
    processes.node('teleop_node', command_age_s=0.5)
    until(lambda: all(p.get_subscription_count() for p in (*images, states, policy, stick)),
          what='teleop')
    at = np.array([0, -0.275, 0, -2.59, 0, 2.314, 0.785, 0.04])
    clock = [1_000_000_000]

    def step(held: bool) -> JointState | None:
        """Pass one period and return the newest proposal."""
        clock[0] += 50_000_000
        states.publish(convert.from_joints(ROBOT.joint_names, at, np.zeros(8), clock[0]))
        for image in images:
            image.publish(convert.from_image(np.zeros((64, 64, 3), np.uint8), clock[0], ''))
        policy.publish(convert.from_effort(ROBOT.joint_names, np.full(8, 2.5), clock[0]))
        stick.publish(joy(np.array([0.05, 0, 0]), 0.0, 0, held))
        time.sleep(0.05)
        return proposals[-1][1] if proposals else None

    def from_policy(msg: JointState | None) -> bool:
        return msg is not None and list(msg.effort) == [2.5] * 8

    def from_person(msg: JointState | None) -> bool:
        return msg is not None and 0 < msg.effort[1] != 2.5

    until(lambda: from_policy(step(held=False)), what="the policy's proposal")
    until(lambda: from_person(step(held=True)), what="the person's")
    began = len(proposals)
    for _ in range(10):
        step(held=True)
    assert len(proposals) > began and not any(from_policy(m) for _, m in proposals[began:])
    until(lambda: from_policy(step(held=False)), what="the policy's again")
    stamps = [convert.to_ns(msg.header.stamp) for _, msg in proposals]
    assert stamps == sorted(set(stamps))
    told = [json.loads(msg.data) for _, msg in marks]
    actors = [mark['actor'] for mark in told if mark['actor'] != 'rest']
    assert actors == ['policy', 'person', 'policy']
    # Which steps a person has corrected can be read from the marks alone.
    first, last = (next(m['stamp_ns'] for m in told if m['actor'] == 'person'), told[-1])
    for _, msg in proposals:
        stamp = convert.to_ns(msg.header.stamp)
        assert from_person(msg) <= (first <= stamp <= last['stamp_ns'])


def test_one_holds_control_and_the_other_is_told() -> None:
    control = Control(max_age_s=0.05)
    assert control.put('page 1', Wish(linear=(1, 0, 0))) == ''
    assert control.put('page 2', Wish()) == (
        'page 1 has control, expected nobody: it must be given back first')
    assert control.holder == 'page 1' and control.wish() == Wish(linear=(1, 0, 0))
    time.sleep(0.06)
    assert control.wish() is None and control.holder == 'page 1'  # it may come back
    control.release('page 2')
    assert control.holder == 'page 1'
    control.release('page 1')
    assert control.put('page 2', None) == '' and control.wish() is None


def test_gamepads_and_keys() -> None:
    axes, buttons = [0.0] * 8, [0] * 11
    axes[1], axes[4] = 1.0, 0.05
    assert gamepad_wish(axes, buttons, 0.5) is None  # the button is not held
    buttons[4] = 1
    assert gamepad_wish(axes, buttons, 0.5) == Wish(linear=(1, 0, 0), speed=0.5)
    buttons[5] = buttons[1] = 1
    assert gamepad_wish(axes, buttons, 0.5) == Wish(angular=(1, 0, 0), gripper=1, speed=0.5)
    assert gamepad_wish([9.0], [0] * 4 + [1], 1.0) == Wish(linear=(0, 1, 0))
    assert key_wish('r', 0.3) == Wish(linear=(0, 0, 1), speed=0.3)
    assert key_wish('c', 0.3) == Wish(gripper=-1, speed=0.3)
    assert key_wish('?', 0.3) is None


def test_a_device_is_read_and_lets_go_when_it_is_unplugged(tmp_path: Path) -> None:
    heard: list[tuple[list[float], list[int]]] = []
    device = tmp_path / 'js0'
    device.write_bytes(EVENT.pack(1, 1, 1, 4) + EVENT.pack(2, -32767, 2, 1))
    gamepad = Gamepad(device, lambda axes, buttons: heard.append((list(axes), list(buttons))))
    assert gamepad_wish(gamepad._axes, gamepad._buttons, 1.0) is None
    gamepad.start()
    gamepad.join(timeout=5)
    gamepad.poll()
    assert heard[-1][0][1] == 1.0 and not any(heard[-1][1])
