"""Fetch's arm: the scripts do their tasks from any state, and a goal must be held."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.domains.registry import load_domain
from gato_ros.domains.suites.fetch import HELD, TASKS, pick_and_place, push
from gato_ros.domains.wrappers import open_environment
from gato_ros.training.disturbance import Disturbance

pytestmark = pytest.mark.sim


@pytest.mark.parametrize('task', TASKS)
def test_the_script_does_the_task_in_spite_of_noise(task: str) -> None:
    domain = load_domain('fetch')
    environment = open_environment(domain)
    wins = []
    for seed in range(4):
        seen, rng = environment.reset(task, seed), np.random.default_rng(seed)
        script = domain.demonstrator(environment, 'expert', rng)
        noise = Disturbance(rng, 0.2, environment.spec, domain)
        while not environment.ended:
            seen = environment.step(noise.apply(script.act(seen)))
        wins.append(environment.success)
        assert environment.score == float(environment.success)
    assert sum(wins) >= 3
    environment.close()


def test_a_goal_counts_only_once_it_was_held() -> None:
    domain = load_domain('fetch')
    environment = open_environment(domain)
    seen = environment.reset('reach', 1)
    script = domain.demonstrator(environment, 'expert', np.random.default_rng(0))
    near = 0
    while not environment.ended:
        seen = environment.step(script.act(seen))
        near += np.linalg.norm(seen.proprioception['goal']) < 0.05  # the suite's own radius
        assert environment.success == (near == HELD)
    environment.close()


def test_a_push_begins_behind_the_block_and_not_through_it() -> None:
    """The goal lies ahead of the block; the hand stands on the wrong side, so it rises first."""
    low, ahead = np.array([1.3, 0.75, 0.425]), np.array([0.1, 0.0, 0.0])
    assert push(low, ahead, np.array([0.07, 0.0, 0.0]))[0] > 0, 'behind it: pushes'
    wrong = push(low, ahead, np.array([-0.07, 0.0, 0.0]))
    assert wrong[2] > 0 and wrong[0] == 0, 'before it: goes up, not through it'


def test_a_block_is_lifted_only_when_the_fingers_hold_it() -> None:
    hand, goal, block = np.array([1.3, 0.75, 0.42]), np.array([0.0, 0.0, 0.2]), np.zeros(3)
    assert pick_and_place(hand, goal, block, np.array([0.1]))[2] == 0
    lifts = pick_and_place(hand, goal, block, np.array([0.05]))
    assert lifts[2] > 0 and lifts[3] == -1
