"""The demo's video: both cameras, the torques that were sent and the tokens behind them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from gato_ros.robot import RobotSpec
from gato_ros.tokens.vocab import CONTINUOUS
from gato_ros.tools.graph.watch import Episode

WIDTH, HEIGHT = 1280, 720
PICTURE = 300  # pixels along a picture's side
LEFT, RIGHT = 24, 400  # left edges of the pictures and of the curves, pixels
CURVES_TOP, CURVES_BOTTOM, TOKENS_TOP, TOKENS_BOTTOM = 96, 436, 488, 688
NAMES = 150  # width of the column of joint names, pixels
SECONDS = 5.0  # shown at once
HOLD_FRAMES = 20  # the last picture of an episode stands still

# Colours in BGR.
GROUND, PANEL, LINE = (26, 22, 20), (38, 33, 30), (70, 62, 56)
TEXT, FAINT = (235, 230, 225), (160, 150, 140)
GOOD, BAD = (120, 200, 110), (90, 100, 235)
HUES = ((232, 178, 86), (115, 158, 0), (66, 228, 240), (178, 114, 0), (0, 94, 213),
        (167, 121, 204), (0, 159, 230), (200, 200, 200))  # told apart by colour-blind eyes too


def draw_video(path: Path, episodes: Sequence[Episode], robot: RobotSpec) -> None:
    """Write an mp4 at the control rate, so that it plays in simulated real time.

    Raises OSError when no file can be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), int.from_bytes(b'mp4v', 'little'), robot.rate_hz,
                             (WIDTH, HEIGHT))
    if not writer.isOpened():
        raise OSError(f'{path} cannot be written as mp4v; is the folder writable?')
    try:
        for index, episode in enumerate(episodes):
            title = f'episode {index + 1} of {len(episodes)}, seed {episode.result["seed"]}'
            for frame in _frames(episode, robot, title):
                writer.write(frame)
    finally:
        writer.release()


def _frames(episode: Episode, robot: RobotSpec, title: str) -> Iterator[np.ndarray]:
    """Yield uint8[HEIGHT, WIDTH, 3] in BGR, one for each control period that was seen."""
    stamps = sorted(set.intersection(*(set(images) for images in episode.images.values())))
    empty = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    _text(empty, episode.result['sentence'], (LEFT, 40), 0.8, TEXT)
    _text(empty, title, (LEFT, 68), 0.5, FAINT)
    frame = empty
    for stamp in stamps:
        frame = empty.copy()
        for row, camera in enumerate(robot.cameras):
            _picture(frame, episode.images[camera.name][stamp], camera.name, row)
        _curves(frame, episode, robot, stamp)
        _tokens(frame, episode, robot, stamp)
        _text(frame, f'{stamp * 1e-9:6.2f} s', (WIDTH - 130, 40), 0.7, TEXT)
        yield frame
    won = episode.result['status'] == 'success'
    last = frame.copy()
    words = 'success' if won else f'failed: {episode.result["failure"]}'
    cv2.rectangle(last, (LEFT, 84), (LEFT + PICTURE, 84 + 2 * PICTURE + 20), GOOD if won else BAD,
                  3, cv2.LINE_AA)
    _text(last, words, (WIDTH - 330, 68), 0.6, GOOD if won else BAD)
    for _ in range(HOLD_FRAMES):
        yield last


def _picture(frame: np.ndarray, image: np.ndarray, name: str, row: int) -> None:
    """Enlarge one camera's picture; its pixels stay visible, for that is what the policy sees."""
    top = 84 + row * (PICTURE + 20)
    large = cv2.resize(np.ascontiguousarray(image[..., ::-1]), (PICTURE, PICTURE),
                       interpolation=cv2.INTER_NEAREST)
    frame[top:top + PICTURE, LEFT:LEFT + PICTURE] = large
    _text(frame, name, (LEFT + 8, top + 20), 0.5, TEXT)


def _column(stamp: int, now: int) -> int:
    """Return where on the time axis a moment lies; now is at the right."""
    left, right = RIGHT + NAMES, WIDTH - 24
    return round(right - (now - stamp) * 1e-9 / SECONDS * (right - left))


