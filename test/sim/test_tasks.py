"""Tasks: names, success by construction, and what is said about failures."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.tasks import load_task, task_names

pytestmark = pytest.mark.sim
ZERO = np.zeros(8)
BLUE = np.array([0.55, 0.1, 0.02])


def arrange(env, **positions):
    """Put blocks in place by hand and let them settle, away from the arm's start pose."""
    for name, position in positions.items():
        env.world.place(name, np.array(position))
    for _ in range(8):
        env.step(ZERO)


def test_aliases_and_sentences():
    assert load_task('stack_wide').sentence == 'stack the red block on the blue block'
    assert load_task('stack_green_on_red_narrow').blocks == ('green', 'red')
    assert load_task('tower_wide').pairs == (('blue', 'green'), ('red', 'blue'))
    assert load_task('lift_blue_wide').sentence == 'lift the blue block'


@pytest.mark.parametrize('name', ['stack', 'stack_red_on_red_wide', 'tower', 'lift_pink_wide'])
def test_an_unknown_name_lists_the_valid_forms(name):
    with pytest.raises(ConfigError, match='stack_<block>_on_<block>'):
        load_task(name)


@pytest.mark.parametrize('name', task_names())
def test_the_expert_solves_every_task(make_env, solve, name):
    env = make_env(name)
    env.reset(11)
    assert not env.success
    assert solve(env) >= 5
    assert env.success
    assert env.failure == ''


def test_red_put_on_blue_is_success_only_after_a_quarter_of_a_second(make_env):
    env = make_env()
    env.reset(0)
    env.world.place('green', np.array([0.4, -0.1, 0.02]))
    env.world.place('blue', BLUE)
    env.world.place('red', BLUE + (0.01, 0.0, 0.04))
    for _ in range(5):
        env.step(ZERO)
        assert not env.success
    env.step(ZERO)
    assert env.success


@pytest.mark.parametrize('offset', [(0.042, 0.0, 0.0), (0.0, 0.026, 0.04), (0.0, 0.0, 0.09)])
def test_red_beside_on_the_edge_or_above_is_not(make_env, offset):
    env = make_env()
    env.reset(0)
    env.world.place('green', np.array([0.4, -0.1, 0.02]))
    env.world.place('blue', BLUE)
    for _ in range(8):
        env.world.place('red', BLUE + offset)
        env.step(ZERO)
    assert not env.success


def test_the_wrong_block_on_blue_is_not(make_env):
    env = make_env()
    env.reset(0)
    arrange(env, red=(0.4, -0.1, 0.02), blue=BLUE, green=BLUE + (0.0, 0.0, 0.04))
    assert not env.success


def test_a_stack_in_the_hand_is_not(make_env):
    env = make_env()
    env.reset(1)
    expert = Expert(env)
    while not (env.world.held('red') and env.world.block('red')[2] > 0.1):
        env.step(expert.act())
    close = ZERO.copy()
    close[-1] = -20.0
    below = env.world.block('red') - (0.0, 0.0, 0.0402)
    for _ in range(8):  # blue is held under red by hand
        env.world.place('blue', below, env.world.block_yaw('red'))
        env.step(close)
        assert not env.success


def test_a_tower_needs_all_three(make_env):
    env = make_env('tower_wide')
    env.reset(0)
    arrange(env, green=BLUE, blue=BLUE + (0, 0, 0.04), red=(0.4, -0.1, 0.02))
    assert not env.success
    arrange(env, red=BLUE + (0, 0, 0.08))
    assert env.success


def carry(env, until):
    """Let the expert act until ``until(red, blue)`` holds for the carried block."""
    expert = Expert(env)
    while not (env.world.held('red') and env.world.block('red')[2] > 0.08
               and until(env.world.block('red'), env.world.block('blue'))):
        env.step(expert.act())


def let_go(env):
    """Hold the arm still and open the fingers."""
    effort = ZERO.copy()
    effort[-1] = 20.0
    for _ in range(20):
        env.step(effort)


def gap(red, blue):
    return np.linalg.norm((red - blue)[:2])


def start(env):
    """An episode with red far from blue, and green out of the way."""
    env.reset(1)
    for name, spot in (('red', (0.45, -0.1)), ('blue', (0.5, 0.12)), ('green', (0.6, -0.15))):
        env.world.place(name, np.array([*spot, 0.02]))
    env.advance(ZERO, 0.0)


def test_each_failure_is_told_by_what_happened(make_env):
    env = make_env()
    start(env)
    env.advance(ZERO, 1.0)
    assert env.failure == 'never reached'

    start(env)
    expert = Expert(env)
    while np.linalg.norm(env.world.tcp - env.world.block('red')) > 0.025:
        env.step(expert.act())
    assert env.failure == 'missed grasp'

    start(env)
    carry(env, lambda red, blue: True)
    assert env.failure == 'timed out', 'still in the hand'
    let_go(env)
    assert env.failure == 'dropped'

    start(env)
    carry(env, lambda red, blue: gap(red, blue) < 0.06)
    let_go(env)
    assert env.failure == 'misaligned'


def test_a_stack_that_was_knocked_over_is_toppled(make_env):
    env = make_env()
    start(env)
    expert = Expert(env)
    while not (env.world.block('red')[2] > 0.055 and env.world.opening > 0.03
               and gap(env.world.block('red'), env.world.block('blue')) < 0.02):
        env.step(expert.act())
    for _ in range(2):
        env.step(expert.act())  # the hand rises, the stack stands free
    assert not env.success
    red = env.world.model.joint('red').dofadr[0]
    env.world.data.qvel[red:red + 2] = (-0.6, 0.6)
    env.advance(ZERO, 1.0)
    assert env.failure == 'toppled'


def test_a_tower_that_lost_its_first_storey_is_toppled(make_env):
    env = make_env('tower_wide')
    env.reset(0)
    expert = Expert(env)
    while not env.world.held('red'):  # blue is on green by then
        env.step(expert.act())
    arrange(env, blue=(0.45, -0.15, 0.02))
    assert env.failure == 'toppled'
