"""A folder of pictures of the arm's scenes with exact texts, as a mixture's ``pictures`` take it.

    gato-ros scenes --count 4000 --out data/scenes

Each picture is one for every camera of the arm. A seed gives MOMENTS of them and a file of their
texts, which is written last: a finished seed is never made again. At the end all texts are joined
in ``captions.jsonl``:

    {"picture": {"front": "00100000-0-front.png", "wrist": ...}, "text": "a red block on a ..."}
    {"picture": {"front": "00100000-0-front.png", "wrist": ...}, "ask": "...?", "text": "yes"}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Seeds
from gato_ros.domains.language.captions import caption
from gato_ros.domains.language.moments import MOMENTS, Moment, Moments
from gato_ros.domains.language.questions import ask
from gato_ros.files import whole
from gato_ros.robot import load_robot
from gato_ros.workers import run_jobs

FILE = 'captions.jsonl'
TEXTS = 5  # of each picture
ROBOT = 'panda_sim'
Progress = Callable[[Iterable[int], int], Iterable[int]]


def make_scenes(out: Path, count: int, first_seed: int = Seeds().first_training, workers: int = 0,
                progress: Progress = lambda seeds, total: seeds) -> int:
    """Write ``count`` pictures with their texts, rounded up to whole seeds; return the texts.

    Raises ConfigError for seeds of tests, WorkerError when a process dies; what is finished is
    kept, and the same call goes on with it.
    """
    if first_seed < Seeds().first_training:
        raise ConfigError(f'first seed is {first_seed}, expected at least '
                          f'{Seeds().first_training}: lower ones are for validation and test')
    if count < 1:
        raise ConfigError(f'count is {count}, expected at least 1 picture')
    out.mkdir(parents=True, exist_ok=True)
    seeds = range(first_seed, first_seed + -(-count // MOMENTS))
    missing = [seed for seed in seeds if not _texts(out, seed).exists()]
    made = run_jobs(_make_one, missing, workers, _start_worker, (out,))
    for _ in progress(made, len(missing)):
        pass
    texts = ''.join(_texts(out, seed).read_text(encoding='utf-8') for seed in seeds)
    with whole(out / FILE) as aside:
        aside.write_text(texts, encoding='utf-8')
    return texts.count('\n')


def texts_of(moment: Moment, rng: np.random.Generator, held_out: bool = False
             ) -> list[dict[str, str]]:
    """Return TEXTS texts of a moment, or fewer: kind, ask, text.

    The caption has no question; of the others each is of another kind.
    """
    words = caption(moment.scene)
    texts = [{'kind': 'caption', 'text': words}] if words else []
    return texts + [{'kind': asked.kind, 'ask': asked.question, 'text': asked.answer}
                    for asked in ask(moment.scene, rng, TEXTS - len(texts), held_out)]


_out: Path
_moments: Moments


def _start_worker(out: Path) -> None:
    global _out, _moments
    _out, _moments = out, Moments(load_robot(ROBOT))


def _make_one(seed: int) -> int:
    lines, rng = [], np.random.default_rng((seed, 7))
    for number, moment in enumerate(_moments.of(seed)):
        files = {camera: f'{seed:08d}-{number}-{camera}.png' for camera in moment.pictures}
        for camera, picture in moment.pictures.items():
            if not cv2.imwrite(str(_out / files[camera]), picture[..., ::-1]):
                raise ConfigError(f'{_out / files[camera]} cannot be written')
        lines += [json.dumps({'picture': files, **text}) + '\n'
                  for text in texts_of(moment, rng)]
    with whole(_texts(_out, seed)) as aside:
        aside.write_text(''.join(lines), encoding='utf-8')
    return seed


def _texts(out: Path, seed: int) -> Path:
    return out / f'{seed:08d}.jsonl'