def _lanes(frame: np.ndarray, top: int, bottom: int, names: Sequence[str], title: str
           ) -> list[tuple[int, int]]:
    """Draw a panel with one lane for each name and return their (top, bottom)."""
    _text(frame, title, (RIGHT, top - 10), 0.5, FAINT)
    cv2.rectangle(frame, (RIGHT + NAMES, top), (WIDTH - 24, bottom), PANEL, cv2.FILLED)
    height = (bottom - top) / len(names)
    lanes = [(round(top + i * height), round(top + (i + 1) * height)) for i in range(len(names))]
    for (start, end), name in zip(lanes, names, strict=True):
        _text(frame, name, (RIGHT, (start + end) // 2 + 4), 0.38, FAINT)
    return lanes


def _recent(stamps: Sequence[int], now: int) -> list[int]:
    return [s for s in sorted(stamps) if now - SECONDS * 1e9 <= s <= now]


def _curves(frame: np.ndarray, episode: Episode, robot: RobotSpec, now: int) -> None:
    """Draw what was sent to each joint, as a step curve from -scale to scale."""
    lanes = _lanes(frame, CURVES_TOP, CURVES_BOTTOM, [_short(n) for n in robot.joint_names],
                   'torque sent, Nm (finger: N); a lane is plus and minus the full scale')
    stamps = _recent(list(episode.efforts), now)
    for i, (top, bottom) in enumerate(lanes):
        middle, half = (top + bottom) / 2, (bottom - top) / 2 - 3
        cv2.line(frame, (RIGHT + NAMES, round(middle)), (WIDTH - 24, round(middle)), LINE, 1)
        values = [episode.efforts[s][i] for s in stamps]
        points = []
        for stamp, value, until in zip(stamps, values, [*stamps, now][1:], strict=True):
            y = round(middle - value / robot.scale[i] * half)
            points += [(_column(stamp, now), y), (_column(until, now), y)]
        if points:
            cv2.polylines(frame, [np.array(points, np.int32)], False, HUES[i % len(HUES)], 2,
                          cv2.LINE_AA)
            _text(frame, f'{values[-1]:+6.1f}', (RIGHT + 86, (top + bottom) // 2 + 4), 0.38, TEXT)


def _tokens(frame: np.ndarray, episode: Episode, robot: RobotSpec, now: int) -> None:
    """Draw the sampled action tokens over time: the bin as a colour, the newest ids as numbers."""
    stamps = _recent(list(episode.steps), now)
    newest = episode.steps[stamps[-1]] if stamps else None
    title = 'sampled action tokens'
    if newest:
        title += (f', answered in {newest["latency_ms"]:.0f} ms, {newest["window"]} tokens in '
                  'the window')
    lanes = _lanes(frame, TOKENS_TOP, TOKENS_BOTTOM, [_short(n) for n in robot.joint_names], title)
    period = round(1e9 / robot.rate_hz)
    for i, (top, bottom) in enumerate(lanes):
        for stamp in stamps:
            start, end = _column(stamp, now + period), _column(stamp + period, now + period)
            cv2.rectangle(frame, (start, top + 1), (end - 1, bottom - 1),
                          _colour(episode.steps[stamp]['tokens'][i]), cv2.FILLED)
        if newest:
            _text(frame, str(newest['tokens'][i]), (RIGHT + 92, (top + bottom) // 2 + 4), 0.38,
                  TEXT)


def _colour(token: int) -> tuple[int, ...]:
    """Return a colour for one of 1024 bins: blue below zero, dark at zero, orange above."""
    share = (token - CONTINUOUS[0] - 511.5) / 511.5
    end = np.array((80, 150, 250) if share > 0 else (240, 140, 60))
    return tuple(int(v) for v in np.array(PANEL) + abs(share) ** 0.5 * (end - np.array(PANEL)))


def _short(name: str) -> str:
    """Return a joint's name without what all of them begin with."""
    return name.removeprefix('panda_').replace('_joint1', '').replace('_', ' ')


def _text(frame: np.ndarray, words: str, at: tuple[int, int], size: float,
          colour: tuple[int, int, int]) -> None:
    cv2.putText(frame, words, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
