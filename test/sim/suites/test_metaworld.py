"""Meta-World: what a policy sees is enough, experts solve the tasks, and the seed says it all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip('metaworld', reason="needs pip install 'gato_ros[metaworld]'")

from metaworld.policies import ENV_POLICY_MAP

from gato_ros.config import ConfigError
from gato_ros.domains.domain import Environment
from gato_ros.domains.registry import load_domain
from gato_ros.spec import Observation
from gato_ros.training.collect import CollectSettings

pytestmark = [pytest.mark.sim, pytest.mark.filterwarnings('ignore:Constant')]

DOMAIN = load_domain('metaworld')
STATES = [name for name, task in DOMAIN.tasks.items() if not task.body]
PIXELS = [name for name, task in DOMAIN.tasks.items() if task.body]


@pytest.fixture(scope='module')
def world() -> Iterator[Environment]:
    """One environment for all tests: the suite changes its task with each episode."""
    made = DOMAIN.environment()
    yield made
    made.close()


def run(world: Environment, task: str, seed: int, longest: int = 1000) -> list[Observation]:
    """Return what the expert sees in an episode, up to so many timesteps."""
    seen = [world.reset(task, seed)]
    expert = DOMAIN.demonstrator(world, 'expert', np.random.default_rng(0))
    while not world.ended and len(seen) <= longest:
        seen.append(world.step(expert.act(seen[-1])))
    return seen


def flat(seen: list[Observation]) -> np.ndarray:
    return np.array([np.concatenate(list(one.proprioception.values())) for one in seen])


def test_there_are_fifty_tasks_and_each_is_told_from_the_others() -> None:
    assert len(STATES) == 50 and len(PIXELS) >= 10
    for body in (STATES, PIXELS):
        assert len({DOMAIN.task(name).sentence for name in body}) == len(body)
    assert all(3 <= len(DOMAIN.task(name).sentence.split()) <= 9 for name in STATES)


@pytest.mark.parametrize('task', STATES)
def test_the_seed_alone_says_how_an_episode_goes(world: Environment, task: str) -> None:
    """Also in a world that had other episodes before; another seed is another episode."""
    other = flat(run(world, task, 8, 3))
    again = flat(run(world, task, 7, 3))
    fresh = DOMAIN.environment()
    assert np.array_equal(flat(run(fresh, task, 7, 3)), again)
    assert not np.array_equal(other, again)


@pytest.mark.parametrize('task', STATES)
def test_what_is_seen_says_what_the_expert_does(world: Environment, task: str) -> None:
    """The package's policies need no number that a timestep leaves out, such as a former frame."""
    seen = world.reset(task, 3)
    expert = DOMAIN.demonstrator(world, 'expert', np.random.default_rng(0))
    package = ENV_POLICY_MAP[f'{task}-v3']()
    for _ in range(30):
        if world.ended:
            break
        told = seen.proprioception
        numbers = np.zeros(39)
        numbers[:3], numbers[3], numbers[36:] = told['hand'], told['gripper'][0], told['goal']
        numbers[4:7], numbers[11:14] = told['object'], told['second_object']
        action = expert.act(seen)['move']
        assert np.array_equal(action, np.clip(package.get_action(numbers), -1, 1))
        seen = world.step({'move': action})


@pytest.mark.parametrize('task', ['reach', 'door-lock', 'drawer-open', 'pick-place'])
def test_the_expert_solves_it(world: Environment, task: str) -> None:
    seen = run(world, task, 1)
    assert world.success and world.ended and world.score == 1.0
    assert len(seen) < 140 and world.progress < 1


def test_who_does_nothing_fails_in_time(world: Environment) -> None:
    world.reset('push', 0)
    steps = 0
    while not world.ended:
        world.step(world.still())
        steps += 1
    assert steps == 250 and world.success is False and world.score == 0.0


def test_pixels_show_one_camera_and_nothing_of_the_objects(world: Environment) -> None:
    """Two seeds' drawers stand in different places: only the picture tells."""
    one, other = (world.reset('drawer-open-pixels', seed) for seed in (1, 2))
    assert one.images['camera'].shape == (64, 64, 3)
    assert {*one.proprioception} == {'hand', 'gripper'}
    assert np.array_equal(one.proprioception['hand'], other.proprioception['hand'])
    assert (one.images['camera'] != other.images['camera']).any()
    state = flat(run(world, 'drawer-open', 1, 5))
    pixels = flat(run(world, 'drawer-open-pixels', 1, 5))
    assert world.sentence == 'open the drawer'
    assert np.isin(pixels, state).all(), 'the same world behind both'


def test_held_out_tasks_are_not_collected(tmp_path) -> None:
    held = [name for name in STATES if DOMAIN.task(name).held_out]
    assert len(held) == 3 and not set(held) & set(DOMAIN.suite)
    with pytest.raises(ConfigError, match='is held out for evaluation'):
        CollectSettings(tmp_path, 1, (f'metaworld/{held[0]}',))
