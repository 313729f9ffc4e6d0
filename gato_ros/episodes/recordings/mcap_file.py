"""The messages of one robot in one MCAP file, as `ros2 bag record` or our recorder writes it.

Whoever wrote the file is not trusted: its bytes may be cut off, damaged or made to harm. So it is
read from its first byte on (records.py), its index is only compared, and a message is decoded by
what ROS 2 defines for its type's name, never by a definition in the file.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mcap.records import Channel, Message, Metadata, Schema, Statistics
from mcap_ros2.decoder import DecoderFactory

from gato_ros.episodes.recordings.definitions import (
    CAMERA_INFO,
    COMMAND,
    DEFINITIONS,
    DIAGNOSTICS,
    JOINTS,
    WORDS,
)
from gato_ros.episodes.recordings.episode_file import METADATA
from gato_ros.episodes.recordings.records import LARGEST_CHUNK, Fault, records
from gato_ros.untrusted import MIB, open_file, plain

ZSTD, LZ4 = b'\x28\xb5\x2f\xfd', b'\x04\x22\x4d\x18'
# How a file of another kind begins, what it is, and what makes an MCAP file of it.
OTHERS = {
    b'SQLite format 3\0': 'is a rosbag2 of sqlite3, expected MCAP: `ros2 bag convert -i FOLDER '
                          '-o options.yaml` with storage_id: mcap writes it anew',
    b'#ROSBAG V': 'is a bag of ROS 1, expected MCAP of ROS 2: `rosbags-convert --src FILE --dst '
                  'FOLDER --dst-storage mcap` (pip install rosbags) writes it anew',
    ZSTD: 'is compressed as a whole, expected MCAP: `zstd -dc FILE > NEW.mcap` unpacks it',
    LZ4: 'is compressed as a whole, expected MCAP: `lz4 -dc FILE > NEW.mcap` unpacks it',
    b'\x1f\x8b': 'is compressed as a whole, expected MCAP: `gunzip -c FILE > NEW.mcap` unpacks it',
    b'\x89HDF\r\n\x1a\n': 'is HDF5, expected MCAP: `gato-ros import robomimic` reads such a file',
    b'PAR1': "is a part of a dataset, expected MCAP: `gato-ros import lerobot` reads a dataset's "
             'folder'}
# Bytes of a message that decoding makes larger; a picture may fill its chunk.
LARGEST_MESSAGE = {JOINTS: MIB // 16, CAMERA_INFO: MIB // 16, COMMAND: MIB // 16, WORDS: MIB,
                   DIAGNOSTICS: MIB}
DECODED, DECODED_RATIO = 64 * MIB, 64  # bytes of these in all: at least, and of a file's size


class BagError(ValueError):
    """A recording that cannot become an episode; one sentence with file, value, expectation."""

    def __init__(self, sentence: str) -> None:
        """Keep what a file holds from spreading over lines, or over the whole screen."""
        super().__init__(plain(sentence))


class Logged(NamedTuple):
    """A message, when it arrived, and a checksum of its bytes, which shows a repeated one."""

    arrived_ns: int
    checksum: int
    message: Any


def find_file(bag: Path) -> Path:
    """Return the MCAP file of a recording: the file itself, or the only one in its folder."""
    if not bag.is_dir():
        return bag
    files = sorted(bag.glob('*.mcap')) or sorted(
        file for kind in ('*.mcap.*', '*.db3', '*.bag') for file in bag.glob(kind))
    if len(files) != 1:
        raise BagError(f'{bag} holds {len(files)} .mcap files, expected one: an episode is one '
                       'file (ros2 bag convert joins them)')
    return files[0]


def whole_records(file: Path, messages: bool = True) -> Iterator[Any]:
    """Yield what a file holds; whatever is wrong with it becomes a BagError."""
    try:
        with open_file(file) as stream:
            start = stream.read(16)
            for magic, words in OTHERS.items():
                if start.startswith(magic):
                    raise BagError(f'{file} {words}')
            if not start:
                raise BagError(f'{file} is empty, expected an MCAP file')
            stream.seek(0)
            for _, record in records(stream, os.fstat(stream.fileno()).st_size, messages):
                if record is not None:
                    yield record
    except Fault as error:
        raise BagError(f'{file} is cut off, damaged or no MCAP file ({error}); `gato-ros record '
                       'repair` or `mcap recover` saves what is whole') from error
    except OSError as error:
        raise BagError(f'{file} cannot be read: {error.strerror or error}') from error


def raw_messages(file: Path, keep: Callable[[str], bool] = lambda topic: True
                 ) -> Iterator[tuple[Schema | None, Channel, Message]]:
    """Yield the messages of the topics to ``keep`` in the order in which they arrived.

    Raises BagError, at the end for a file whose index says another count.
    """
    last = 0
    for _, _, message in _in_file(file, keep):
        if message.log_time < last:  # such as one topic after the other
            yield from sorted(_in_file(file, keep), key=lambda row: row[2].log_time)
            return
        last = message.log_time
    yield from _in_file(file, keep)


def _in_file(file: Path, keep: Callable[[str], bool]
             ) -> Iterator[tuple[Schema | None, Channel, Message]]:
    """Yield messages as they stand in the file."""
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    counts: Counter[int] = Counter()
    said: Statistics | None = None
    for record in whole_records(file):
        if isinstance(record, Message):
            channel = channels.get(record.channel_id)
            if channel is None:
                raise BagError(f'{file} is damaged: a message on channel {record.channel_id}, '
                               'which it does not describe; `gato-ros record repair` saves the '
                               'others')
            if keep(channel.topic):
                counts[channel.id] += 1
                yield schemas.get(channel.schema_id), channel, record
        elif isinstance(record, Channel):
            channels.setdefault(record.id, record)
        elif isinstance(record, Schema):
            schemas.setdefault(record.id, record)
        elif isinstance(record, Statistics):
            said = record
    wanted = {c.id: c for c in channels.values() if keep(c.topic)}
    if said and any(said.channel_message_counts.get(number, 0) != counts[number]
                    for number in wanted):
        total = sum(said.channel_message_counts.get(number, 0) for number in wanted)
        topics = ', '.join(dict.fromkeys(c.topic for c in wanted.values()))
        raise BagError(f'{file} is damaged: {counts.total()} messages on {topics}, its index says '
                       f'{total}; `gato-ros record repair` keeps what is there')


def read_messages(file: Path, wanted: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return topic -> its messages, as read_logged does, without the times."""
    return {topic: [row.message for row in rows]
            for topic, rows in read_logged(file, wanted).items()}


