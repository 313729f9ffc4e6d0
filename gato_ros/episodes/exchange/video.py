"""Pictures from a video, each chosen by its own time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np

from gato_ros.episodes.recordings.mcap_file import BagError
from gato_ros.untrusted import open_file

# By the name's ending, so that no file can make the library open others.
FORMATS = {'.mp4': 'mp4', '.mov': 'mov', '.mkv': 'matroska', '.webm': 'matroska', '.avi': 'avi'}
NEAR = 0.25  # of a period lies a frame from where it belongs, at most
FRAMES, FRAME_BYTES = 10_000, 8  # of a small file, and bytes of a file for each beyond


def pictures(file: Path, times_s: Sequence[float], period_s: float, height: int,
             width: int) -> Iterator[np.ndarray]:
    """Yield the picture of each time, uint8[H, W, 3], as the codec has kept it.

    times_s  rise, in the video's own time

    Raises BagError where a frame is missing, double or between two times.
    """
    frames = _frames(file, height, width)
    near_s = NEAR * period_s
    for number, wanted in enumerate(times_s):
        time_s, frame = next(frames, (np.inf, None))
        while time_s < wanted - near_s and not number:  # of an episode before
            time_s, frame = next(frames, (np.inf, None))
        if time_s < wanted - near_s:
            raise BagError(f'{file} has a frame at {time_s:.3f} s where none belongs, after '
                           f'{times_s[number - 1]:.3f} s, expected one every {period_s:g} s')
        if frame is None:
            raise BagError(f'{file} ends before {wanted:.3f} s, expected a frame there')
        if time_s > wanted + near_s:
            raise BagError(f'{file} has no frame at {wanted:.3f} s, expected one within '
                           f'{near_s:g} s; the next is at {time_s:.3f} s')
        yield frame.to_ndarray(format='rgb24')
    after_s, _ = next(frames, (np.inf, None))
    if len(times_s) and after_s <= times_s[-1] + near_s:
        raise BagError(f'{file} has two frames at {times_s[-1]:.3f} s, expected one')


def _frames(file: Path, height: int, width: int) -> Iterator[tuple[float, av.VideoFrame]]:
    """Yield (seconds, frame) in the order of time."""
    kind = FORMATS.get(file.suffix.lower())
    if kind is None:
        raise BagError(f'{file} has the ending {file.suffix!r}, expected {", ".join(FORMATS)}')
    try:
        with open_file(file) as stream, av.open(stream, format=kind) as video:
            rest = max(FRAMES, file.stat().st_size // FRAME_BYTES)
            track = next(iter(video.streams.video), None)
            size = (track.codec_context.height, track.codec_context.width) if track else ()
            if size != (height, width):
                raise BagError(f'{file} has pictures of {"x".join(map(str, size)) or "nothing"}, '
                               f'expected {height}x{width} (by the YAML file of the robot)')
            for frame in video.decode(track):
                rest -= 1
                if rest < 0 or (frame.height, frame.width) != (height, width):
                    raise BagError(f'{file} changes its size or has more frames than belong in it')
                if frame.time is None:
                    raise BagError(f'{file} has a frame without a time, expected one for each')
                yield frame.time, frame
    except av.FFmpegError as error:
        raise BagError(f'{file} cannot be read as a video: {error.strerror}') from error
    except OSError as error:
        raise BagError(f'{file} cannot be read: {error.strerror or error}') from error
