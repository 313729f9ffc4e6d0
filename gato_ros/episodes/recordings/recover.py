"""What a recording holds up to its last complete chunk, after a crash or a damage.

    for done in recover_folder(Path('demos')):      # what a recorder left open when it was killed
        print(done)

Nothing is ever taken away before the recovered file is whole and on disk.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, DataEnd, Message, Metadata, Schema
from mcap.stream_reader import breakup_chunk, read_magic
from mcap.writer import CompressionType, Writer

from gato_ros.episodes.recordings.chunks import unpacking_fault
from gato_ros.episodes.recordings.episode_file import (
    CHUNK_BYTES,
    LIBRARY,
    METADATA,
    PART,
)
from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.files import ASIDE, remove, rename


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
        with source.open('rb') as stream, aside.open('wb') as out:
            count, lost = _copy(source, stream, out)
        if count:
            rename(aside, target, synced=True)
        if ours:
            source.unlink()
    except OSError as error:
        raise BagError(f'{source} cannot be recovered: {error.strerror or error}') from error
    finally:
        remove(aside)  # of no use without its name
    return Recovered(source, target if count else None, count, lost)


def _copy(source: Path, stream: Any, out: Any) -> tuple[int, int]:
    """Copy metadata and the messages of complete chunks; return their count and the bytes lost."""
    writer = Writer(out, CHUNK_BYTES, CompressionType.LZ4)
    writer.start('ros2', LIBRARY)
    channels: dict[int, int] = {}
    schemas: dict[int, tuple[Schema, int]] = {}
    count, size = 0, source.stat().st_size
    lost, finished = size, False
    for rest, record in _records(source, stream, size):
        lost = rest
        finished |= isinstance(record, DataEnd)
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
            writer.add_message(channels[record.channel_id], record.log_time, record.data,
                               record.publish_time, record.sequence)
            count += 1
    if not finished:
        writer.add_metadata(METADATA, {'recovered': 'the recorder ended before it was saved; '
                                       f'{lost} bytes after the last complete chunk are lost'})
    writer.finish()
    return count, lost


def _records(source: Path, stream: Any, size: int) -> Iterator[tuple[int, Any]]:
    """Yield (bytes that are not whole as far as is known, record)."""
    reader = ReadDataStream(stream)
    try:
        if size >= 8:
            read_magic(reader)
    except Exception as error:
        raise BagError(f'{source} is no MCAP file, so nothing in it can be recovered') from error
    good = min(size, 8)
    while good + 9 <= size:
        opcode, length = reader.read1(), reader.read8()
        if good + 9 + length > size:
            return
        try:
            records = _parse(opcode, length, reader)
        except Exception:  # damaged bytes make the library raise all kinds
            return
        good += 9 + length
        stream.seek(good)
        for record in (*records, None):
            yield size - good, record
        if opcode == Opcode.DATA_END:  # an index follows, which is made anew
            yield 0, None
            return


def _parse(opcode: int, length: int, reader: ReadDataStream) -> list[Any]:
    if opcode == Opcode.METADATA:
        return [Metadata.read(reader)]
    if opcode == Opcode.SCHEMA:
        return [Schema.read(reader)]
    if opcode == Opcode.CHANNEL:
        return [Channel.read(reader)]
    if opcode == Opcode.DATA_END:
        return [DataEnd.read(reader)]
    if opcode == Opcode.MESSAGE:
        return [Message.read(reader, length)]
    if opcode == Opcode.CHUNK:
        chunk = Chunk.read(reader)
        if fault := unpacking_fault(chunk.compression, chunk.data, chunk.uncompressed_size):
            raise BagError(fault)
        return breakup_chunk(chunk, validate_crc=True)
    return []


def _locked(part: Path) -> bool:
    """Whether a living recorder holds the file."""
    with part.open('rb') as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
