"""Recording without ROS: what is finished stays, what was open is recovered, skew is judged."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from recordings import FRONT, ROBOT, START_MS, STEPS, WRIST, original, serialised

from gato_ros.episodes.episode import read_info, read_slice
from gato_ros.episodes.recordings.bag import import_bag, read_demonstration
from gato_ros.episodes.recordings.episode_file import PART, RecordError
from gato_ros.episodes.recordings.mcap_file import BagError, read_about
from gato_ros.episodes.recordings.recover import recover, recover_folder
from gato_ros.episodes.recordings.session import Session
from gato_ros.robot import TORQUES

TRIALS = int(os.environ.get('GATO_KILL_TRIALS', '6'))
SENTENCE = 'stack the red block on the blue block'


def session(folder: Path, **options: int) -> Session:
    return Session(ROBOT, folder, {'source': 'teleoperation'}, **{'min_free_mb': 1, **options})


def record(folder: Path, steps: int = STEPS) -> Session:
    """Begin a recording and write some steps; it stays open."""
    begun = session(folder)
    begun.start(SENTENCE, 'stack_wide')
    for topic, log_ns, data in serialised(steps):
        assert begun.write(topic, log_ns, data) == ''
    return begun


def messages_of(file: Path) -> list[tuple[str, int, bytes]]:
    with file.open('rb') as stream:
        return [(channel.topic.strip('/'), message.log_time, message.data)
                for _, channel, message in make_reader(stream, validate_crcs=True).iter_messages()]


def test_a_saved_file_says_what_it_is_and_becomes_an_episode(tmp_path: Path) -> None:
    saved = record(tmp_path).save('success')
    assert messages_of(saved.file) == serialised()
    about = read_about(saved.file)
    assert (about['task'], about['sentence'], about['outcome'], about['robot']) == (
        'stack_wide', SENTENCE, 'success', 'panda_sim')
    assert about['spec_hash'] == ROBOT.timestep().hash and about['version'] and about['began']
    done = import_bag(saved.file, tmp_path / 'out', ROBOT)  # nothing has to be said again
    info = read_info(done.file)
    assert (info.task, info.success, info.source) == ('stack_wide', True, 'teleoperation')
    data = read_slice(done.file, 0, STEPS)
    assert np.array_equal(data['sent'][TORQUES][2], original(2)[1])
    assert not list(tmp_path.glob(f'*{PART}'))


def test_a_file_cut_at_any_byte_is_recovered_up_to_its_last_complete_chunk(
        tmp_path: Path) -> None:
    begun = session(tmp_path)
    part = Path(f'{begun.start(SENTENCE)}{PART}')
    rows, ends = serialised(3), [0]
    for number, (topic, log_ns, data) in enumerate(rows):
        begun.write(topic, log_ns, data)
        if number % 4 == 3:
            begun.tick()  # ends a chunk
            ends.append(part.stat().st_size)
    begun.save('success')
    whole = next(tmp_path.glob('*.mcap')).read_bytes()
    rng = random.Random(0)
    for cut in sorted({0, 1, 7, 8, 9, *ends, len(whole) - 1, len(whole),
                       *(rng.randrange(len(whole)) for _ in range(150))}):
        torn = tmp_path / f'{cut}.mcap{PART}'
        torn.write_bytes(whole[:cut])
        done = recover(torn)
        # A chunk's index follows it and may be cut off: the chunk itself is complete without it.
        kept = 4 * sum(end <= cut for end in ends[1:])
        assert done.messages in (kept, kept + 4) and done.messages % 4 == 0, cut
        assert not torn.exists()
        if done.file is None:
            assert done.messages == 0
        else:
            assert messages_of(done.file) == rows[:done.messages]
            assert read_about(done.file)['sentence'] == SENTENCE
            assert 'recovered' in read_about(done.file) or done.messages == len(rows)


def test_damaged_bytes_end_the_recovery_and_the_original_stays(tmp_path: Path) -> None:
    saved = record(tmp_path, steps=60).save('success')
    data = bytearray(saved.file.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    saved.file.write_bytes(data)
    with pytest.raises(BagError, match='gato-ros record repair'):
        import_bag(saved.file, tmp_path / 'out', ROBOT)
    done = recover(saved.file)
    assert done.file == saved.file.with_suffix('.repaired.mcap') and done.lost > 0
    assert saved.file.read_bytes() == data
    assert messages_of(done.file) == serialised(60)[:done.messages] and done.messages > 100
    foreign = tmp_path / f'other.mcap{PART}'
    foreign.write_bytes(b'something else')
    with pytest.raises(BagError, match='no MCAP file'):
        recover(foreign)
    assert foreign.read_bytes() == b'something else'


def test_what_is_being_recorded_is_let_alone(tmp_path: Path) -> None:
    begun = record(tmp_path)
    begun.tick()
    assert recover_folder(tmp_path) == []
    with pytest.raises(BagError, match='is being recorded'):
        recover(next(tmp_path.glob(f'*{PART}')))
    assert messages_of(begun.save('failure').file) == serialised()


@pytest.mark.slow
def test_kill_9_loses_no_finished_episode(tmp_path: Path) -> None:
    """GATO_KILL_TRIALS=200 makes it the full trial."""
    rng = random.Random()
    recovered = lost = finished = 0
    script = str(Path(__file__).parents[1] / 'helpers' / 'recorder_process.py')
    expected = serialised(40)
    for trial in range(TRIALS):
        folder = tmp_path / str(trial)
        process = subprocess.Popen([sys.executable, script, str(folder)], stdout=subprocess.PIPE,
                                   text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(rng.uniform(0.0, 0.4))
        process.send_signal(signal.SIGKILL)
        said = [first, *process.stdout.read().splitlines(keepends=True)]
        process.wait()
        names = [name.strip() for name in said if name.endswith('\n')]
        assert names
        for name in names:
            assert messages_of(folder / name) == expected
        for done in recover_folder(folder):
            recovered, lost = recovered + done.messages, lost + done.lost
            if done.file is not None:
                assert messages_of(done.file) == expected[:done.messages]
        assert not list(folder.glob(f'*{PART}*'))
        finished += len(names)
        # The last one may have been finished before it could be said.
        assert len(list(folder.glob('*.mcap'))) - len(names) in (0, 1)
    print(f'{TRIALS} kills: {finished} finished episodes, all whole; {recovered} messages of open '
          f'ones recovered, {lost} bytes lost')


def test_skew_is_measured_and_too_much_of_it_is_no_training_data(tmp_path: Path) -> None:
    """Joint states come late by more than max_skew_s in a fifth of the steps."""
    saved = record(tmp_path).save('success')
    assert saved.skew.max_s == 0.0 and saved.refusal == ''
    begun = session(tmp_path)
    begun.start(SENTENCE, 'stack_wide')
    for topic, log_ns, data in serialised(20):
        step = (log_ns // 1_000_000 - START_MS) // 50
        if topic != 'joint_states' or step % 5 or step == 0:
            begun.write(topic, log_ns, data)
    late = begun.save('success')
    assert late.refusal == '' and late.skew.max_s == pytest.approx(0.05)
    import dataclasses
    strict = dataclasses.replace(ROBOT, max_skew_s=0.02)
    with pytest.raises(BagError, match=r'in 15 % of the steps .* more than 0.02 s apart .*'
                                       r'max 0.050 s\), expected at most 5 % \(max_skew_s'):
        read_demonstration(late.file, strict)
    assert json.loads(read_about(late.file)['skew'])['max_s'] == pytest.approx(0.05)


def test_a_clock_that_goes_back_ends_the_recording(tmp_path: Path) -> None:
    begun = record(tmp_path)
    topic, log_ns, data = next(row for row in serialised() if row[0] == FRONT)
    assert begun.write(topic, log_ns, data) == (
        f'the clock of {FRONT} went back from 1.250 s to 1.000 s')
    assert messages_of(begun.save('').file) == serialised()


def test_lost_messages_are_counted(tmp_path: Path) -> None:
    begun = session(tmp_path)
    begun.start(SENTENCE)
    rows = [row for row in serialised() if row[0] == WRIST]
    for number, (topic, log_ns, data) in zip((1, 2, 5, 6), rows, strict=False):
        begun.write(topic, log_ns, data, sequence=number)
    assert json.loads(read_about(begun.save('success').file)['lost']) == {WRIST: 2}


def test_the_disk_is_guarded(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r'MB of free disk, expected 1000000000 MB'):
        session(tmp_path, min_free_mb=10**9).start(SENTENCE)
    assert list(tmp_path.iterdir()) == []
    begun = record(tmp_path)
    begun._min_free = 10**18
    assert 'MB of free disk' in begun.tick()
    assert messages_of(begun.save('').file) == serialised()


def test_one_at_a_time_and_discarding(tmp_path: Path) -> None:
    begun = record(tmp_path)
    with pytest.raises(RecordError, match='expected to save or to discard it first'):
        begun.start(SENTENCE)
    begun.discard()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecordError, match='nothing is being recorded'):
        begun.save('success')


def test_another_robot_is_refused(tmp_path: Path) -> None:
    import dataclasses
    saved = record(tmp_path).save('success')
    other = dataclasses.replace(ROBOT, name='other', cameras=ROBOT.cameras[:1])
    with pytest.raises(BagError, match=rf"robot 'panda_sim' with specification "
                                       rf'{ROBOT.timestep().hash}, expected '
                                       rf"{other.timestep().hash} of robot 'other'"):
        import_bag(saved.file, tmp_path / 'out', other)
