"""Whether a recording's time and values are sound: holes to its ends, stamps, units, drivers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recordings import (
    FRONT,
    MS,
    ROBOT,
    SENTENCE,
    START_MS,
    WRIST,
    Change,
    do_import,
    header,
    messages,
    serialised,
    write,
)

from gato_ros.episodes.recordings.bag import read_demonstration
from gato_ros.episodes.recordings.definitions import JOINTS
from gato_ros.episodes.recordings.inspect import inspect
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.episodes.recordings.session import Session
from gato_ros.robot import POSITIONS

STEPS = 40
Row = tuple[str, int, str, dict[str, Any]]


def step(ms: int) -> int:
    return (ms - START_MS) // 50


def refusal(tmp_path: Path, change: Change | None = None, rows: list[Row] | None = None) -> str:
    """Return why a recording of 40 steps is no training data."""
    file = write(tmp_path / 'demo.mcap', messages(STEPS) if rows is None else rows, change)
    with pytest.raises(BagError) as caught:
        read_demonstration(file, ROBOT)
    assert not do_not_import(file)
    return str(caught.value)


def do_not_import(file: Path) -> list[Path]:
    with pytest.raises(BagError):
        do_import(file)
    return list((file.parent / 'out').glob('*'))


def stamped(topic: str, change: Any) -> Change:
    """Return a change of one topic's stamps: ms -> ms."""
    def changed(name: str, ms: int, msg: dict[str, Any]) -> dict[str, Any]:
        return {**msg, 'header': header(change(ms))} if name == topic or not topic else msg
    return changed


def test_a_driver_that_does_not_stamp_is_named(tmp_path: Path) -> None:
    assert ('the 40 messages of camera/front/image_raw carry no stamp (0), expected header.stamp '
            'in each (set by its driver)') in refusal(tmp_path, stamped('', lambda ms: 0))
    assert '40 messages of joint_states carry no stamp' in refusal(
        tmp_path, stamped('joint_states', lambda ms: 0))


@pytest.mark.parametrize('topic', [FRONT, WRIST, 'joint_states'])
@pytest.mark.parametrize('first', [20, 36])
def test_stamps_that_stand_still_are_seen(tmp_path: Path, topic: str, first: int) -> None:
    frozen = START_MS + 50 * first
    sentence = refusal(tmp_path, stamped(topic, lambda ms: min(ms, frozen)))
    lasts = 0.05 * (STEPS - 1 - first)
    assert f'the stamps of {topic} stand still for {lasts:.3f} s while messages arrive' in sentence


def test_the_same_message_again_is_no_stamp_that_stands_still(tmp_path: Path) -> None:
    """A simulator in lock-step repeats its picture until it is answered, here for a second."""
    rows = messages(STEPS)
    picture = next(row for row in rows if row[:2] == (f'/{FRONT}', START_MS + 1000))
    later = [(topic, ms + 1000 * (ms > START_MS + 1000), kind, msg)
             for topic, ms, kind, msg in rows]
    again = [(picture[0], picture[1] + 50 * i, picture[2], picture[3]) for i in range(1, 20)]
    done = do_import(write(tmp_path / 'demo.mcap', sorted(later + again, key=lambda row: row[1])))
    assert done.steps == STEPS and done.blind == 0


@pytest.mark.parametrize(('gone', 'start', 'stop', 'share'), [
    (lambda at: at >= 20, '1.950', '2.950', 51), (lambda at: at < 8, '1.000', '1.400', 21)])
def test_a_camera_that_ends_early_or_begins_late_leaves_a_hole(
        tmp_path: Path, gone: Any, start: str, stop: str, share: int) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any] | None:
        return None if topic == WRIST and gone(step(ms)) else msg
    sentence = refusal(tmp_path, change)
    assert f'no complete step between {start} s and {stop} s' in sentence
    assert f'{share} % of its time has none' in sentence
    assert f'{WRIST} has no picture of' in sentence


