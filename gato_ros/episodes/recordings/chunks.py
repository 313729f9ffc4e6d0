"""Whether a chunk may be unpacked: a few bytes can stand for more than the memory holds."""

from __future__ import annotations

import lz4.frame
import zstandard

LARGEST_CHUNK = 1 << 28  # bytes, unpacked
LZ4_RATIO = 255  # no format packs more into a byte
LARGEST_RATIO = 400  # of a whole file, unpacked to packed; empty pictures reach half of it


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
