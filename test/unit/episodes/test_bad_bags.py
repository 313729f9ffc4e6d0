"""Recordings that cannot become an episode: one sentence, nothing written, nothing lost."""

from __future__ import annotations

import hashlib
import random
import re
import struct
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from mcap.writer import CompressionType
from recordings import (
    FRONT,
    ROBOT,
    START_MS,
    STEPS,
    WRIST,
    Change,
    do_import,
    header,
    messages,
    original,
    write,
)

from gato_ros.episodes.recordings.definitions import IMAGE, JOINTS
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.recover import recover


def refusal(bag: Path, **options: Any) -> str:
    """Import what cannot be: the sentence; nothing is written, the recording is as it was."""
    before = hashlib.sha256(bag.read_bytes()).digest()
    with pytest.raises(BagError) as caught:
        do_import(bag, **options)
    sentence = str(caught.value)
    assert str(bag) in sentence and sentence.isprintable() and len(sentence) <= 800
    assert not list((bag.parent / 'out').glob('*'))
    assert hashlib.sha256(bag.read_bytes()).digest() == before
    return sentence


def only(topic: str, first_ms: int, **values: Any) -> Change:
    """Return a change of one topic's messages from ``first_ms`` on."""
    def change(name: str, ms: int, msg: dict[str, Any]) -> dict[str, Any] | None:
        return {**msg, **values} if name == topic and ms >= first_ms else msg
    return change


@pytest.mark.parametrize('topic', [FRONT, WRIST, 'joint_states', 'sent_effort'])
def test_a_missing_topic_is_named_with_its_robot(tmp_path: Path, topic: str) -> None:
    file = write(tmp_path / 'demo.mcap', [row for row in messages() if row[0] != f'/{topic}'])
    sentence = refusal(file)
    assert topic in sentence and "robot 'panda_sim'" in sentence
    others = {row[0] for row in messages()} - {f'/{topic}'}
    assert all(other in sentence for other in others)


TWICE = [*ROBOT.joint_names[:-1], 'panda_joint1']


@pytest.mark.parametrize(('change', 'says'), [
    (only(FRONT, 1100, encoding='16UC1'),
     r"1\.100 s: camera/front/image_raw: the encoding is '16UC1', expected rgb8, .*driver"),
    (only(FRONT, 0, encoding='a\n' * 9999), r"the encoding is 'a\\na.* \.\.\.$"),
    (only(WRIST, 0, height=128), 'step of 192, expected 128 rows of 192 bytes or more .*driver'),
    (only(WRIST, 0, data=b'\0' * 100), r'100 bytes with a step of 192, expected 64 rows of 192'),
    (only(WRIST, 0, data=b''), r'0 bytes with a step of 192, expected 64 rows of 192 bytes'),
    (only('joint_states', 0, name=TWICE), 'joint_states: joint names repeat: panda_joint1'),
    (only('joint_states', 0, name=['x'] + TWICE[1:-1] + ['y']),
     r"joint_states: panda_joint1, panda_finger_joint1 missing, .*robot's YAML file; received x"),
    (only('joint_states', 0, position=[0.0] * 7), '7 values of position, expected one for each'),
    (only('joint_states', 1050, velocity=[float('nan')] * 8),
     '1.050 s: joint_states: the velocity of panda_joint1 is nan, expected a finite number'),
    (only('sent_effort', 0, effort=[float('inf')] * 8), 'effort of panda_joint1 is inf, expected'),
    (only('sent_effort', 0, name=['hand'] + TWICE[1:]), "hand unknown, .*robot 'panda_sim'"),
])
def test_a_bad_message_is_one_sentence(tmp_path: Path, change: Change, says: str) -> None:
    assert re.search(says, refusal(write(tmp_path / 'demo.mcap', change=change)))


