"""What the arm is to do: a task's name, its sentence, its goal and where its blocks may lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import Literal

import numpy as np

from gato_ros.config import ConfigError

BLOCKS = ('red', 'green', 'blue')
ALIASES = {'stack_wide': 'stack_red_on_blue_wide', 'stack_narrow': 'stack_red_on_blue_narrow',
           'stack_any_pair': 'stack_any_pair_wide', 'tower_of_three': 'tower_wide',
           'shapes_seen': 'shapes_seen_wide', 'shapes_unseen': 'shapes_unseen_wide'}
EXTENT = {'narrow': (0.08, 0.08), 'wide': (0.11, 0.20)}  # m from the centre, forwards and sideways
TIME_LIMIT_S = {'reach': 6.0, 'lift': 10.0, 'stack': 15.0, 'tower': 25.0}
PAIRS = tuple(permutations(BLOCKS, 2))  # (upper, lower)


@dataclass(frozen=True)
class Task:
    """One task.

    blocks     the block to reach or lift, or a stack's blocks from the top down; none where each
               episode has a pair of its own, see ``episode``
    extent     largest distance of a block from the workspace's centre, m: (forwards, sideways)
    shapes     the set that each episode draws its objects from, see shapes.py
    """

    name: str
    kind: Literal['reach', 'lift', 'stack', 'tower']
    blocks: tuple[str, ...]
    sentence: str
    extent: tuple[float, float]
    shapes: Literal['cubes', 'seen', 'unseen'] = 'cubes'

    @property
    def time_limit_s(self) -> float:
        return TIME_LIMIT_S[self.kind]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(upper, lower) blocks of a stack, in the order of building."""
        return tuple(zip(self.blocks[-2::-1], self.blocks[:0:-1], strict=True))

    def episode(self, seed: int) -> Task:
        """Return the task of this seed's episode, with the pair and the sentence settled."""
        if self.blocks:
            return self
        return self.of(PAIRS[np.random.default_rng((seed, 3)).integers(len(PAIRS))])

    def of(self, pair: tuple[str, str]) -> Task:
        """Return this task for another pair, (upper, lower)."""
        return replace(self, blocks=pair, sentence=_sentence(*pair))


def task_names() -> tuple[str, ...]:
    """Return every task's name, without aliases."""
    heads = [f'{kind}_{block}' for kind in ('reach', 'lift') for block in BLOCKS]
    heads += [f'stack_{a}_on_{b}' for a, b in PAIRS]
    heads += ['stack_any_pair', 'tower', 'shapes_seen', 'shapes_unseen']
    return tuple(f'{head}_{extent}' for head in heads for extent in EXTENT)


def load_task(name: str) -> Task:
    """Return a task by name, such as 'stack_wide' or 'lift_red_narrow'."""
    full = ALIASES.get(name, name)
    if full not in task_names():
        raise ConfigError(f'task {name!r} is unknown, expected reach_<block>, lift_<block>, '
                          'stack_<block>_on_<block>, stack_any_pair, tower, shapes_seen or '
                          'shapes_unseen, then _narrow or _wide, with a block of '
                          f'{", ".join(BLOCKS)}; or one of {", ".join(ALIASES)}')
    head, extent = full.rsplit('_', 1)
    words = head.split('_')
    place = EXTENT[extent]
    if head == 'tower':
        return Task(name, 'tower', ('red', 'blue', 'green'),
                    'stack the red block on the blue block on the green block', place)
    if head == 'stack_any_pair':
        return Task(name, 'stack', (), 'stack one block on another', place)
    if words[0] == 'shapes':
        return Task(name, 'stack', ('red', 'blue'), _sentence('red', 'blue'), place,
                    'seen' if words[1] == 'seen' else 'unseen')
    if words[0] == 'stack':
        return Task(name, 'stack', (words[1], words[3]), _sentence(words[1], words[3]), place)
    verb = 'reach for' if words[0] == 'reach' else 'lift'
    kind: Literal['reach', 'lift'] = 'reach' if words[0] == 'reach' else 'lift'
    return Task(name, kind, (words[1],), f'{verb} the {words[1]} block', place)


def load_training_task(name: str) -> Task:
    """Return a task by name; ConfigError for one that is held out for evaluation."""
    task = load_task(name)
    if task.shapes == 'unseen':
        raise ConfigError(f'task {name!r} is held out for evaluation: its objects must never be '
                          'seen in training; shapes_seen has others')
    return task


def _sentence(upper: str, lower: str) -> str:
    return f'stack the {upper} block on the {lower} block'
