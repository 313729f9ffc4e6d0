"""Where the things that a BabyAI mission names stand in the view.

A training-only target: cloning alone teaches slowly which cell *the red ball* is, for most actions
would be the same for another ball. It follows from what is seen and said, and a policy never
reads it.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

MENTIONS = 2  # of a mission that are pointed at, in their order
KINDS = {kind: (kind,) for kind in ('ball', 'box', 'key', 'door')} | {
    'object': ('ball', 'box', 'key')}
PLACE = r'(?: (?:on your (?:left|right)|in front of you|behind you))?'
MENTION = re.compile(rf'\b(?:the|a|an) (?:({"|".join(COLOR_TO_IDX)}) )?'
                     rf'({"|".join(KINDS)})({PLACE})')


@cache
def _meant(mission: str) -> list[tuple[tuple[int, ...], int | None, bool]]:
    """Return kinds, colour (None: any) and whether a place is said, of each mention."""
    return [(tuple(OBJECT_TO_IDX[one] for one in KINDS[kind]),
             COLOR_TO_IDX[colour] if colour else None, bool(place))
            for colour, kind, place in MENTION.findall(mission)[:MENTIONS]]


def pointed_at(mission: str, kinds: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return float64[4]: cells ahead and to the right of the nearest that fits each mention.

    kinds, colours  int[7, 7], the view's cells; the agent stands in the middle of the last row

    NaN where none is in view, where the mission has one mention, or where it says a place and
    several fit: the place was meant at the start.
    """
    found = np.full(2 * MENTIONS, np.nan)
    last, middle = kinds.shape[0] - 1, kinds.shape[1] // 2
    for number, (wanted, colour, placed) in enumerate(_meant(mission)):
        fits = np.isin(kinds, wanted)
        if colour is not None:
            fits &= colours == colour
        rows, columns = np.nonzero(fits)
        if not len(rows) or (placed and len(rows) > 1):
            continue
        ahead, right = last - rows, columns - middle
        nearest = np.argmin(ahead + abs(right))
        found[2 * number:2 * number + 2] = ahead[nearest], right[nearest]
    return found
