"""The environment's contract: seeds, sensors, torques, time, and refusals in one sentence."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.descriptions.frames import Frames
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.tasks import load_task

pytestmark = pytest.mark.sim
ZERO = np.zeros(8)


def state(env):
    return np.concatenate([env.world.data.qpos, env.world.data.qvel])


def test_the_same_seed_is_the_same_episode_whatever_came_before(make_env):
    env, other = make_env(), make_env()
    rng = np.random.default_rng(0)
    for _ in range(20):
        other.step(rng.normal(size=8) * env.robot.scale)
    states = []
    for e in (env, other):
        e.reset(7)
        for k in range(10):
            e.step(np.full(8, np.sin(k)))
        states.append(state(e))
    np.testing.assert_array_equal(*states)
    env.reset(8)
    other.reset(7)
    assert not np.array_equal(state(env), state(other))


def test_an_observation_holds_the_specs_fields_and_nothing_else(make_env, robot):
    env = make_env(render=True)
    observation = env.reset(0)
    spec = robot.timestep()
    assert {k: v.shape for k, v in observation.images.items()} == {
        f.name: (f.height, f.width, 3) for f in spec.images}
    assert {k: v.shape for k, v in observation.proprioception.items()} == {
        f.name: (f.size,) for f in spec.continuous}
    assert all(v.dtype == np.uint8 for v in observation.images.values())
    assert all(v.dtype == np.float64 for v in observation.proprioception.values())
    assert (observation.text, observation.stamp_ns) == ('', 50_000_000)
    assert env.step(ZERO).stamp_ns == 100_000_000


def test_observations_are_copies(make_env):
    env = make_env()
    before = env.reset(0)
    kept = before.proprioception['joint_positions'].copy()
    env.step(env.robot.scale)
    np.testing.assert_array_equal(before.proprioception['joint_positions'], kept)


@pytest.mark.parametrize('task', ['stack_narrow', 'stack_wide'])
def test_blocks_start_within_the_tasks_extent_and_apart(make_env, task):
    env = make_env(task)
    spread = []
    for seed in range(50):
        env.reset(seed)
        spots = np.array([env.targets()[f'{b}_position'][:2] for b in ('red', 'green', 'blue')])
        gaps = [np.linalg.norm(spots[i] - spots[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
        assert min(gaps) > 0.089
        spread.append(np.abs(spots - (0.5, 0.0)))
    largest = np.max(np.concatenate(spread), axis=0)
    assert np.all(largest <= np.array(env.task.extent) + 1e-9)
    assert np.all(largest > 0.9 * np.array(env.task.extent))


def test_zero_torque_holds_still_against_gravity(make_env):
    env = make_env()
    before = env.reset(0).proprioception['joint_positions']
    env.advance(ZERO, 2.0)
    np.testing.assert_allclose(env.observe().proprioception['joint_positions'], before, atol=2e-3)


def test_a_torque_meets_the_damping_of_the_robots_file(make_env, robot):
    env = make_env()
    env.reset(0)
    effort = ZERO.copy()
    effort[0] = 6.0
    env.advance(effort, 1.0)
    speed = env.observe().proprioception['joint_velocities'][0]
    assert speed == pytest.approx(6.0 / robot.joints[0].damping, rel=0.02)


def test_the_motors_never_exceed_the_effort_limit(make_env, robot):
    env = make_env()
    env.reset(0)
    env.advance(np.full(8, 1e4), 0.1)
    force = env.world.data.actuator_force[env.world.motor]
    np.testing.assert_allclose(force, [j.effort for j in robot.joints])


def test_a_delay_lets_the_former_command_act_first(make_env):
    first, second = 5 * np.ones(8), -5 * np.ones(8)
    late, split, prompt = make_env(), make_env(), make_env()
    for env in (late, split, prompt):
        env.reset(3)
        env.step(first)
    late.step(second, delay_s=0.02)
    split.advance(first, 0.02)
    split.advance(second, 0.03)
    prompt.step(second)
    np.testing.assert_allclose(state(late), state(split), atol=1e-9)
    assert np.abs(state(late) - state(prompt)).max() > 1e-3


@pytest.mark.parametrize(('effort', 'words'), [
    (np.zeros(7), 'shape'), (np.full(8, np.nan), 'finite'), (np.full(8, np.inf), 'finite')])
def test_a_bad_effort_is_refused_and_nothing_moves(make_env, effort, words):
    env = make_env()
    before = state(env)
    with pytest.raises(ValueError, match=words):
        env.step(effort)
    np.testing.assert_array_equal(state(env), before)


def test_times_that_are_no_multiple_of_the_physics_step_are_refused(make_env, robot):
    env = make_env()
    with pytest.raises(ValueError, match='multiple of the physics step'):
        env.advance(ZERO, 0.0031)
    with pytest.raises(ValueError, match='control period'):
        env.step(ZERO, delay_s=0.06)
    odd = dataclasses.replace(robot, rate_hz=30.0)
    with pytest.raises(ConfigError, match='rate_hz 30'):
        StackingEnv(odd, load_task('stack_wide'), render=False)


def test_a_robot_that_is_not_in_the_world_is_refused(robot):
    missing = dataclasses.replace(robot, joints=robot.joints[:-1])
    with pytest.raises(ConfigError, match='panda_finger_joint1'):
        StackingEnv(missing, load_task('stack_wide'), render=False)
    camera = dataclasses.replace(robot.cameras[0], name='side')
    with pytest.raises(ConfigError, match='front, wrist'):
        StackingEnv(dataclasses.replace(robot, cameras=(camera,)), load_task('stack_wide'))


def test_a_robot_that_says_not_where_its_arm_rests_is_refused(robot):
    half = dataclasses.replace(robot.teleoperation, home={'panda_joint1': 0.0})
    for teleoperation in (None, half):
        lacking = dataclasses.replace(robot, teleoperation=teleoperation)
        with pytest.raises(ConfigError, match='does not say in teleoperation where each joint'):
            StackingEnv(lacking, load_task('stack_wide'), render=False)


def test_joints_may_come_in_any_order(robot, make_env, solve):
    shuffled = dataclasses.replace(robot, joints=robot.joints[::-1])
    env = StackingEnv(shuffled, load_task('stack_wide'), render=False)
    plain = make_env()
    for e in (env, plain):
        e.reset(2)
    np.testing.assert_array_equal(state(env), state(plain))
    assert solve(env) == solve(plain)
    assert env.success


def test_targets_agree_with_the_physics(make_env):
    env = make_env()
    env.reset(0)
    env.world.place('red', np.array([0.45, 0.1, 0.02]), yaw=0.3)
    env.advance(ZERO, 0.0)
    targets = env.targets()
    np.testing.assert_allclose(targets['red_position'], (0.45, 0.1, 0.02), atol=1e-9)
    np.testing.assert_allclose(targets['red_yaw'], (np.cos(1.2), np.sin(1.2)), atol=1e-6)
    np.testing.assert_allclose(targets['red_from_tcp'] + targets['tcp_position'],
                               targets['red_position'])
    assert all(v.dtype == np.float64 for v in targets.values())
    assert Expert(env).desired.shape == (8,)


def test_the_robots_file_says_where_its_cameras_are(make_env, robot):
    """As MuJoCo has them: along -z, y up. tf's optical frame: along z, y down."""
    env = make_env('stack_wide')
    env.reset(3)
    frames = Frames(robot)
    placed = {one.child: one for one in (*frames.fixed, *frames.moving(
        dict(zip(robot.joint_names, env.world.joint_positions, strict=True))))}
    for camera in robot.cameras:
        found, name = np.eye(4), camera.frame
        while name != frames.root:
            one = placed[name]
            turn = np.empty(9)
            mujoco.mju_quat2Mat(turn, np.array([one.quaternion[3], *one.quaternion[:3]]))
            step = np.eye(4)
            step[:3, :3], step[:3, 3] = turn.reshape(3, 3), one.xyz
            found, name = step @ found, one.parent
        seen = env.world.data.camera(camera.name)
        assert np.allclose(found[:3, 3], seen.xpos, atol=1e-4)
        assert np.allclose(found[:3, :3], seen.xmat.reshape(3, 3) * [1, -1, -1], atol=1e-3)
