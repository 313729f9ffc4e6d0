"""The DM Control suite: its tasks, what is seen of them, and how good their experts are."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.domains.dm_control.environment import SuiteEnvironment
from gato_ros.domains.dm_control.tasks import BODIES, TASKS
from gato_ros.domains.registry import load_domain
from gato_ros.domains.wrappers import Checked

pytestmark = pytest.mark.sim


def play(task: str, seed: int = 0, disturbed: int = 0, decisions: int = 1000
         ) -> SuiteEnvironment:
    """Let the expert do one episode, of which the first actions are drawn at random."""
    domain, rng = load_domain('dm_control'), np.random.default_rng(seed)
    environment = Checked(domain.environment())
    seen = environment.reset(task, seed)
    expert = domain.demonstrator(environment, 'expert', rng)
    for step in range(decisions):
        if environment.ended:
            break
        label = expert.act(seen)
        if step < disturbed:
            label = {'control': rng.uniform(-1, 1, environment.spec.action_size)}
        seen = environment.step(label)
    return environment.inside


@pytest.mark.parametrize('task', TASKS)
def test_every_task_begins_alike_and_shows_all_that_its_body_says(task: str) -> None:
    domain, environment = load_domain('dm_control'), SuiteEnvironment()
    first = environment.reset(task, 5).proprioception
    environment.step(environment.still())
    again = environment.reset(task, 5).proprioception
    other = environment.reset(task, 6).proprioception
    for field in domain.specification(task).continuous:
        assert first[field.name].shape == (field.size,)
        assert (first[field.name] >= field.low).all() and (first[field.name] <= field.high).all()
        assert np.array_equal(first[field.name], again[field.name])
    assert any(not np.array_equal(first[name], other[name]) for name in first)
    assert environment.physics.model.nu == environment.spec.action_size


def test_tasks_of_one_body_are_told_apart_by_their_sentence() -> None:
    sentences = [task.sentence for task in TASKS.values()]
    assert len(set(sentences)) == len(TASKS) >= 18
    assert {task.body for task in TASKS.values()} == set(BODIES)
    assert all(3 <= len(sentence.split()) <= 9 for sentence in sentences)


def test_an_episode_has_the_suites_thousand_rewards() -> None:
    """Balancing earns nearly one a control step, four of which are one decision."""
    environment = play('cartpole-balance')
    assert 990 < environment.score <= 1000
    assert environment.physics.time() == pytest.approx(10.0)
    assert environment.progress == 1


@pytest.mark.parametrize(('task', 'least'), [
    ('cartpole-swingup', 800), ('pendulum-swingup', 850), ('point_mass-easy', 800),
    ('reacher-hard', 900), ('fish-upright', 900), ('walker-walk', 900)])
def test_an_expert_is_good(task: str, least: float) -> None:
    """One in closed form, or one that plans, or one that was learnt."""
    assert play(task).score > least


@pytest.mark.parametrize(('task', 'least'), [('walker-walk', 600), ('cartpole-swingup', 450)])
def test_an_expert_goes_on_from_states_that_others_bring_about(task: str, least: float) -> None:
    assert play(task, disturbed=60).score > least


def test_a_planner_is_a_function_of_the_seed() -> None:
    first, again, other = (play('acrobot-swingup', seed, decisions=4).raw['velocity']
                           for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_a_walkers_limbs_are_angles() -> None:
    """Upright, cos 1 and sin 0 of all bodies, is an angle of 0; lying on its face is a quarter."""
    body = BODIES['walker']
    assert np.array_equal(body.read('orientations', np.tile([1.0, 0.0], 7)), np.zeros(7))
    assert body.read('orientations', np.array([0.0, 1.0])) == pytest.approx(np.pi / 2)


def test_an_arm_that_turns_round_is_shown_within_one_turn() -> None:
    seen = BODIES['reacher'].read('position', np.array([2 * np.pi + 0.5, -1.0]))
    assert seen == pytest.approx([0.5, -1.0])
