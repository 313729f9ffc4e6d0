"""An MCAP file record after record, from its first byte on, whatever its index says.

    for end, record in records(stream, size): ...    # Schema, Channel, Message, Metadata

The library would build whatever a file promises. Here every size is judged first, a message is
counted before it is made, and what cannot be read ends the reading with a Fault.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO, TypeAlias

import lz4.frame
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, DataEnd, Message, Metadata, Schema, Statistics

from gato_ros.untrusted import MIB

MAGIC = b'\x89MCAP0\r\n'
SMALL = {Opcode.SCHEMA: Schema, Opcode.CHANNEL: Channel, Opcode.METADATA: Metadata,
         Opcode.STATISTICS: Statistics, Opcode.DATA_END: DataEnd}
LARGEST_CHUNK = 1 << 28  # bytes, unpacked
LZ4_RATIO = 255  # no format packs more into a byte
LARGEST_RATIO = 400  # of a whole file, unpacked to packed; empty pictures reach half of it
LARGEST_RECORD = MIB  # bytes of one of these
LARGEST_FILE = 16 << 30  # bytes
NAMES = 1000  # channels, schemas
ITEMS = 50_000  # records in a small file
ITEM_BYTES = 8  # of a file for each record beyond; with its index a message takes 16 or more
SECONDS, SECONDS_MIB = 15.0, 1.0  # for a file, and for each MiB of it
Record: TypeAlias = 'Schema | Channel | Message | Metadata | Statistics | DataEnd'
_HEAD, _CHUNK, _MESSAGE = struct.Struct('<BQ'), struct.Struct('<QQQII'), struct.Struct('<HIQQ')
_BROKEN = (McapError, ValueError, struct.error, RuntimeError, zstandard.ZstdError)


class Fault(ValueError):
    """Why reading ends here; what came before is whole."""


def records(stream: BinaryIO, size: int,
            messages: bool = True) -> Iterator[tuple[int, Record | None]]:
    """Yield (byte of the file up to which it is whole, record) in the file's order.

    None stands for what is of no use here, such as an index, and follows every record.

    messages  False: chunks are passed over unread, which is quick

    Raises Fault where the file is cut off, damaged or beyond a budget; OSError.
    """
    if size > LARGEST_FILE:
        raise Fault(f'it has {size} bytes, expected at most {LARGEST_FILE}: one episode, one file')
    if stream.read(len(MAGIC)) != MAGIC:
        raise Fault('it does not begin as an MCAP file does')
    budget, place = _Budget(size), len(MAGIC)
    while True:
        opcode, length = _HEAD.unpack(_exactly(stream, _HEAD.size, place, size))
        end = place + _HEAD.size + length
        if end > size:
            raise Fault(f'it is cut off: at byte {place} something begins that would end at {end}')
        budget.count()
        limit = (LARGEST_RECORD if opcode in SMALL else LARGEST_CHUNK + MIB
                 if opcode in (Opcode.CHUNK, Opcode.MESSAGE) else size)
        if length > limit:
            raise Fault(f'a record of {length} bytes at byte {place}, expected at most {limit}')
        if opcode == Opcode.FOOTER:
            stream.seek(end)
            if stream.read(len(MAGIC) + 1) != MAGIC:
                raise Fault('it is cut off: its end is missing')
            return
        if opcode == Opcode.CHUNK and messages:
            data = _unpack(stream.read(length), place)
            budget.unpack(len(data))
            for record in _inside(data, place, budget):
                yield place, record
        elif opcode in SMALL or (opcode == Opcode.MESSAGE and messages):
            yield end, _parse(opcode, stream.read(length), place, budget)
        stream.seek(end)
        place = end
        yield end, None


class _Budget:
    """What reading one file may cost."""

    def __init__(self, size: int) -> None:
        self._items = max(ITEMS, size // ITEM_BYTES)
        self._names = NAMES
        self._limit = max(LARGEST_CHUNK, LARGEST_RATIO * size)
        self._bytes, self._size = 0, size
        self._until = time.monotonic() + SECONDS + SECONDS_MIB * size / MIB

    def count(self, named: bool = False) -> None:
        self._items -= 1
        self._names -= named
        if self._items < 0 or self._names < 0:
            raise Fault(f'it holds more records than belong in a file of {self._size} bytes'
                        if self._items < 0 else f'it has more than {NAMES} channels and schemas')
        if not self._items % 1024 and time.monotonic() > self._until:
            raise Fault('reading it takes too long for its size')

    def unpack(self, count: int) -> None:
        self._bytes += count
        if self._bytes > self._limit:
            raise Fault(f'its chunks hold {self._bytes} bytes and more, expected at most '
                        f'{self._limit} in a file of {self._size}')


def _exactly(stream: BinaryIO, count: int, place: int, size: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise Fault(f'it is cut off after {size} bytes' if place + count > size
                    else f'it could not be read at byte {place}')
    return data


def _parse(opcode: int, body: bytes, place: int, budget: _Budget) -> Record:
    try:
        if opcode == Opcode.MESSAGE:
            channel, sequence, log_ns, publish_ns = _MESSAGE.unpack_from(body)
            return Message(channel, log_ns, body[_MESSAGE.size:], publish_ns, sequence)
        budget.count(named=opcode in (Opcode.SCHEMA, Opcode.CHANNEL))
        kind: Any = SMALL[Opcode(opcode)]
        return kind.read(ReadDataStream(BytesIO(body)))
    except Fault:
        raise
    except _BROKEN as error:
        raise Fault(f'damaged at byte {place}: {type(error).__name__} {error}'.strip()) from error


def _unpack(body: bytes, place: int) -> bytes:
    """Return what a chunk holds; Fault when that would be too much or is not what was written."""
    try:
        _, _, said, crc, length = _CHUNK.unpack_from(body)
        start = _CHUNK.size + length
        compression = body[_CHUNK.size:start][:16].decode(errors='replace')
        packed = body[start + 8:start + 8 + struct.unpack_from('<Q', body, start)[0]]
        if fault := unpacking_fault(compression, packed, said):
            raise Fault(fault)
        if compression == 'zstd':
            data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=said)
        elif compression == 'lz4':
            data = lz4.frame.decompress(packed)
        elif compression:
            raise Fault(f'a chunk is compressed as {compression!r}, expected zstd, lz4 or nothing')
        else:
            data = packed
    except Fault:
        raise
    except _BROKEN as error:
        raise Fault(f'damaged chunk at byte {place}: {error}') from error
    if len(data) != said:
        raise Fault(f'damaged chunk at byte {place}: {len(data)} bytes, it says {said}')
    if crc and zlib.crc32(data) != crc:
        raise Fault(f'damaged chunk at byte {place}: crc validation failed')
    return data


def _inside(data: bytes, place: int, budget: _Budget) -> Iterator[Record]:
    """Yield the records of a chunk."""
    view, at = memoryview(data), 0
    while at < len(data):
        if at + _HEAD.size > len(data):
            raise Fault(f'damaged chunk at byte {place}: it ends within a record')
        opcode, length = _HEAD.unpack_from(view, at)
        at += _HEAD.size
        if at + length > len(data):
            raise Fault(f'damaged chunk at byte {place}: it ends within a record')
        budget.count()
        if opcode == Opcode.MESSAGE or (opcode in (Opcode.SCHEMA, Opcode.CHANNEL)
                                        and length <= LARGEST_RECORD):
            yield _parse(opcode, bytes(view[at:at + length]), place, budget)
        at += length


def unpacking_fault(compression: str, data: bytes, said: int) -> str:
    """Return why a chunk must not be unpacked, '' when it may.

    data  as it is packed;  said  how many bytes the chunk says that it holds
    """
    size = said
    if compression == 'zstd':
        size = max(said, _of_zstd(data))
    elif compression == 'lz4' and LZ4_RATIO * len(data) > LARGEST_CHUNK:
        unpacked = lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=LARGEST_CHUNK + 1)
        size = max(said, len(unpacked))
    if size <= LARGEST_CHUNK:
        return ''
    return f'a chunk holds {size} bytes or more, expected at most {LARGEST_CHUNK}'


def _of_zstd(data: bytes) -> int:
    try:
        return zstandard.frame_content_size(data)  # -1: it does not say
    except zstandard.ZstdError:
        return 0  # unpacking will say what is wrong
