"""Mailboxes, ages, which messages make one observation, and when a step may start."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import Image, JointState

from gato_ros.nodes.common import convert
from gato_ros.nodes.common.pace import Pace
from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.nodes.sensing.mailbox import Mailbox, Stale
from gato_ros.nodes.sensing.sight import REMEMBERED, StillPicture
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
MS = 1_000_000


def stamped(kind: type, ms: int) -> Image | JointState:
    msg = kind()
    msg.header.stamp = convert.to_stamp(ms * MS)
    return msg


def feed(inputs: Inputs, front: int | None = None, wrist: int | None = None,
         joints: int | None = None) -> None:
    """Put messages with these stamps in ms."""
    if joints is not None:
        inputs.put_joints(stamped(JointState, joints))
    for name, ms in (('front', front), ('wrist', wrist)):
        if ms is not None:
            inputs.put_image(name, stamped(Image, ms))


def test_a_mailbox_keeps_the_newest_and_its_age() -> None:
    box = Mailbox[str]('camera/front/image_raw', max_age_s=0.15)
    assert box.newest() is None
    with pytest.raises(Stale, match='camera/front/image_raw: nothing has arrived'):
        box.fresh()
    box.put('old', 1)
    box.put('new', 2)
    arrived = box.newest().arrived_s
    assert box.fresh(arrived + 0.149).value == 'new'
    with pytest.raises(Stale, match=r'front/image_raw: .* is 0.16 s old, .* 0.15 s \(max_age_s'):
        box.fresh(arrived + 0.16)


def test_a_mailbox_finds_former_messages_by_their_stamp() -> None:
    box = Mailbox[str]('joint_states', max_age_s=1.0, history=2)
    for stamp in range(5):
        box.put(f'message {stamp}', stamp)
    assert box.at(3).value == 'message 3'
    assert box.at(1) is None


def test_a_backward_jump_is_told_and_forgets_the_other_time() -> None:
    box = Mailbox[str]('joint_states', max_age_s=1.0, history=4)
    assert [box.put(str(s), s) for s in (5, 6, 6, 1, 2)] == [False, False, False, True, False]
    assert box.at(6) is None and box.at(1) is not None


def test_an_observation_takes_the_joint_state_of_its_pictures() -> None:
    inputs = Inputs(ROBOT)
    feed(inputs, joints=40)
    feed(inputs, front=50, wrist=50, joints=50)
    feed(inputs, joints=60)
    snapshot = inputs.pick()
    assert snapshot.simultaneous and snapshot.joints.stamp_ns == 50 * MS
    inputs.use(snapshot)
    feed(inputs, joints=70)
    assert inputs.pick() is None  # no new picture
    feed(inputs, front=100, joints=100)
    assert inputs.pick() is None  # only one
    feed(inputs, wrist=100)
    assert inputs.pick().stamp_ns == 100 * MS


def test_pictures_of_unequal_stamps_are_taken_after_a_moment() -> None:
    inputs = Inputs(ROBOT, settle_s=0.02)
    feed(inputs, joints=45, front=40, wrist=52)
    assert inputs.pick() is None
    time.sleep(0.025)
    snapshot = inputs.pick()
    assert snapshot.stamp_ns == 40 * MS and snapshot.joints.stamp_ns == 45 * MS


def test_a_picture_far_from_the_joint_state_is_refused() -> None:
    inputs = Inputs(ROBOT, settle_s=0.0)
    feed(inputs, joints=1000, front=1000, wrist=700)
    with pytest.raises(Stale, match=r'camera/wrist/image_raw: .*-0.30 s from joint_states'):
        inputs.pick()


def test_in_lock_step_all_stamps_must_agree() -> None:
    inputs = Inputs(ROBOT, lock_step=True, settle_s=0.0)
    feed(inputs, joints=50, front=50, wrist=100)
    assert inputs.pick() is None
    feed(inputs, joints=100, front=100)
    assert inputs.pick().stamp_ns == 100 * MS


def test_a_reset_of_time_is_told_and_the_new_time_is_answered() -> None:
    inputs = Inputs(ROBOT, lock_step=True)
    feed(inputs, joints=900, front=900, wrist=900)
    old = inputs.pick()
    feed(inputs, joints=50, front=50)
    inputs.use(old)  # a worker may be late
    assert inputs.pick() is None  # the wrist's picture is of the other time
    feed(inputs, wrist=50)
    new = inputs.pick()
    assert new.stamp_ns == 50 * MS and new.epoch != old.epoch


def test_an_answered_message_that_comes_again_is_told() -> None:
    inputs = Inputs(ROBOT)
    feed(inputs, joints=50, front=50, wrist=50)
    feed(inputs, front=50)
    assert not inputs.take_repeat()
    inputs.use(inputs.pick())
    feed(inputs, front=50)
    assert inputs.take_repeat() and not inputs.take_repeat()


@pytest.mark.parametrize('lead_ms', [-20, -2, 0, 2, 10_000])
def test_another_driver_on_joint_states_is_passed_over(lead_ms: int) -> None:
    """A gripper that is no part of the robot, 2 ms beside the arm, or with a clock of its own."""
    inputs = Inputs(ROBOT, settle_s=0.0)
    epochs = set()
    for period in range(1, 21):
        ms = 50 * period
        for at in range(ms - 40, ms + 10, 10):
            arm = convert.from_joints(ROBOT.joint_names, np.zeros(8), np.zeros(8), at * MS)
            other = convert.from_joints(['other_gripper'], np.zeros(1), np.zeros(1),
                                        max(0, at + lead_ms) * MS)
            inputs.put_joints(arm)
            inputs.put_joints(other)
        feed(inputs, front=ms, wrist=ms)
        snapshot = inputs.pick()
        assert list(snapshot.joints.value.name) == list(ROBOT.joint_names)
        assert snapshot.joints.stamp_ns == ms * MS
        epochs.add(snapshot.epoch)
        inputs.use(snapshot)
    assert len(epochs) == 1 and 'jump' not in inputs.problem()


def test_messages_that_overtake_each_other_are_put_in_order() -> None:
    inputs = Inputs(ROBOT, settle_s=0.0)
    for ms in (50, 49, 70, 60, 80):
        feed(inputs, joints=ms)
    feed(inputs, front=60, wrist=60)
    snapshot = inputs.pick()
    assert snapshot.joints.stamp_ns == 60 * MS and snapshot.epoch == 0
    assert 'jump' not in inputs.problem()
    feed(inputs, joints=30)  # 50 ms before the newest: another time
    assert inputs.pick() is None or inputs.pick().epoch == 1
    assert 'joint_states: the stamps jump back by 0.050 s' in inputs.problem()


def run_pace(arrivals: list[tuple[float, float]], busy_s: float = 0.01) -> tuple[list, int]:
    """Answer observations (stamp s, arrival s), newest first; return start times and skips."""
    pace, now, last, starts, skipped = Pace(20.0), 0.0, None, [], 0
    while True:
        known = [a for a in arrivals if a[1] <= now]
        later = [a[1] for a in arrivals if a[1] > now]
        stamp = known[-1][0] if known else None
        if stamp is None or stamp == last:
            if not later:
                return starts, skipped
            now = later[0]
            continue
        wait = pace.wait_s(round(stamp * 1e9), now)
        if wait > 1e-9:
            now = min([now + wait, *later[:1]])
            continue
        skipped += pace.start(round(stamp * 1e9), now)
        starts.append(now)
        last = stamp
        now += busy_s


@settings(deadline=None)  # other work on the machine is no fault
@given(st.lists(st.floats(0.0, 0.02), min_size=40, max_size=40))
def test_a_source_at_the_control_rate_is_answered_at_once(jitter: list[float]) -> None:
    arrivals = [(i * 0.05, i * 0.05 + delay) for i, delay in enumerate(jitter)]
    starts, skipped = run_pace(arrivals)
    assert starts == [a for _, a in arrivals] and skipped == 0


@pytest.mark.parametrize('rate', [25.0, 30.0, 60.0, 100.0])
def test_a_faster_source_is_held_to_the_control_rate(rate: float) -> None:
    starts, _ = run_pace([(i / rate, i / rate) for i in range(int(4 * rate))])
    assert 78 <= len(starts) <= 82


def test_a_slow_step_skips_whole_periods_without_a_burst() -> None:
    pace = Pace(20.0)
    pace.start(0, 0.0)
    assert pace.start(int(0.15e9), 0.16) == 2  # 0.05 and 0.10 were left out
    assert pace.wait_s(int(0.16e9), 0.17) == pytest.approx(0.03)  # the deadline of 0.20, not 0.05


def test_a_picture_is_seen_ahead_once_and_not_after_its_use() -> None:
    inputs = Inputs(ROBOT)

    def unseen() -> list[tuple[str, int]]:
        return [(sight.camera.name, convert.to_ns(sight.msg.header.stamp) // MS)
                for sight in inputs.unseen_pictures()]

    assert unseen() == []
    feed(inputs, front=1)
    assert unseen() == [('front', 1)]
    assert unseen() == []
    feed(inputs, wrist=1, joints=1)
    inputs.use(inputs.pick())
    assert unseen() == []
    feed(inputs, wrist=2)
    assert unseen() == [('wrist', 2)]


def test_a_picture_that_stays_while_the_arm_moves_is_told_and_lapses_at_rest() -> None:
    camera = StillPicture('front')
    for step in range(12):
        camera.add(b'frozen', [0.01 * step, 0.0])
    assert 'front: the same picture 12 times' in camera.problem
    for _ in range(REMEMBERED):
        camera.add(b'frozen', [0.11, 0.0])
    assert camera.problem == ''  # an arm at rest tells nothing, and the fault can be cleared
    camera.add(b'frozen', [0.17, 0.0])
    assert camera.problem
    camera.add(b'seen', [0.18, 0.0])
    assert camera.problem == ''


def test_nonsense_for_positions_is_no_motion() -> None:
    camera = StillPicture('front')
    for place in [[0.1, 0.2]] * 20 + [[float('nan'), 9.0], [float('inf'), 9.0], [0.1], []]:
        camera.add(b'dark', place)
        assert camera.problem == ''
