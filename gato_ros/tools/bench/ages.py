"""From the messages of a running graph to ages and periods; needs no ROS.

Stamps are the simulator's time, which begins anew with each episode and is stretched where the
machine is too slow for it. What the clock showed at a stamp is found from the joint states: the
one that left soonest after its stamp, from this stamp to a quarter of a second later, was not held
up. Earlier ones say nothing: time may have been stretched since.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

WINDOW_S = 0.25  # in which one joint state at least is not held up

Message = tuple[float, float]  # stamp, and when it left its publisher; seconds


@dataclass
class Ages:
    """What became of the answers: milliseconds, one of each for each answer but ``periods``.

    since_stamp   from the stamp of the observation to the answer
    since_sent    from the joint state of that stamp to the answer
    periods       between the answers to one observation and the next
    missed        observations, one a control period, that were not answered
    """

    since_stamp: list[float] = field(default_factory=list)
    since_sent: list[float] = field(default_factory=list)
    periods: list[float] = field(default_factory=list)
    missed: int = 0


def ages(joints: Sequence[Message], answers: Sequence[Message], period_s: float) -> Ages:
    """Match the first answer to each observation with the joint state of the same stamp.

    An answer that left when its observation had not been made yet belongs to a former episode. The
    first observation of an episode does not count: the simulator waits for its answer.
    """
    episodes = _episodes(joints)
    begins = [sent[0] for _, sent in episodes]
    found = Ages()
    last: tuple[int, float, float] = (-1, 0.0, 0.0)  # episode, stamp and time of an answer
    for stamp, sent in sorted(answers, key=lambda message: message[1]):
        number = bisect_right(begins, sent) - 1
        if number < 0 or stamp < period_s / 2:
            continue
        stamps, times = episodes[number]
        first = int(np.searchsorted(stamps, stamp))
        if first == len(stamps) or stamps[first] != stamp or times[first] > sent:
            continue
        before = last if last[0] == number else (number, 0.0, 0.0)
        if stamp <= before[1]:  # said again, or of another order
            continue
        window = slice(first, int(np.searchsorted(stamps, stamp + WINDOW_S, side='right')))
        found.since_stamp.append((sent - stamp - (times - stamps)[window].min()) * 1e3)
        found.since_sent.append((sent - times[first]) * 1e3)
        gap = round((stamp - before[1]) / period_s)
        found.missed += max(0, gap - 1)
        if gap == 1 and before[1]:
            found.periods.append((sent - before[2]) * 1e3)
        last = number, stamp, sent
    return found


def _episodes(joints: Sequence[Message]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return stamps and times of each episode; a stamp that came again counts the last time."""
    rows = np.array(sorted(joints, key=lambda message: message[1]), np.float64).reshape(-1, 2)
    parts = np.split(rows, np.flatnonzero(np.diff(rows[:, 0]) < 0) + 1)
    last = [np.append(np.diff(part[:, 0]) > 0, True) for part in parts if len(part)]
    return [(part[keep, 0], part[keep, 1]) for part, keep in zip(
        filter(len, parts), last, strict=True)]
