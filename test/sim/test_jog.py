"""Kinematics and jogging against the simulator, which knows better."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.jog import Jog, Wish
from gato_ros.kinematics import Chain, rotation_vector, rpy_matrix, turned
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')


@pytest.fixture
def env() -> StackingEnv:
    return StackingEnv(ROBOT, load_task('stack_wide'), render=False)


def test_the_chain_is_the_simulators(env: StackingEnv) -> None:
    chain = Chain(ROBOT)
    for seed in range(20):
        env.reset(seed)
        pose, world = chain.pose(env.world.joint_positions), env.world
        assert pose.position == pytest.approx(world.tcp, abs=1e-6)
        assert pose.rotation == pytest.approx(world.tcp_rotation, abs=1e-6)
        assert pose.jacobian == pytest.approx(world.tcp_jacobian(), abs=1e-6)


def test_the_specification_knows_nothing_of_it() -> None:
    assert ROBOT.timestep().hash == 'b1e53fdf2725'


def test_rotation_vectors() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        vector = rng.normal(size=3)
        vector *= rng.uniform(0, np.pi) / np.linalg.norm(vector)
        start = rpy_matrix(*rng.uniform(-3, 3, 3))
        assert rotation_vector(turned(start, vector), start) == pytest.approx(vector, abs=1e-7)
    half = rotation_vector(turned(np.eye(3), np.array([0, np.pi, 0])), np.eye(3))
    assert np.abs(half) == pytest.approx([0, np.pi, 0])
    assert rotation_vector(start, start).tolist() == [0, 0, 0]


def run(env: StackingEnv, jog: Jog, wish: Wish, seconds: float) -> None:
    for _ in range(round(20 * seconds)):
        effort = jog.act(env.world.joint_positions, wish, 0.05)
        assert np.all(np.abs(effort) <= ROBOT.scale + 1e-9)
        env.advance(effort, 0.05)


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_a_wish_moves_the_tool_along_its_axis_and_no_other(env: StackingEnv, axis: int) -> None:
    env.reset(3)
    jog, start, turn = Jog(ROBOT), env.world.tcp, env.world.tcp_rotation
    linear = np.zeros(3)
    linear[axis] = -0.4 if axis == 2 else 0.4
    run(env, jog, Wish(linear=tuple(linear)), 1.0)
    run(env, jog, Wish(), 1.0)
    moved = env.world.tcp - start
    assert moved == pytest.approx(0.25 * linear, abs=0.012)
    assert np.linalg.norm(rotation_vector(env.world.tcp_rotation, turn)) < 0.05
    assert np.abs(env.world.joint_velocities).max() < 0.02  # without a wish it stands


def test_rotation_joints_home_and_speed(env: StackingEnv) -> None:
    env.reset(3)
    jog, turn, tool = Jog(ROBOT), env.world.tcp_rotation, env.world.tcp
    run(env, jog, Wish(angular=(0, 0, 1), speed=0.5), 1.0)
    run(env, jog, Wish(), 1.0)
    assert rotation_vector(env.world.tcp_rotation, turn) == pytest.approx((0, 0, 0.6), abs=0.05)
    assert env.world.tcp == pytest.approx(tool, abs=0.01)
    before = env.world.joint_positions
    run(env, jog, Wish(joints=(0, 0, 0, 1, 0, 0, 0), speed=0.5), 1.0)
    run(env, jog, Wish(), 1.0)
    moved = env.world.joint_positions - before
    assert moved[3] == pytest.approx(0.4, abs=0.05)
    assert np.abs(np.delete(moved[:7], 3)).max() < 0.03
    run(env, jog, Wish(home=True), 4.0)
    assert env.world.joint_positions[:7] == pytest.approx(
        list(ROBOT.teleoperation.home.values()), abs=0.02)


def test_the_gripper_keeps_its_force(env: StackingEnv) -> None:
    jog = Jog(ROBOT)
    run(env, jog, Wish(gripper=-1), 0.2)
    run(env, jog, Wish(), 1.0)
    assert env.world.opening < 0.005
    assert jog.rest()[:7].tolist() == [0] * 7 and jog.rest()[7] == -20


def test_wishes_and_robots_that_cannot_be_served() -> None:
    with pytest.raises(ValueError, match='expected shares from -1 to 1'):
        Wish(linear=(0, 0, 2))
    with pytest.raises(ValueError, match='expected shares from -1 to 1'):
        Wish(linear=(0, 0, float('nan')))
    with pytest.raises(ValueError, match='expected 3 of each'):
        Wish(linear=(0, 0))
    import dataclasses
    with pytest.raises(ConfigError, match='has no teleoperation'):
        Jog(dataclasses.replace(ROBOT, teleoperation=None))
    with pytest.raises(ConfigError, match='has no kinematics'):
        Jog(dataclasses.replace(ROBOT, kinematics=(), workspace=None))
