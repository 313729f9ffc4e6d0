"""Which of a dataset's values is which of the robot's: by name, else by position, said aloud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gato_ros.untrusted import brief

# What a name may end with, and what it then means.
MEANINGS = {'pos': 'position', 'position': 'position', 'qpos': 'position', 'vel': 'velocity',
            'velocity': 'velocity', 'qvel': 'velocity', 'torque': 'effort', 'effort': 'effort',
            'tau': 'effort', 'force': 'effort'}
NUMBERED = re.compile(r'(joints?|motors?|dim|axis|state|action|index|value|[ajmqsx]|)[ _.-]?(\d+)')


def order(ours: Sequence[str], theirs: Any, meaning: str) -> tuple[list[int], str]:
    """Return where each of our values stands in a dataset's vector, and what must be said aloud.

    theirs   names as the dataset lists them, in any of the forms that LeRobot has had
    meaning  position, velocity or effort

    Raises ValueError, with a sentence, for names that are not the robot's.
    """
    names = _listed(theirs)
    positions = list(range(len(ours)))
    if not names:
        return positions, 'has no names, so its values are taken by position'
    if len(names) != len(ours) or len(set(names)) != len(names):
        raise ValueError(f'has the names {brief(names)}, expected one for each of '
                         f'{", ".join(ours)}')
    said = {MEANINGS[end] for name in names if (end := _parted(name)[1])}
    if said and said != {meaning}:
        raise ValueError(f'holds {" and ".join(sorted(said))} by its names {brief(names)}, '
                         f'expected {meaning}')
    for plainly in (_key, _short):
        keys, wanted = plainly(names), plainly(ours)
        if len(set(wanted)) == len(ours) and set(keys) == set(wanted):
            return [keys.index(key) for key in wanted], ''
    if _mean_nothing(names):
        return positions, f'has the names {brief(names)}, so its values are taken by position'
    raise ValueError(f'has the names {brief(names)}, expected {", ".join(ours)}')


def _listed(theirs: Any) -> list[str]:
    """Return names from a list, from {'motors': [...]}, or from {'x': 0, 'y': 1}."""
    if isinstance(theirs, dict):
        values = list(theirs.values())
        if values and all(isinstance(value, int) for value in values):
            theirs = sorted(theirs, key=lambda name: theirs[name])
        else:
            theirs = [name for value in values if isinstance(value, list) for name in value]
    if theirs is None:
        return []
    if not isinstance(theirs, list) or not all(isinstance(name, str) for name in theirs):
        raise ValueError(f'has the names {brief(theirs)}, expected a list of words')
    return theirs


def _parted(name: str) -> tuple[str, str]:
    """Return a name without its known ending, and the ending."""
    head, _, end = name.lower().replace('.', '_').rpartition('_')
    return (head, end) if head and end in MEANINGS else (name, '')


def _key(names: Sequence[str]) -> list[str]:
    return [re.sub('[^a-z0-9]', '', _parted(name)[0].lower()) for name in names]


def _short(names: Sequence[str]) -> list[str]:
    """Return the keys without the words that all of them begin with, such as a robot's name."""
    heads = [_parted(name)[0] for name in names]
    least, most = min(heads), max(heads)  # what these share, all share
    same = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), 0)
    start = re.sub('[^_./]*$', '', least[:same])
    return _key([head[len(start):] for head in heads])


def _mean_nothing(names: Sequence[str]) -> bool:
    """Whether these are numbers in their order, whatever stands before them."""
    found = [NUMBERED.fullmatch(name.lower()) for name in names]
    numbers = [int(match[2][:9]) for match in found if match]
    return (len(numbers) == len(names) and numbers[0] in (0, 1)
            and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            and len({match[1] for match in found if match}) == 1)
