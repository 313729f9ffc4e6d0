"""The expert: memoryless, within limits, and back on its feet after whatever happens."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.domains.stacking.expert import Expert

pytestmark = pytest.mark.sim


def until_carried(env, expert):
    while not (env.world.held('red') and env.world.block('red')[2] > 0.09):
        env.step(expert.act())


def test_it_keeps_no_memory(make_env):
    env = make_env()
    env.reset(5)
    old = Expert(env)
    for _ in range(60):
        np.testing.assert_array_equal(old.act(), Expert(env).act())
        env.step(old.act())


def test_its_torques_stay_within_the_scale(make_env):
    env = make_env()
    env.reset(4)
    expert = Expert(env)
    while not env.success:
        effort = expert.act()
        assert np.all(np.abs(effort) <= env.robot.scale + 1e-9)
        assert np.all(np.isfinite(expert.desired))
        env.step(effort)


def test_it_picks_up_a_block_that_was_knocked_away(make_env, solve):
    env = make_env()
    env.reset(1)
    until_carried(env, Expert(env))
    env.world.place('red', np.array([0.45, -0.15, 0.02]), yaw=0.5)
    env.advance(np.zeros(8), 0.1)
    assert not env.world.held('red')
    solve(env)
    assert env.success


def test_it_regrasps_what_slipped_from_the_hand(make_env, solve):
    env = make_env()
    env.reset(2)
    expert = Expert(env)
    until_carried(env, expert)
    for _ in range(6):
        effort = expert.act()
        effort[-1] = 20.0
        env.step(effort)
    assert not env.world.held('red')
    solve(env)
    assert env.success


@pytest.mark.parametrize('degrees', [25, 35, 45])
def test_it_opens_a_hand_that_closed_across_the_edges_of_a_block(make_env, solve, degrees):
    env = make_env()
    env.reset(5)
    expert = Expert(env)
    while env.world.tcp[2] > 0.03:
        env.step(expert.act())
    env.world.place('red', env.world.tcp.copy() * (1, 1, 0) + (0, 0, 0.02),
                    yaw=env.world.block_yaw('red') + np.deg2rad(degrees))
    for _ in range(15):
        env.step(np.array([0.0] * 7 + [-20.0]))
    assert env.world.opening > 0.0225, 'jammed, not held'
    assert solve(env) < 120
    assert env.success


def test_it_clears_a_block_that_is_in_the_way(make_env, solve):
    env = make_env()
    env.reset(3)
    env.world.place('red', np.array([0.42, -0.12, 0.02]))
    env.world.place('blue', np.array([0.55, 0.10, 0.02]))
    env.world.place('green', np.array([0.55, 0.10, 0.06]))
    solve(env)
    assert env.success
    assert env.world.block('green')[2] < 0.03


def test_it_turns_the_hand_when_the_next_block_is_in_a_fingers_way(make_env, solve):
    env = make_env()
    env.reset(3)
    env.world.place('red', np.array([0.5, 0.0, 0.02]))
    env.world.place('blue', np.array([0.5, 0.045, 0.02]))
    env.world.place('green', np.array([0.5, -0.15, 0.02]))
    solve(env)
    assert env.success


@pytest.mark.parametrize('seed', range(4))
def test_it_recovers_from_where_random_torques_leave_the_arm(make_env, seed):
    env = make_env()
    env.reset(seed)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        effort = np.clip(0.7 * rng.normal(size=8), -1, 1) * env.robot.scale
        for _ in range(10):
            env.step(effort)
    expert = Expert(env)
    for _ in range(300):
        env.step(expert.act())
        if env.success:
            break
    assert env.success


@pytest.mark.slow
@pytest.mark.parametrize(('noise', 'bar'), [(0.0, 99), (0.15, 95)])
def test_it_stacks_from_a_hundred_seeds(make_env, noise, bar):
    env = make_env()
    expert, scale = Expert(env), env.robot.scale
    solved = 0
    for seed in range(100):
        env.reset(seed)
        rng = np.random.default_rng(seed)
        while not env.success and env.time_s < env.time_limit_s:
            effort = expert.act() + noise * rng.normal(size=8) * scale
            env.step(np.clip(effort, -scale, scale))
        solved += env.success
    assert solved >= bar