def test_another_rate_a_hole_and_a_second_episode_are_refused(tmp_path: Path) -> None:
    def every(period_ms: int) -> list[tuple[str, int, str, dict[str, Any]]]:
        return [(t, at, kind, {**msg, 'header': header(at)}) for t, ms, kind, msg in messages()
                for at in [START_MS + (ms - START_MS) // 50 * period_ms]]
    for number, period_ms in enumerate((33, 100)):
        sentence = refusal(write(tmp_path / f'{number}.mcap', every(period_ms)))
        assert f'are {period_ms / 1000:.3f} s apart, expected 0.05 s (rate_hz in' in sentence
    rows = messages(12)
    hole = [row for row in rows if not (row[0] == f'/{FRONT}' and 1100 <= row[1] < 1400)]
    sentence = refusal(write(tmp_path / 'hole.mcap', hole))
    assert 'between 1.050 s and 1.400 s, expected one within 0.2 s' in sentence
    assert f'{FRONT} has no picture' in sentence
    long = [row for row in messages(200) if not 1000 <= row[1] - START_MS < 1400]
    assert do_import(write(tmp_path / 'long.mcap', long), out=tmp_path / 'kept').steps == 192
    # An action may be answered by nothing now and then, and a message may be recorded twice.
    rare = [row for row in rows if not (row[0] == '/sent_effort' and row[1] == 1250)]
    assert do_import(write(tmp_path / 'rare.mcap', rare + rows[-4:]),
                     out=tmp_path / 'kept').steps == 11
    again = [(t, ms + 1000, kind, msg) for t, ms, kind, msg in messages()]
    sentence = refusal(write(tmp_path / 'two.mcap', messages() + again))
    assert 'goes back from 1.250 s to 1.000 s, expected rising stamps' in sentence


def test_another_type_is_named(tmp_path: Path) -> None:
    rows = [(t, ms, JOINTS, {'header': m['header']}) if t == f'/{FRONT}' else (t, ms, kind, m)
            for t, ms, kind, m in messages()]
    assert f'{FRONT} carries {JOINTS} in cdr, expected {IMAGE}' in refusal(
        write(tmp_path / 'demo.mcap', rows))


def test_a_definition_in_the_file_is_not_trusted(tmp_path: Path) -> None:
    """Arrays of four thousand million values, in place of what a joint state is."""
    file = write(tmp_path / 'demo.mcap', compression=CompressionType.NONE, enable_crcs=False)
    data = file.read_bytes()
    hostile = data.replace(b'float64[] position', b'bool[4294967295] p')
    assert hostile != data
    file.write_bytes(hostile)
    assert do_import(file).steps == STEPS


@pytest.mark.parametrize('share', [0.001, 0.01, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_one_sentence(tmp_path: Path, share: float) -> None:
    file = write(tmp_path / 'demo.mcap')
    data = file.read_bytes()
    file.write_bytes(data[:int(share * len(data))])
    sentence = refusal(file)
    assert 'is cut off, damaged or no MCAP file' in sentence and '`mcap recover`' in sentence


MAGIC = b'\x89MCAP0\r\n'
HUGE = struct.pack('<BQ', 1, 2**63)


@pytest.mark.parametrize('data', [
    b'#ROSBAG V2.0\n' * 40, MAGIC, MAGIC * 2, MAGIC + HUGE + MAGIC,
    MAGIC + struct.pack('<BQI', 1, 8, 2**32 - 1) * 9 + MAGIC,
    MAGIC + bytes(29) + MAGIC, MAGIC + struct.pack('<BQQQI', 2, 20, 2**62, 2**62, 0) + MAGIC,
    MAGIC + random.Random(0).randbytes(3000) + MAGIC, random.Random(1).randbytes(3000)])
def test_a_hostile_file_is_one_sentence(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / 'demo.mcap'
    file.write_bytes(data)
    refusal(file)


def hostile(file: Path, compression: str, data: bytes, said: int, times: int = 1) -> Path:
    """Write a file of one chunk that stands for far more than it is, indexed so many times."""
    def record(code: int, body: bytes) -> bytes:
        return struct.pack('<BQ', code, len(body)) + body

    def text(words: str) -> bytes:
        return struct.pack('<I', len(words)) + words.encode()

    front = MAGIC + record(1, text('ros2') + text('x'))
    chunk = record(6, struct.pack('<QQQI', 1, 1, said, 0) + text(compression)
                   + struct.pack('<Q', len(data)) + data)
    body = front + chunk + record(15, bytes(4))
    index = record(3, struct.pack('<H', 1) + text(JOINTS) + text('ros2msg') + bytes(4))
    for number, topic in enumerate((FRONT, WRIST, 'joint_states', 'sent_effort')):
        index += record(4, struct.pack('<HH', number, 1) + text(topic) + text('cdr') + bytes(4))
    index += times * record(8, struct.pack('<QQQQIQ', 1, 1, len(front), len(chunk), 0, 0)
                            + text(compression) + struct.pack('<QQ', len(data), said))
    file.write_bytes(body + index + record(2, struct.pack('<QQI', len(body), 0, 0)) + MAGIC)
    return file


LARGE = 300_000_000


@pytest.mark.parametrize('honest', [True, False])
@pytest.mark.parametrize('compression', ['zstd', 'lz4'])
def test_a_file_that_would_fill_the_memory_is_one_sentence(
        tmp_path: Path, compression: str, honest: bool) -> None:
    zeros = memoryview(bytes(LARGE))
    data = zstandard.compress(zeros) if compression == 'zstd' else lz4.frame.compress(zeros)
    file = hostile(tmp_path / 'demo.mcap', compression, data, LARGE if honest else 1000)
    assert 'a chunk holds ' in refusal(file) and 'expected at most 268435456' in refusal(file)
    part = file.with_name('torn.mcap.part')
    part.write_bytes(file.read_bytes())
    assert recover(part).file is None


def test_an_index_is_compared_and_never_followed(tmp_path: Path) -> None:
    """It names a chunk a thousand times; what is in the file counts."""
    file = hostile(tmp_path / 'demo.mcap', '', bytes(99), 99, times=1000)
    assert f'has no message on {FRONT}' in refusal(file)


@pytest.mark.parametrize('options', [{}, {'compression': CompressionType.NONE,
                                          'enable_crcs': False}], ids=['checked', 'unchecked'])
def test_damaged_bytes_are_one_sentence_or_change_nothing_else(
        tmp_path: Path, options: dict[str, Any]) -> None:
    data = write(tmp_path / 'demo.mcap', messages(3), **options).read_bytes()
    rng, refused = random.Random(0), 0
    for number in range(80):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            place = rng.choice((rng.randrange(len(bad)), rng.randrange(len(bad) - 600, len(bad))))
            bad[place] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        file = tmp_path / f'{number}.mcap'
        file.write_bytes(bad)
        try:
            assert do_import(file).steps <= 3
        except BagError:  # nothing else
            refused += 1
    assert refused > 20


def test_a_changed_pixel_and_a_lost_message_are_noticed(tmp_path: Path) -> None:
    image = original(2)[0].images['front'].tobytes()
    count = struct.pack('<HQ', 1, STEPS)  # the index: so many messages on the first topic
    for number, (old, new, options, says) in enumerate((
            (image, bytes([image[0] ^ 1]) + image[1:], {}, 'crc validation failed'),
            (count, struct.pack('<HQ', 1, STEPS + 1), {'enable_crcs': False},
             r'is damaged: 24 messages on /joint_states, .*, its index says 25'))):
        file = write(tmp_path / f'{number}.mcap', compression=CompressionType.NONE, **options)
        data = file.read_bytes()
        assert data.count(old) == 1
        file.write_bytes(data.replace(old, new))
        assert re.search(says, refusal(file))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / 'gone.mcap'
    with pytest.raises(BagError, match=f'^{file} cannot be read: No such file or directory$'):
        do_import(file)
