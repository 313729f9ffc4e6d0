"""Whether a file's chunks may be unpacked: a few bytes can stand for more than the memory holds.

The library takes the sizes that it finds in a file at their word.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import lz4.frame
import zstandard
from mcap.records import ChunkIndex

LARGEST_CHUNK = 1 << 28  # bytes, unpacked
LZ4_RATIO = 255  # no format packs more into a byte
LARGEST_RATIO = 400  # of a whole file, unpacked to packed; empty pictures reach half of it
_RECORD, _HEAD = struct.Struct('<BQ'), struct.Struct('<QQQII')


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


def chunks_fault(file: Path, indexes: Sequence[ChunkIndex]) -> str:
    """Return why the chunks of a file must not be unpacked, '' when they may.

    Raises OSError, and struct.error for a chunk that is not there.
    """
    size = file.stat().st_size
    if len({index.chunk_start_offset for index in indexes}) < len(indexes):
        return 'its index names a chunk twice, expected each once'
    total = 0
    with file.open('rb') as stream:
        for index in indexes:
            stream.seek(index.chunk_start_offset)
            if fault := _chunk_fault(stream):
                return fault
            total += index.uncompressed_size
    limit = max(LARGEST_CHUNK, LARGEST_RATIO * size)
    return '' if total <= limit else (f'its chunks hold {total} bytes, expected at most {limit} '
                                      f'in a file of {size}')


def _chunk_fault(stream: BinaryIO) -> str:
    _RECORD.unpack(stream.read(_RECORD.size))
    _, _, said, _, length = _HEAD.unpack(stream.read(_HEAD.size))
    compression = stream.read(min(length, 16)).decode(errors='replace')
    packed, = struct.unpack('<Q', stream.read(8))
    whole = compression == 'lz4' and LZ4_RATIO * packed > LARGEST_CHUNK
    return unpacking_fault(compression, stream.read(packed if whole else min(packed, 64)), said)


def _of_zstd(data: bytes) -> int:
    try:
        return zstandard.frame_content_size(data)  # -1: it does not say
    except zstandard.ZstdError:
        return 0  # unpacking will say what is wrong
