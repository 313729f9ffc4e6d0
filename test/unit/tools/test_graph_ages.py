"""Ages in the graph: known ones are found, none is negative, none belongs to another episode."""

import numpy as np
import pytest

from gato_ros.tools.bench.ages import ages

PERIOD_S = 0.05


def episode(begin, length_s=1.0, late=lambda stamp: 0.0, answer_s=0.02):
    """Return joint states every 10 ms and answers every 50 ms; ``late`` holds messages up.

    They leave in order, so one that is late holds up those behind it.
    """
    stamps = [round(0.01 * i, 9) for i in range(1, round(length_s / 0.01))]
    times = np.maximum.accumulate([begin + s + late(s) for s in stamps])
    joints = list(zip(stamps, times.tolist(), strict=True))
    return joints, [(s, t + answer_s) for s, t in joints if round(s / 0.01) % 5 == 0]


def test_an_age_counts_from_the_stamp_though_the_message_was_late():
    joints, answers = episode(100.0, late=lambda stamp: 0.03 if stamp == 0.5 else 1e-4)
    found = ages(joints, answers, PERIOD_S)
    assert found.missed == 0 and len(found.periods) == len(answers) - 1
    np.testing.assert_allclose(sorted(found.since_stamp)[:-1], 20.0, atol=1e-6)
    assert max(found.since_stamp) == pytest.approx(49.9)
    np.testing.assert_allclose(found.since_sent, 20.0, atol=1e-6)


def test_stretched_time_makes_no_age_longer():
    """From stamp 0.5 on the simulator runs 0.4 s late: its clock stood still meanwhile."""
    joints, answers = episode(100.0, late=lambda stamp: 0.4 if stamp >= 0.5 else 0.0)
    np.testing.assert_allclose(ages(joints, answers, PERIOD_S).since_stamp, 20.0, atol=1e-6)


def test_no_answer_counts_in_another_episode_than_its_own():
    """Time begins anew; late answers of the former episode and corrections come in between."""
    first, second = episode(100.0), episode(102.0)
    strays = [(0.9, 102.06), (0.95, 102.3), (0.45, 102.3), (0.0, 102.005), (0.95, 101.0)]
    found = ages([*first[0], *second[0]], [*second[1], *strays, *first[1]], PERIOD_S)
    assert len(found.since_stamp) == 38 and found.missed == 0
    np.testing.assert_allclose(found.since_stamp, 20.0, atol=1e-6)


def test_what_was_not_answered_is_missed_from_the_first_observation_on():
    joints, answers = episode(100.0)
    left_out = [a for a in answers if round(a[0] / PERIOD_S) not in (1, 7, 8)]
    assert ages(joints, left_out, PERIOD_S).missed == 3


def test_nothing_makes_no_ages():
    assert ages([], [], PERIOD_S).since_stamp == []
    assert ages([], [(0.05, 100.0)], PERIOD_S).since_stamp == []
