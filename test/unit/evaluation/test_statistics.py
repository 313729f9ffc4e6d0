"""Wilson's interval against published values, the interquartile mean by hand."""

import numpy as np
import pytest

from gato_ros.evaluation.statistics import Rate, interquartile_interval, interquartile_mean


@pytest.mark.parametrize(('successes', 'n', 'low', 'high'), [
    (45, 50, 0.786, 0.957), (190, 200, 0.910, 0.973), (475, 500, 0.927, 0.966),
    (0, 100, 0.0, 0.037), (100, 100, 0.963, 1.0)])
def test_wilson_interval(successes, n, low, high):
    assert Rate(successes, n).interval == pytest.approx((low, high), abs=6e-4)


def test_no_trials_are_no_rate():
    with pytest.raises(ValueError, match='0 successes of 0 trials'):
        Rate(0, 0)


def test_interquartile_mean_leaves_a_quarter_out_at_either_end():
    scores = np.array([[9.0, 0.0, 1.0, 2.0], [-100.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 1e9]])
    assert interquartile_mean(scores) == pytest.approx((2 + 3 + 4 + 5 + 6 + 7) / 6)
    assert interquartile_mean(np.array([3.0, 5.0])) == 4.0  # too few to leave any out


def test_its_interval_is_narrow_where_episodes_agree_and_always_the_same():
    rng = np.random.default_rng(1)
    wide, narrow = rng.normal(0.5, 0.4, (6, 50)), rng.normal(0.5, 0.01, (6, 50))
    low, high = interquartile_interval(wide)
    assert low < interquartile_mean(wide) < high and high - low > 0.02
    assert np.ptp(interquartile_interval(narrow)) < 0.01
    assert interquartile_interval(wide) == (low, high)
    assert interquartile_interval(np.ones((3, 2))) == (1.0, 1.0)
