"""Two drivers on a topic, messages that overtake: live, recorder and file judge them alike.

(The live half is in test/ros/common/test_inputs.py and test_faults.py.)
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mcap_ros2._dynamic import serialize_dynamic
from recordings import MS, ROBOT, SENTENCE, header, messages, write

from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.definitions import DEFINITIONS, JOINTS
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.session import Session
from gato_ros.messages import ConvertError, concerns, joint_values, to_effort

Row = tuple[str, int, str, dict[str, Any]]


def other(ms: float, lead_ms: float) -> Row:
    """Return a gripper's joint state, whose clock leads by so much."""
    return ('/joint_states', round(ms), JOINTS, {
        'header': header(max(0.0, ms + lead_ms)), 'name': ['other_gripper'], 'position': [0.5]})


def beside(lead_ms: float) -> list[Row]:
    """Return the recording of an arm and of a gripper that is no part of the robot."""
    return [row for own in messages() for row in (
        (own, other(own[1], lead_ms)) if own[2] == JOINTS and 'joint_states' in own[0]
        else (own,))]


def overtaken(by_ms: int) -> list[Row]:
    """Return it with a joint state between two steps that comes behind a newer one."""
    rows = messages()
    late = next(row for row in rows if 'joint_states' in row[0] and row[1] == 1100)
    place = next(i for i, row in enumerate(rows) if 'joint_states' in row[0] and row[1] == 1150)
    extra = {**late[3], 'header': header(1150 - by_ms), 'position': [9.0] * 8}
    return [*rows[:place + 1], (late[0], 1150, JOINTS, extra), *rows[place + 1:]]


def recorder_says(rows: list[Row], folder: Path) -> str:
    encoders = {kind: serialize_dynamic(kind, text)[kind] for kind, text in DEFINITIONS.items()}
    session = Session(ROBOT, folder, {}, min_free_mb=1)
    session.start(SENTENCE)
    for topic, ms, kind, msg in rows:
        if why := session.write(topic.strip('/'), ms * MS, encoders[kind](msg)):
            return why
    return session.save('success').refusal


@pytest.mark.parametrize('lead_ms', [-2, 0, 2, -900, 10**6])
def test_a_second_driver_makes_no_difference(tmp_path: Path, lead_ms: int) -> None:
    rows = beside(lead_ms)
    assert recorder_says(rows, tmp_path / 'demos') == ''
    found = read_demonstration(write(tmp_path / 'bag.mcap', rows), ROBOT)
    plain = read_demonstration(write(tmp_path / 'plain.mcap'), ROBOT)
    for (seen, effort), (wanted, sent) in zip(found.steps, plain.steps, strict=True):
        assert np.array_equal(effort, sent)
        for name, value in wanted.proprioception.items():
            assert np.array_equal(seen.proprioception[name], value)


@pytest.mark.parametrize(('by_ms', 'new_time'), [(1, False), (49, False), (50, True), (60, True)])
def test_a_little_disorder_is_put_in_order_and_more_is_another_time(
        tmp_path: Path, by_ms: int, new_time: bool) -> None:
    """The bound is max_skew_s, here 50 ms."""
    rows = overtaken(by_ms)
    assert bool(recorder_says(rows, tmp_path / 'demos')) == new_time
    file = write(tmp_path / 'bag.mcap', rows)
    if new_time:
        with pytest.raises(BagError, match='goes back'):
            read_demonstration(file, ROBOT)
        return
    found = read_demonstration(file, ROBOT)
    plain = read_demonstration(write(tmp_path / 'plain.mcap'), ROBOT)
    assert [seen.stamp_ns for seen, _ in found.steps] == [s.stamp_ns for s, _ in plain.steps]
    assert found.steps[3][0].proprioception.keys() == plain.steps[3][0].proprioception.keys()
    for (seen, _), (wanted, _) in zip(found.steps, plain.steps, strict=True):
        assert all(np.array_equal(seen.proprioception[name], value)
                   for name, value in wanted.proprioception.items())


@pytest.mark.parametrize('names', [
    ['panda_joint1'] * 5000, ['a'] * 100_000, [f'joint{i}' for i in range(50_000)],
    ['x' * 1_000_000]], ids=['one name', 'a foreign one', 'many', 'a long one'])
def test_names_cost_no_more_than_their_length_and_are_not_repeated_in_full(
        names: list[str]) -> None:
    msg = SimpleNamespace(name=names, position=[0.0] * len(names), velocity=[], effort=[])
    began = time.perf_counter()
    concerns(msg, ROBOT)
    for judge in (lambda: joint_values(msg, ROBOT.joint_names, 'position', 'joint_states'),
                  lambda: to_effort(msg, ROBOT, 'proposed_effort')):
        with pytest.raises(ConvertError) as refusal:
            judge()
        assert len(str(refusal.value)) < 800
    assert time.perf_counter() - began < 2.0  # it was 0.55 s for 5,000; quadratic is minutes
