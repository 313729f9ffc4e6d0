"""Arrays of an episode in fewer bytes, bit for bit as they were.

Pictures uint8[T, H, W, 3] become one row of bytes: blocks of BLOCK frames, each the difference
from the frame before it, each block packed by itself, so that a slice unpacks only its blocks. An
index beside it says T, H, W, 3 and where each block ends. Whole numbers are kept as narrow as
they fit, and float64 as float32 where that is the same number.
"""

from __future__ import annotations

import numpy as np
import zstandard

from gato_ros.spec import LARGEST_SIDE
from gato_ros.untrusted import Refused

BLOCK = 16  # frames
LEVEL = 9
LARGEST = 1 << 30  # bytes of an episode's packed pictures when they are unpacked
SHAPE = 4  # numbers of the index before the blocks' ends
NARROW = (np.uint8, np.int16, np.int32)


def can_pack(frames: np.ndarray, room: int = LARGEST) -> bool:
    """Whether these are pictures, and of no more bytes than ``room``."""
    return (frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[-1] == 3
            and 0 < frames.nbytes <= room and max(frames.shape[1:3]) <= LARGEST_SIDE)


def pack(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures uint8[T, H, W, 3] as bytes uint8[n], and their index int64[4 + blocks]."""
    packer = zstandard.ZstdCompressor(level=LEVEL)
    blocks = []
    for start in range(0, len(frames), BLOCK):
        block = frames[start:start + BLOCK]
        steps = np.concatenate([block[:1], block[1:] - block[:-1]])  # uint8 goes round at 256
        blocks.append(packer.compress(steps.tobytes()))
    ends = np.cumsum([len(block) for block in blocks])
    return (np.frombuffer(b''.join(blocks), np.uint8),
            np.concatenate([frames.shape, ends]).astype(np.int64))


def length_of(index: np.ndarray) -> int:
    """Return how many frames an index says; Refused where it is none, or beyond a budget."""
    if index.dtype != np.int64 or index.ndim != 1 or len(index) < SHAPE:
        raise Refused(f'an index of pictures is {index.dtype}{list(index.shape)}, expected '
                      f'int64 of at least [{SHAPE}]')
    count, height, width, colours = map(int, index[:SHAPE])
    sides = 0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE and colours == 3
    if not sides or not 0 < count <= LARGEST // (height * width * colours):
        raise Refused(f'pictures are {index[:SHAPE].tolist()}, expected [T, H, W, 3] of at most '
                      f'{LARGEST} bytes')
    blocks = len(index) - SHAPE
    if blocks != -(-count // BLOCK):
        raise Refused(f'{count} pictures have {blocks} blocks, expected one for {BLOCK} each')
    return count


def spans(index: np.ndarray, start: int, stop: int, room: int = LARGEST
          ) -> tuple[range, list[tuple[int, int]]]:
    """Return the blocks that hold frames [start, stop), and from where to where each is.

    Raises Refused as ``length_of`` does, and where they unpack to more bytes than ``room``.
    """
    count = length_of(index)
    start, stop, _ = slice(start, stop).indices(count)
    wanted = range(start // BLOCK, -(-stop // BLOCK)) if start < stop else range(0)
    frames = min(wanted.stop * BLOCK, count) - wanted.start * BLOCK
    size = frames * int(np.prod(index[1:SHAPE]))
    if size > room:
        raise Refused(f'pictures of {size} bytes are to be unpacked, expected at most {room}')
    ends = [0, *map(int, index[SHAPE:])]
    found = [(ends[number], ends[number + 1]) for number in wanted]
    if any(not 0 <= first < last for first, last in found):
        raise Refused('the blocks of pictures are in no order')
    return wanted, found


def unpack(index: np.ndarray, wanted: range, blocks: list[bytes], start: int, stop: int
           ) -> np.ndarray:
    """Return frames [start, stop) from the blocks that ``spans`` named.

    Raises Refused for a block that holds another number of bytes than the index says; nothing is
    unpacked of it.
    """
    count, *picture = map(int, index[:SHAPE])
    start, stop, _ = slice(start, stop).indices(count)
    unpacker = zstandard.ZstdDecompressor()
    found = np.empty((max(stop - start, 0), *picture), np.uint8)
    for number, block in zip(wanted, blocks, strict=True):
        first = number * BLOCK
        frames = min(BLOCK, count - first)
        size = frames * int(np.prod(picture))
        try:
            said = zstandard.frame_content_size(block)
            if said != size:
                raise Refused(f'a block of pictures holds {said} bytes, expected {size}')
            steps = np.frombuffer(unpacker.decompress(block), np.uint8)
        except zstandard.ZstdError as error:
            raise Refused(f'a block of pictures cannot be unpacked: {error}') from error
        whole = np.add.accumulate(steps.reshape(frames, *picture), axis=0, dtype=np.uint8)
        low, high = max(start, first), min(stop, first + frames)
        found[low - start:high - start] = whole[low - first:high - first]
    return found


def narrow(array: np.ndarray) -> np.ndarray:
    """Return the same numbers in the fewest bytes that hold them exactly."""
    if array.dtype == np.float64:
        with np.errstate(over='ignore'):
            short = array.astype(np.float32)
        return short if np.array_equal(short, array) else array
    if array.dtype.kind in 'iu' and array.size:
        low, high = array.min(), array.max()
        for kind in NARROW:
            limits = np.iinfo(kind)
            if limits.min <= low and high <= limits.max:
                return array.astype(kind)
    return array


def widen(array: np.ndarray) -> np.ndarray:
    """Return numbers as float64 or int64, as observations and actions have them."""
    if array.dtype.kind in 'iu':
        return array.astype(np.int64)
    return array.astype(np.float64) if array.dtype.kind == 'f' else array
