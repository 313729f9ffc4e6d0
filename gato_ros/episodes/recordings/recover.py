"""What a recording holds up to its last complete chunk, after a crash or a damage.

    for done in recover_folder(Path('demos')):      # what a recorder left open when it was killed
        print(done)

Nothing is ever taken away before the recovered file is whole and on disk.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import lz4.frame
import zstandard
from mcap.records import Channel, DataEnd, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from gato_ros.episodes.recordings.episode_file import (
    CHUNK_BYTES,
    LIBRARY,
    METADATA,
    PART,
)
from gato_ros.episodes.recordings.mcap_file import OTHERS, BagError, packed
from gato_ros.episodes.recordings.records import (
    LARGEST_CHUNK,
    LARGEST_RATIO,
    MAGIC,
    Fault,
    Record,
    records,
)
from gato_ros.files import ASIDE, remove, rename
from gato_ros.untrusted import open_file


@dataclass(frozen=True)
class Recovered:
    """What became of a file.

    file      the recovered recording; None when no chunk was complete
    messages  in it
    lost      bytes at the end that were no complete chunk
    """

    source: Path
    file: Path | None
    messages: int
    lost: int


def recover_folder(folder: Path) -> list[Recovered]:
    """Recover what recorders have left open; what is being written now is let alone."""
    return [recover(part) for part in sorted(folder.glob(f'*.mcap{PART}')) if not _locked(part)]


def recover(source: Path) -> Recovered:
    """Write what is complete in ``source`` to a file of its own.

    NAME.mcap.part becomes NAME.mcap and is removed; a damaged NAME.mcap stays, and
    NAME.repaired.mcap appears beside it. Raises BagError for what is no MCAP file.
    """
    ours = source.name.endswith(f'.mcap{PART}')
    if ours and _locked(source):
        raise BagError(f'{source} is being recorded, expected one that no recorder holds')
    target = (source.with_name(source.name.removesuffix(PART)) if ours
              else source.with_name(f'{source.stem}.repaired.mcap'))
    if target.exists():
        raise BagError(f'{target} exists already, expected a new name: move it away first')
    aside = target.with_name(target.name + ASIDE)
    try:
        with open_file(source) as stream, aside.open('wb') as out:
            count, lost = _copy(source, stream, out)
        if count:
            rename(aside, target, synced=True)
    except OSError as error:
        raise BagError(f'{source} cannot be recovered to {target}: {error.strerror or error}; '
                       'nothing in it is changed') from error
    finally:
        remove(aside)  # of no use without its name
    if ours:
        source.unlink()
    return Recovered(source, target if count else None, count, lost)


def _copy(source: Path, stream: Any, out: Any) -> tuple[int, int]:
    """Copy metadata and the messages of complete chunks; return their count and the bytes lost.

    A message that was compressed alone is written unpacked.
    """
    writer = Writer(out, CHUNK_BYTES, CompressionType.LZ4)
    writer.start('ros2', LIBRARY)
    channels: dict[int, int] = {}
    schemas: dict[int, tuple[Schema, int]] = {}
    count, size = 0, os.fstat(stream.fileno()).st_size
    lost, finished = size, False
    room = max(LARGEST_CHUNK, LARGEST_RATIO * size)
    for rest, record in _whole(source, stream, size):
        lost = rest
        if isinstance(record, DataEnd):  # an index follows, which is made anew
            lost, finished = 0, True
            break
        if isinstance(record, Metadata):
            writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, Schema) and record.id not in schemas:
            schemas[record.id] = record, writer.register_schema(record.name, record.encoding,
                                                                record.data)
        elif isinstance(record, Channel) and record.id not in channels:
            schema = schemas[record.schema_id][1] if record.schema_id in schemas else 0
            channels[record.id] = writer.register_channel(
                record.topic, record.message_encoding, schema, record.metadata)
        elif isinstance(record, Message) and record.channel_id in channels:
            data = _unpacked(record.data, room)
            if data is None:
                break
            room -= len(data)
            writer.add_message(channels[record.channel_id], record.log_time, data,
                               record.publish_time, record.sequence)
            count += 1
    if not finished:
        writer.add_metadata(METADATA, {'recovered': 'the recorder ended before it was saved; '
                                       f'{lost} bytes after the last complete chunk are lost'})
    writer.finish()
    return count, lost


def _whole(source: Path, stream: Any, size: int) -> Iterator[tuple[int, Record | None]]:
    """Yield (bytes that are not whole as far as is known, record), up to the first fault."""
    start = stream.read(16)
    if start[:len(MAGIC)] != MAGIC[:size]:
        words = next((words for magic, words in OTHERS.items() if start.startswith(magic)), '')
        raise BagError(f'{source} {words}' if words else f'{source} is no MCAP file, so nothing '
                       'in it can be recovered')
    stream.seek(0)
    try:
        for end, record in records(stream, size):
            yield size - end, record
    except Fault:
        return


def _unpacked(data: bytes, room: int) -> bytes | None:
    """Return a message as it was before it was compressed alone; None when that goes wrong."""
    try:
        if packed(data) == 'zstd':
            data = zstandard.ZstdDecompressor().stream_reader(BytesIO(data)).read(room + 1)
        elif packed(data) == 'lz4':
            data = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=room + 1)
    except (zstandard.ZstdError, RuntimeError):
        return None
    return data if len(data) <= room else None


def _locked(part: Path) -> bool:
    """Whether a living recorder holds the file."""
    with part.open('rb') as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
