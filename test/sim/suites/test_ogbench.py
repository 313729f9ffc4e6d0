"""OGBench's arm: the oracles do every task, noise or none, and puzzles are solved."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.domains.registry import load_domain
from gato_ros.domains.suites.ogbench import NEIGHBOURS, PRESSES, TASKS
from gato_ros.domains.wrappers import open_environment
from gato_ros.training.disturbance import Disturbance

pytestmark = pytest.mark.sim


@pytest.mark.parametrize('task', TASKS)
def test_the_oracle_does_the_task_and_the_same_seed_is_the_same_episode(task: str) -> None:
    domain = load_domain('ogbench')
    environment = open_environment(domain)
    lengths, last = [], []
    for _ in range(2):
        seen, rng = environment.reset(task, 5), np.random.default_rng(0)
        oracle = domain.demonstrator(environment, 'expert', rng)
        noise = Disturbance(rng, 0.2, environment.spec, domain)
        while not environment.ended:
            seen = environment.step(noise.apply(oracle.act(seen)))
        assert environment.success
        lengths.append(environment.progress)
        last.append(seen.proprioception['hand'])
    assert lengths[0] == lengths[1] and np.array_equal(*last)
    environment.close()


def test_every_puzzle_of_nine_buttons_has_one_solution() -> None:
    """Pressing a corner changes it and two others; all 512 states are reached."""
    assert NEIGHBOURS[0].tolist() == [1, 1, 0, 1, 0, 0, 0, 0, 0]
    assert NEIGHBOURS[4].sum() == 5
    assert len(PRESSES) == 512


def test_a_locked_drawer_is_unlocked_first() -> None:
    domain = load_domain('ogbench')
    environment = open_environment(domain)
    for seed in range(20):
        seen = environment.reset('drawer', seed)
        if seen.proprioception['locked'][0]:
            break
    start = abs(seen.proprioception['goal'][0])
    oracle = domain.demonstrator(environment, 'expert', np.random.default_rng(0))
    while seen.proprioception['locked'][0]:
        assert abs(seen.proprioception['goal'][0]) > start - 0.01, 'it does not move yet'
        seen = environment.step(oracle.act(seen))
    while not environment.ended:
        seen = environment.step(oracle.act(seen))
    assert environment.success
    environment.close()


def test_a_cube_has_four_sides_that_look_alike() -> None:
    domain = load_domain('ogbench')
    environment = open_environment(domain)
    turns = [environment.reset('cube_single', seed).proprioception['turn'][0] for seed in range(8)]
    assert np.abs(turns).max() <= np.pi / 4 + 1e-9
    environment.close()
