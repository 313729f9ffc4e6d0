"""Gymnasium's own environments: experts do their tasks, and do so from any state."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.classic.linear import linear
from gato_ros.domains.classic.tables import best_actions
from gato_ros.domains.classic.tasks import TASKS
from gato_ros.domains.domain import Environment
from gato_ros.domains.registry import load_domain
from gato_ros.domains.wrappers import open_environment
from gato_ros.spec import ContinuousField

pytestmark = pytest.mark.sim

# What an expert must return at least, on average of two seeds: well above chance.
LEAST = {'cart_pole': 500, 'mountain_car': -130, 'mountain_car_continuous': 85, 'pendulum': -300,
         'acrobot': -130, 'lunar_lander': 180, 'lunar_lander_continuous': 200,
         'cliff_walking': -13, 'cliff_walking_slippery': -150, 'taxi': 3,
         'inverted_pendulum': 500, 'inverted_double_pendulum': 4500, 'reacher': -7,
         'swimmer': 150, 'half_cheetah': 1000}


def play(environment: Environment, task: str, seed: int) -> list[np.ndarray]:
    """Let the expert act for one episode; return all that was seen."""
    domain = load_domain('gymnasium')
    observation, seen = environment.reset(task, seed), []
    expert = domain.demonstrator(environment, 'expert', np.random.default_rng(0))
    while not environment.ended:
        seen.append(np.concatenate([*observation.proprioception.values()]))
        observation = environment.step(expert.act(observation))
    return seen


@pytest.mark.parametrize('task', LEAST)
def test_the_expert_does_the_task_and_the_same_seed_is_the_same_episode(task: str) -> None:
    domain = load_domain('gymnasium')
    environment = open_environment(domain)
    scores, episodes = [], []
    for seed in (3, 4, 3):
        episodes.append(play(environment, task, seed))
        scores.append(environment.score)
    assert np.mean(scores[:2]) >= LEAST[task]
    assert np.array_equal(episodes[0], episodes[2])
    environment.close()


@pytest.mark.parametrize('task', TASKS)
def test_what_is_seen_stays_within_its_limits(task: str) -> None:
    """Beyond the limits all values are one token; a rare state may be there."""
    domain = load_domain('gymnasium')
    environment = open_environment(domain)
    seen = np.array(play(environment, task, 3))
    start = 0
    for field in environment.spec.tensors:
        part = seen[:, start:start + field.size]
        start += field.size
        if isinstance(field, ContinuousField):
            assert not field.mu_law, 'every value has limits'
            outside = (part < np.array(field.low)) | (part > np.array(field.high))
            assert outside.mean() < 0.02
    environment.close()


def test_tasks_of_one_body_share_a_specification_and_words_tell_them_apart() -> None:
    domain = load_domain('gymnasium')
    bodies: dict[str, str] = {}
    for name, task in domain.tasks.items():
        spec = domain.specification(name)
        assert bodies.setdefault(task.body, spec.hash) == spec.hash
    assert len({task.sentence for task in domain.tasks.values()}) == len(domain.tasks)
    assert domain.tasks['mountain_car_continuous'].held_out


def test_a_grid_world_is_solved_by_its_table() -> None:
    """Three places in a row, the goal at the right end: always go right."""
    def at(place: int) -> list:
        return [(1.0, place, 1.0 if place == 2 else 0.0, place == 2)]

    transitions = {place: {0: at(max(place - 1, 0)), 1: at(min(place + 1, 2))}
                   for place in range(3)}
    assert best_actions(transitions)[:2].tolist() == [1, 1]


def test_a_linear_policy_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigError, match=r"linear.yaml has no policy 'snake', expected one; it "):
        linear('snake')(None)  # type: ignore[arg-type]


def test_a_taxi_sees_where_it_is_and_who_waits() -> None:
    environment = open_environment(load_domain('gymnasium'))
    seen = environment.reset('taxi', 0).proprioception
    world = environment.world.gym.unwrapped  # type: ignore[attr-defined]
    assert world.encode(*(int(seen[name][0]) for name in
                          ('row', 'column', 'passenger', 'destination'))) == world.s
    environment.close()
