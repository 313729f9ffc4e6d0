"""Recordings as others write them: read in every layout of MCAP, else named for what they are."""

from __future__ import annotations

import gzip
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from mcap.writer import CompressionType, IndexType, Writer
from recordings import FRONT, MS, ROBOT, SENTENCE, STEPS, WRIST, do_import, serialised
from typer.testing import CliRunner

from gato_ros.episodes.recordings.definitions import DEFINITIONS, IMAGE, JOINTS
from gato_ros.episodes.recordings.inspect import contents, inspect, trim
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.episodes.recordings.recover import recover
from gato_ros.tools.cli import app

ABOUT = {'sentence': SENTENCE, 'task': 'stack_wide', 'outcome': 'success',
         'source': 'teleoperation'}
TOPICS = {f'/{topic}': STEPS for topic in (FRONT, WRIST, 'joint_states', 'sent_effort')}


def write(file: Path, wrap: Callable[[bytes], bytes] = bytes, two: bool = False,
          by_topic: bool = False, **options: Any) -> Path:
    """Write a whole recording with the library's own writer.

    two       channels on each topic, as after a publisher's restart
    by_topic  one topic after the other, as `mcap sort` and filters leave it
    """
    rows = serialised()
    with file.open('wb') as stream:
        made = Writer(stream, 16_384, **options)
        made.start('ros2', 'test')
        made.add_metadata('gato_ros', ABOUT)
        schemas = {kind: made.register_schema(kind, 'ros2msg', DEFINITIONS[kind].encode())
                   for kind in (IMAGE, JOINTS)}
        channels: dict[tuple[str, int], int] = {}
        for number, (topic, log_ns, data) in enumerate(
                sorted(rows, key=lambda row: row[0]) if by_topic else rows):
            key = topic, int(two and number >= len(rows) // 2)
            if key not in channels:
                channels[key] = made.register_channel(
                    f'/{topic}', 'cdr', schemas[IMAGE if 'camera' in topic else JOINTS])
            made.add_message(channels[key], log_ns, wrap(data), log_ns)
        made.finish()
    return file


@pytest.mark.parametrize('options', [
    {'use_statistics': False}, {'repeat_channels': False}, {'repeat_schemas': False},
    {'index_types': IndexType.CHUNK | IndexType.MESSAGE}, {'index_types': IndexType.MESSAGE},
    {'index_types': IndexType.CHUNK | IndexType.METADATA}, {'index_types': IndexType.NONE},
    {'use_chunking': False}, {'use_summary_offsets': False}, {'two': True}, {'by_topic': True},
    {'compression': CompressionType.NONE}, {'compression': CompressionType.ZSTD},
    {'enable_crcs': False}], ids=str)
def test_every_layout_is_counted_and_read_alike(tmp_path: Path, options: dict[str, Any]) -> None:
    file = write(tmp_path / 'demo.mcap', **options)
    found = contents(file)
    assert found.topics == TOPICS and found.seconds == pytest.approx(0.05 * (STEPS - 1))
    assert found.about['sentence'] == SENTENCE and found.about['outcome'] == 'success'
    verdict = inspect(file, ROBOT)
    assert (verdict.refusal, verdict.steps, verdict.blind) == ('', STEPS, 0.0)
    trim(file, tmp_path / 'short.mcap', 0.1, 0.2)
    assert contents(tmp_path / 'short.mcap').topics == dict.fromkeys(TOPICS, 3)


@pytest.mark.parametrize(('name', 'wrap'), [
    ('zstd', zstandard.ZstdCompressor().compress), ('lz4', lz4.frame.compress)])
def test_messages_compressed_one_by_one_are_named_and_repaired(
        tmp_path: Path, name: str, wrap: Callable[[bytes], bytes]) -> None:
    file = write(tmp_path / 'demo.mcap', wrap)
    with pytest.raises(BagError, match=rf'its messages are compressed one by one \({name}\), '
                                       r'expected whole chunks: `gato-ros record repair`'):
        do_import(file)
    done = recover(file)
    assert done.file is not None and (done.messages, done.lost) == (4 * STEPS, 0)
    assert inspect(done.file, ROBOT).steps == STEPS


@pytest.mark.parametrize(('start', 'says'), [
    (b'SQLite format 3\0', 'is a rosbag2 of sqlite3, expected MCAP: `ros2 bag convert'),
    (b'#ROSBAG V2.0\n', 'is a bag of ROS 1, expected MCAP of ROS 2: `rosbags-convert'),
    (b'\x89HDF\r\n\x1a\n', 'is HDF5, expected MCAP: `gato-ros import robomimic`'),
    (b'PAR1', 'is a part of a dataset, expected MCAP: `gato-ros import lerobot`'),
    (b'', 'is empty, expected an MCAP file')])
def test_a_file_of_another_kind_is_named(tmp_path: Path, start: bytes, says: str) -> None:
    file = tmp_path / 'demo.mcap'
    file.write_bytes(start + bytes(100) if start else b'')
    with pytest.raises(BagError, match=says):
        do_import(file)
    (tmp_path / 'bag').mkdir()
    file.rename(tmp_path / 'bag/bag_0.db3')
    with pytest.raises(BagError, match=says):
        do_import(tmp_path / 'bag')


@pytest.mark.parametrize(('name', 'pack', 'unpack'), [
    ('zstd', zstandard.compress, zstandard.decompress),
    ('lz4', lz4.frame.compress, lz4.frame.decompress), ('gunzip', gzip.compress, gzip.decompress)])
def test_a_file_compressed_as_a_whole_is_named_and_the_help_works(
        tmp_path: Path, name: str, pack: Callable[[bytes], bytes],
        unpack: Callable[[bytes], bytes]) -> None:
    file = write(tmp_path / 'demo.mcap')
    file.write_bytes(pack(file.read_bytes()))
    with pytest.raises(BagError, match=rf'is compressed as a whole, .* `{name} -'):
        do_import(file)
    file.write_bytes(unpack(file.read_bytes()))
    assert do_import(file).steps == STEPS


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe.mcap')
    (tmp_path / 'device.mcap').symlink_to('/dev/zero')
    for name in ('pipe', 'device'):
        with pytest.raises(BagError, match='cannot be read: it is no regular file'):
            inspect(tmp_path / f'{name}.mcap', ROBOT)
        with pytest.raises(BagError, match='it is no regular file'):
            recover(tmp_path / f'{name}.mcap')


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file may grow beyond ``room`` bytes, as where nothing is left of a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_blames_the_target_and_leaves_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / 'demo.mcap')
    out = tmp_path / 'short.mcap'
    with full_disk(5000), pytest.raises(BagError, match=rf'{out} cannot be written: File too '
                                                        rf'large; {file} is as it was'):
        trim(file, out, 0, 9)
    with full_disk(5000), pytest.raises(BagError, match=r'cannot be recovered to .*repaired\.mcap:'
                                                        ' File too large'):
        recover(file)
    assert list(tmp_path.iterdir()) == [file]
    assert trim(file, out, 0, 9) == 4 * STEPS


