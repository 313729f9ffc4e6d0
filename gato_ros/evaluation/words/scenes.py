"""Captions and answers about scenes of the test seeds, word for word; and the same seeing grey."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from gato_ros.domains.language.moments import MOMENTS, Moment, Moments
from gato_ros.domains.language.scenes import ROBOT, texts_of
from gato_ros.evaluation.statistics import Rate
from gato_ros.policy.words import Pictures, Speaker
from gato_ros.robot import load_robot

GREY = 128  # of every pixel, for the control that sees nothing
LONGEST = 64  # tokens of an answer; the longest right one has about 40
GROUPS = ('captions', 'answers', 'answers to held-out wordings')


@dataclass(frozen=True)
class Said:
    """A question of a test scene ('' for a caption), what is right, and what was said.

    blind  what the same policy says when all pictures are grey
    """

    seed: int
    group: str
    kind: str
    question: str
    right: str
    said: str
    blind: str


def ask_scenes(speaker: Speaker, seeds: Iterable[int]) -> Iterator[Said]:
    """Ask about one moment of each seed: the caption, and questions in both sets of wordings."""
    moments = Moments(load_robot(ROBOT))
    try:
        for seed in seeds:
            moment = next(islice(moments.of(seed), seed % MOMENTS, None))
            yield from _ask(speaker, seed, moment)
    finally:
        moments.close()


def _ask(speaker: Speaker, seed: int, moment: Moment) -> Iterator[Said]:
    grey = {camera: np.full_like(picture, GREY) for camera, picture in moment.pictures.items()}
    for held_out in (False, True):
        rng = np.random.default_rng((seed, 8, held_out))
        for text in texts_of(moment, rng, held_out):
            question = text.get('ask', '')
            if held_out and not question:
                continue
            group = GROUPS[0 if not question else 1 + held_out]
            said, blind = (_said(speaker, question, shown) for shown in (moment.pictures, grey))
            yield Said(seed, group, text['kind'], question, text['text'], said, blind)


def _said(speaker: Speaker, question: str, pictures: Pictures) -> str:
    return ''.join(speaker.answer(question, pictures, LONGEST)).strip()


def rates(found: Sequence[Said], key: str = 'group') -> dict[str, tuple[Rate, Rate]]:
    """Return how many were right, and how many were seeing grey, by group or by kind."""
    names = list(dict.fromkeys(getattr(one, key) for one in found))
    return {name: (_rate(mine, 'said'), _rate(mine, 'blind')) for name in names
            for mine in [[one for one in found if getattr(one, key) == name]]}


def _rate(found: Sequence[Said], who: str) -> Rate:
    return Rate(sum(getattr(one, who) == one.right for one in found), len(found))
