"""Wilson's interval against published values."""

import pytest

from gato_ros.evaluation.statistics import Rate


@pytest.mark.parametrize(('successes', 'n', 'low', 'high'), [
    (45, 50, 0.786, 0.957), (190, 200, 0.910, 0.973), (475, 500, 0.927, 0.966),
    (0, 100, 0.0, 0.037), (100, 100, 0.963, 1.0)])
def test_wilson_interval(successes, n, low, high):
    assert Rate(successes, n).interval == pytest.approx((low, high), abs=6e-4)


def test_no_trials_are_no_rate():
    with pytest.raises(ValueError, match='0 successes of 0 trials'):
        Rate(0, 0)
