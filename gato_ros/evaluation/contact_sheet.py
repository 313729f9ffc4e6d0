"""Pictures of failed episodes: a strip for each while it is rolled out, one sheet of them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import cv2
import numpy as np

from gato_ros.domains.domain import Environment
from gato_ros.evaluation.rollout import Outcome
from gato_ros.files import whole

FRAMES = 4  # pictures kept of an episode, evenly over its longest time
FRAME_SIZE = 112  # pixels
PICTURED = ('policy', 'expert')  # whose failures are worth a look
SHEET = 'failures.png'
LARGEST, COLUMNS, CAPTION = 48, 4, 20  # strips on a sheet and in a row; pixels of a line of text


class Frames:
    """Watches an episode: uint8[H, W, 3] at each quarter of the longest one."""

    def __init__(self) -> None:
        self.pictures: list[np.ndarray] = []

    def watch(self, environment: Environment) -> None:
        """Take a picture if it is time."""
        if environment.progress >= (len(self.pictures) + 1) / FRAMES:
            self.pictures.append(environment.picture(FRAME_SIZE))


def save_frames(out: Path, outcome: Outcome, frames: Sequence[np.ndarray]) -> None:
    """Write a failed episode's frames uint8[H, W, 3] side by side, under ``out``/failures."""
    path = _strip(out, outcome)
    path.parent.mkdir(parents=True, exist_ok=True)
    _, png = cv2.imencode('.png', np.concatenate(frames, axis=1)[..., ::-1])
    with whole(path) as aside:
        aside.write_bytes(png.tobytes())


def draw_sheet(out: Path, outcomes: Iterable[Outcome], name: str = SHEET) -> Path | None:
    """Draw a contact sheet; None, and no sheet, when nothing failed that has pictures.

    Where there are too many, each task, randomisation, actor and kind of failure gets its share.
    """
    kinds: dict[tuple[str, ...], list[tuple[Outcome, Path]]] = {}
    for outcome in sorted(outcomes, key=lambda o: o.seed):
        if outcome.actor in PICTURED and outcome.success is False:
            path = _strip(out, outcome)
            if path.exists():
                kind = outcome.task, outcome.randomisation, outcome.actor, outcome.failure
                kinds.setdefault(kind, []).append((outcome, path))
    found = [item for item in chain(*zip_longest(*kinds.values())) if item is not None]
    (out / name).unlink(missing_ok=True)
    if not found:
        return None
    shown = sorted(found[:LARGEST], key=lambda item: (item[0].task, item[0].randomisation,
                                                      item[0].actor, item[0].failure,
                                                      item[0].seed))
    tiles = _alike([_tile(outcome, path) for outcome, path in shown])
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS if len(tiles) > COLUMNS else 0)
    rows = [np.concatenate(tiles[i:i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)]
    times = ', '.join(f'{100 * (i + 1) // FRAMES}' for i in range(FRAMES))
    head = _caption(f'{len(shown)} of {len(found)} failures, at {times} % of the longest '
                    'episode', rows[0].shape[1])
    cv2.imwrite(str(out / name), np.concatenate([head, *rows]))
    return out / name


def _strip(out: Path, outcome: Outcome) -> Path:
    task = outcome.task.replace('/', '-')
    return out / 'failures' / (f'{task}-{outcome.randomisation}-{outcome.actor}-'
                               f'{outcome.seed:05d}-{outcome.fingerprint}.png')


def _alike(tiles: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return tiles of one size: an episode that is lost early has fewer frames than others."""
    height, width = (max(tile.shape[axis] for tile in tiles) for axis in (0, 1))
    return [cv2.copyMakeBorder(tile, 0, height - tile.shape[0], 0, width - tile.shape[1],
                               cv2.BORDER_CONSTANT) for tile in tiles]


def _tile(outcome: Outcome, path: Path) -> np.ndarray:
    """Return a strip under its caption, uint8[H, W, 3] in BGR."""
    strip = np.asarray(cv2.imread(str(path)))
    text = (f'{outcome.task} {outcome.randomisation} {outcome.actor}, seed {outcome.seed}: '
            f'{outcome.failure}')
    tile = np.concatenate([_caption(text, strip.shape[1]), strip])
    return cv2.copyMakeBorder(tile, 0, 6, 0, 6, cv2.BORDER_CONSTANT)


def _caption(text: str, width: int) -> np.ndarray:
    line = np.zeros((CAPTION, width, 3), np.uint8)
    cv2.putText(line, text, (2, CAPTION - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255, 255, 255), 1,
                cv2.LINE_AA)
    return line
