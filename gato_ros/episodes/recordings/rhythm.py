"""Whether a recording's time is sound: stamps that go on, the robot's rate, few holes.

Time without an observation counts from the first to the last command, so that a camera which dies
before the end, or comes late, is seen as well as one that pauses.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_ros.episodes.recordings.alignment import seconds
from gato_ros.episodes.recordings.mcap_file import Logged
from gato_ros.messages import to_ns
from gato_ros.robot import RobotSpec

HOLES = 0.05  # of a recording's time


@dataclass(frozen=True)
class Rhythm:
    """How steps follow each other.

    longest_s  longest time between two steps
    blind      share of the time from the first to the last command without an observation
    refusal    why this is no training data, '' if it may be
    """

    longest_s: float = 0.0
    blind: float = 0.0
    refusal: str = ''


def by_stamp(topic: str, rows: Sequence[Logged], robot: RobotSpec) -> dict[int, Any]:
    """Return stamp in ns -> message, rising; of equal stamps the last, as a live node would take.

    rows  in the order of arrival

    A message that is late by less than the robot's disorder_s is put in its place. One that is
    repeated, byte by byte, means nothing: a simulator that waits for an answer does so.
    Raises ValueError, with a sentence, for stamps that go back further, that stand still while
    what they stamp changes, or that are not set.
    """
    found: dict[int, Any] = {}
    newest, since, still_ns, last_ns, last = 0, 0, 0, 0, 0
    for arrived, checksum, msg in rows:
        stamp = to_ns(msg.header.stamp)
        if found and newest - stamp >= max(1.0, robot.disorder_s * 1e9):
            raise ValueError(f'{topic} goes back from {seconds(newest)} to {seconds(stamp)}, '
                             'expected rising stamps: one episode in one file')
        if stamp not in found:
            since = arrived
        elif checksum != last and arrived - since > 0.5e9 / robot.rate_hz:
            still_ns += arrived - last_ns
        found[stamp] = msg
        newest, last_ns, last = max(newest, stamp), arrived, checksum
    if len(rows) > 1 and newest == 0:
        raise ValueError(f'the {len(rows)} messages of {topic} carry no stamp (0), expected '
                         'header.stamp in each (set by its driver)')
    spent = rows[-1].arrived_ns - rows[0].arrived_ns if rows else 0
    if still_ns > max(HOLES * spent, 2e9 / robot.rate_hz):
        raise ValueError(f'the stamps of {topic} stand still for {still_ns * 1e-9:.3f} s while '
                         'messages arrive, expected header.stamp to rise (set by its driver)')
    return dict(sorted(found.items()))


def judge(robot: RobotSpec, steps: Sequence[int], actions: Sequence[int], source: str,
          sensors: Mapping[str, Sequence[int]], missing: Mapping[int, str]) -> Rhythm:
    """Judge stamps in ns that rise.

    steps    of the actions that have an observation;  actions  of all, which come from ``source``
    sensors  topic -> stamps;  missing  stamp of an action -> why it has no observation

    A hole is what would have stopped the robot: longer than a period and a camera's largest age.
    A stall of the machine does not spoil a long demonstration: holes may take HOLES of its time.
    """
    if not steps:
        why = next(iter(missing.values()), 'there is none')
        return Rhythm(blind=1.0, refusal=f'no action of {source} has an observation: {why}')
    if len(actions) < 2:
        return Rhythm()
    period_s = 1 / robot.rate_hz
    ends = np.array([actions[0], *steps, actions[-1]])
    gaps = np.diff(ends) * 1e-9
    spent = (actions[-1] - actions[0]) * 1e-9
    blind = float((gaps[gaps > 1.5 * period_s] - period_s).sum() / spent)
    inner = gaps[1:-1]
    found = Rhythm(float(inner.max()) if inner.size else 0.0, blind)
    pace = _pace(robot, inner, actions, source, sensors)
    if pace:
        return Rhythm(found.longest_s, blind, pace)
    limit_s = period_s + max((c.max_age_s for c in robot.cameras),
                             default=robot.joint_states_max_age_s)
    share = gaps[gaps > limit_s].sum() / spent
    if share <= HOLES:
        return found
    worst = int(gaps.argmax())
    start, stop = int(ends[worst]), int(ends[worst + 1])
    inside = list(missing)[bisect_left(list(missing), start):bisect_right(list(missing), stop)]
    reason = missing[inside[0]] if inside else f'{source} has no message between them'
    return Rhythm(found.longest_s, blind, (
        f'no complete step between {seconds(start)} and {seconds(stop)}, expected one within '
        f"{limit_s:g} s (by rate_hz and max_age_s in the robot's YAML file), and "
        f'{100 * share:.0f} % of its time has none, expected at most {100 * HOLES:.0f} %: '
        f'{reason}'))


def _pace(robot: RobotSpec, gaps: np.ndarray, actions: Sequence[int], source: str,
          sensors: Mapping[str, Sequence[int]]) -> str:
    """Return which topic has not the robot's rate, '' when each has."""
    period_s = 1 / robot.rate_hz
    asked = f'expected {period_s:g} s (rate_hz in the YAML file of robot {robot.name!r})'
    if not gaps.size or (gaps.mean() >= 0.75 * period_s and np.median(gaps) <= 1.5 * period_s):
        return ''
    commands_s = _apart(actions)
    if commands_s > 1.5 * period_s or gaps.mean() < 0.75 * period_s:
        return f'the actions of {source} are {np.median(gaps):.3f} s apart, {asked}'
    slowest = max(sensors, key=lambda topic: _apart(sensors[topic]))
    if _apart(sensors[slowest]) > 1.5 * period_s:
        return (f'the messages of {slowest} are {_apart(sensors[slowest]):.3f} s apart, {asked} '
                'or less from its driver')
    return ''


def _apart(stamps: Sequence[int]) -> float:
    return float(np.median(np.diff(np.array(stamps)))) * 1e-9 if len(stamps) > 1 else float('inf')