def read_logged(file: Path, wanted: Mapping[str, str],
                take: Mapping[str, Callable[[Any], Any]] | None = None
                ) -> dict[str, list[Logged]]:
    """Return topic -> its messages in the order of arrival; the file is only read.

    wanted  topic -> type; a leading slash makes no difference
    take    topic -> what is kept of a message, where whole ones would fill the memory

    Raises BagError for a file that cannot be read, and for a topic of another type.
    """
    found: dict[str, list[Logged]] = {topic: [] for topic in wanted}
    decoders = {kind: _decoder(kind) for kind in set(wanted.values())}
    names = {topic.strip('/'): topic for topic in wanted}
    room = max(DECODED, DECODED_RATIO * (file.stat().st_size if file.is_file() else 0))
    for schema, channel, message in _in_file(file, lambda topic: topic.strip('/') in names):
        topic = names[channel.topic.strip('/')]
        kind = schema.name if schema else 'nothing'
        if (kind, channel.message_encoding) != (wanted[topic], 'cdr'):
            raise BagError(f'{file}: {channel.topic} carries {kind} in '
                           f'{channel.message_encoding}, expected {wanted[topic]} in cdr')
        if packing := packed(message.data):
            raise BagError(f'{file}: its messages are compressed one by one ({packing}), expected '
                           'whole chunks: `gato-ros record repair` writes them unpacked, as `ros2 '
                           'bag convert` does without a compression_mode')
        limit = LARGEST_MESSAGE.get(kind, LARGEST_CHUNK)
        room -= len(message.data) if kind in LARGEST_MESSAGE else 0
        if len(message.data) > limit:
            raise BagError(f'{file}: a message of {len(message.data)} bytes on {channel.topic}, '
                           f'expected at most {limit}')
        if room < 0:
            raise BagError(f'{file}: its messages hold too much for a file of its size')
        try:
            msg = decoders[kind](message.data)
        except (ValueError, struct.error, IndexError) as error:  # what CDR can be wrong in
            raise BagError(f'{file}: a message on {channel.topic} is no {kind} ({error}), '
                           'expected what ROS 2 defines') from error
        found[topic].append(Logged(message.log_time, zlib.crc32(message.data),
                                   take[topic](msg) if take and topic in take else msg))
    return {topic: sorted(rows, key=lambda row: row.arrived_ns) for topic, rows in found.items()}


def packed(data: bytes) -> str:
    """Return by what a message is compressed, '' for CDR."""
    return {ZSTD: 'zstd', LZ4: 'lz4'}.get(data[:4], '')


def read_about(file: Path) -> dict[str, str]:
    """Return what our recorder has noted about a recording; {} for one of somebody else."""
    about: dict[str, str] = {}
    for record in whole_records(file, messages=False):
        if isinstance(record, Metadata) and record.name == METADATA:
            about |= record.metadata
    return about


def topics_of(file: Path) -> list[str]:
    """Return the topics of a file, in alphabetical order."""
    return sorted({record.topic for record in whole_records(file) if isinstance(record, Channel)})


def _decoder(kind: str) -> Callable[[bytes], Any]:
    schema = Schema(id=1, name=kind, encoding='ros2msg', data=DEFINITIONS[kind].encode())
    decoder = DecoderFactory().decoder_for('cdr', schema)
    assert decoder is not None
    return decoder