def test_a_slow_camera_is_named_and_not_the_actions(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any] | None:
        return None if topic == FRONT and step(ms) % 4 else msg
    assert f'the messages of {FRONT} are 0.200 s apart, expected 0.05 s' in refusal(tmp_path,
    change)
    slow = [row for row in messages(STEPS) if row[0] != '/sent_effort' or step(row[1]) % 4 == 0]
    assert 'the actions of sent_effort are 0.200 s apart' in refusal(tmp_path, rows=slow)


def test_how_much_has_no_observation_is_said(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any] | None:
        return None if topic == FRONT and step(ms) in (10, 20) else msg
    file = write(tmp_path / 'demo.mcap', messages(STEPS), change)
    assert inspect(file, ROBOT).blind == pytest.approx(2 / 39)
    assert do_import(file).blind == pytest.approx(2 / 39)


def test_another_drivers_joint_states_are_passed_over(tmp_path: Path) -> None:
    rows: list[Row] = []
    for topic, ms, kind, msg in messages(STEPS):
        rows.append((topic, ms, kind, msg))
        if topic == '/joint_states':
            other = {'header': header(ms + 10), 'name': ['gripper'], 'position': [1.0]}
            rows.append((topic, ms, JOINTS, other))
    assert do_import(write(tmp_path / 'demo.mcap', rows)).steps == STEPS


def test_a_message_that_is_a_little_late_finds_its_place(tmp_path: Path) -> None:
    """Two neighbours changed places, as a publisher of several threads sends them."""
    patient = dataclasses.replace(ROBOT, max_skew_s=0.051)  # they are 50 ms apart
    rows = messages(STEPS)
    a, b = [i for i, row in enumerate(rows) if row[0] == '/joint_states'][10:12]
    rows[a], rows[b] = rows[b], rows[a]
    late = [(topic, START_MS, kind, msg) for topic, _, kind, msg in rows]  # in this order
    file = write(tmp_path / 'swapped.mcap', late)
    swapped = read_demonstration(file, patient)
    assert len(swapped.steps) == STEPS and swapped.rhythm.blind == 0
    with pytest.raises(BagError, match=r'joint_states goes back from 1\.550 s to 1\.500 s'):
        read_demonstration(file, ROBOT)
    session = Session(patient, tmp_path / 'live', {}, min_free_mb=1)
    session.start(SENTENCE)
    sent = serialised(STEPS)
    a, b = [i for i, row in enumerate(sent) if row[0] == 'joint_states'][10:12]
    sent[a], sent[b] = sent[b], sent[a]
    assert {session.write(topic, log_ns, data) for topic, log_ns, data in sent} == {''}
    saved = session.save('success')
    assert (saved.refusal, saved.blind) == ('', 0.0)


def test_the_recorder_judges_holes_as_the_file_does(tmp_path: Path) -> None:
    session = Session(ROBOT, tmp_path, {}, min_free_mb=1)
    session.start(SENTENCE)
    for topic, log_ns, data in serialised(STEPS):
        if topic != WRIST or step(log_ns // MS) < 20:
            session.write(topic, log_ns, data)
    saved = session.save('success')
    assert saved.blind == pytest.approx(19 / 39) and 'no complete step between' in saved.refusal
    assert read_about(saved.file)['blind'] == f'{saved.blind:.4f}'
    assert saved.refusal in inspect(saved.file, ROBOT).refusal


def test_degrees_are_no_radians(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any]:
        return {**msg, 'position': np.rad2deg(msg['position']).tolist()
                } if topic == 'joint_states' else msg
    sentence = refusal(tmp_path, change)
    assert f'{POSITIONS} of panda_joint' in sentence and 'these look like degrees' in sentence


def test_a_command_beyond_every_actuator_is_refused(tmp_path: Path) -> None:
    def change(topic: str, ms: int, msg: dict[str, Any]) -> dict[str, Any]:
        return {**msg, 'effort': [1000.0] * 8} if topic == 'sent_effort' else msg
    assert 'joint_torques of panda_' in refusal(tmp_path, change)
