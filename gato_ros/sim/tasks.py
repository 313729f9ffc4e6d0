"""What the arm is to do: a task's name, its sentence, its goal and where its blocks may lie."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from gato_ros.config import ConfigError
from gato_ros.sim.world import BLOCKS

ALIASES = {'stack_wide': 'stack_red_on_blue_wide', 'stack_narrow': 'stack_red_on_blue_narrow'}
EXTENT = {'narrow': (0.08, 0.08), 'wide': (0.11, 0.20)}  # m from the centre, forwards and sideways
TIME_LIMIT_S = {'reach': 6.0, 'lift': 10.0, 'stack': 15.0, 'tower': 25.0}


@dataclass(frozen=True)
class Task:
    """One task.

    blocks     the block to reach or lift, or a stack's blocks from the top down
    extent     largest distance of a block from the workspace's centre, m: (forwards, sideways)
    """

    name: str
    kind: Literal['reach', 'lift', 'stack', 'tower']
    blocks: tuple[str, ...]
    sentence: str
    extent: tuple[float, float]

    @property
    def time_limit_s(self) -> float:
        return TIME_LIMIT_S[self.kind]

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(upper, lower) blocks of a stack, in the order of building."""
        return tuple(zip(self.blocks[-2::-1], self.blocks[:0:-1], strict=True))


def task_names() -> tuple[str, ...]:
    """Return every task's name, without aliases."""
    heads = [f'{kind}_{block}' for kind in ('reach', 'lift') for block in BLOCKS]
    heads += [f'stack_{a}_on_{b}' for a, b in permutations(BLOCKS, 2)] + ['tower']
    return tuple(f'{head}_{extent}' for head in heads for extent in EXTENT)


def load_task(name: str) -> Task:
    """Return a task by name, such as 'stack_wide' or 'lift_red_narrow'."""
    full = ALIASES.get(name, name)
    if full not in task_names():
        raise ConfigError(f'task {name!r} is unknown, expected reach_<block>, lift_<block>, '
                          'stack_<block>_on_<block> or tower, then _narrow or _wide, with a block '
                          f'of {", ".join(BLOCKS)}; or {" or ".join(ALIASES)}')
    head, extent = full.rsplit('_', 1)
    words = head.split('_')
    if head == 'tower':
        return Task(name, 'tower', ('red', 'blue', 'green'),
                    'stack the red block on the blue block on the green block', EXTENT[extent])
    if words[0] == 'stack':
        return Task(name, 'stack', (words[1], words[3]),
                    f'stack the {words[1]} block on the {words[3]} block', EXTENT[extent])
    verb = 'reach for' if words[0] == 'reach' else 'lift'
    kind: Literal['reach', 'lift'] = 'reach' if words[0] == 'reach' else 'lift'
    return Task(name, kind, (words[1],), f'{verb} the {words[1]} block', EXTENT[extent])