def test_a_leftover_of_a_crash_is_written_over(tmp_path: Path) -> None:
    file = write(tmp_path / 'demo.mcap')
    for name in ('short.mcap', 'demo.repaired.mcap'):
        (tmp_path / f'{name}.aside').write_bytes(b'half')
    assert trim(file, tmp_path / 'short.mcap', 0, 9) == recover(file).messages == 4 * STEPS
    assert sorted(place.name for place in tmp_path.iterdir()) == [
        'demo.mcap', 'demo.repaired.mcap', 'short.mcap']


def test_what_a_file_says_never_steers_the_terminal(tmp_path: Path) -> None:
    said = {**ABOUT, 'sentence': '\x1b[31mred', 'note': '\x1b]0;title\x07\x1b[2J', 'lost': '[1'}
    file = tmp_path / 'demo.mcap'
    with file.open('wb') as stream:
        made = Writer(stream)
        made.start('ros2', 'test')
        made.add_metadata('gato_ros', said)
        channel = made.register_channel('/\x1b[2Jtopic', 'cdr', 0)
        made.add_message(channel, MS, b'', MS)
        made.finish()
    shown = CliRunner().invoke(app, ['record', 'info', str(file)], catch_exceptions=False)
    assert '[31mred' in shown.output and '\x1b' not in shown.output and '\x07' not in shown.output
    checked = CliRunner().invoke(app, ['record', 'check', str(file)], catch_exceptions=False)
    assert '\x1b' not in checked.output and checked.exit_code == 1
