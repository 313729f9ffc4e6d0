"""What the cameras show, and domain randomisation, which can always be undone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from gato_ros.domains.stacking.expert import Expert

pytestmark = pytest.mark.sim
CHANNEL = {'red': 0, 'green': 1, 'blue': 2}


def pixels(image, block):
    """Count the pixels in which a block's colour stands out."""
    image = image.astype(int)
    own = CHANNEL[block]
    others = np.max(np.delete(image, own, axis=2), axis=2)
    return int(np.sum(image[..., own] > others + 40))


@pytest.fixture
def env(make_env):
    env = make_env(render=True)
    yield env
    env.close()


def test_the_front_camera_sees_every_block_at_every_start(env):
    for seed in range(30):
        image = env.reset(seed).images['front']
        assert min(pixels(image, block) for block in CHANNEL) >= 15


def test_the_wrist_camera_shows_the_block_between_the_fingers(env):
    observation = env.reset(1)
    expert = Expert(env)
    while not env.world.held('red'):
        observation = env.step(expert.act())
    assert pixels(observation.images['wrist'], 'red') > 200
    assert pixels(observation.images['wrist'][32:], 'red') > 150


def test_pictures_come_in_other_sizes_too(env):
    assert env.render('front', 120, 160).shape == (120, 160, 3)
    with pytest.raises(ValueError, match='front, wrist'):
        env.render('side')


def test_randomisation_is_seeded_and_leaves_the_start_alone(make_env):
    plain, random, again = (make_env(render=True), make_env(render=True, randomise=True),
                            make_env(render=True, randomise=True))
    try:
        images = [env.reset(5).images['front'].astype(int) for env in (plain, random, again)]
        np.testing.assert_array_equal(images[1], images[2])
        assert np.abs(images[0] - images[1]).mean() > 3
        np.testing.assert_array_equal(plain.world.data.qpos, random.world.data.qpos)
        assert np.abs(random.reset(6).images['front'].astype(int) - images[1]).mean() > 3
    finally:
        for env in (plain, random, again):
            env.close()


def test_randomisation_can_be_undone(make_env):
    env, plain = make_env(randomise=True), make_env()
    fields = ('light_pos', 'light_diffuse', 'geom_rgba', 'cam_pos', 'cam_quat', 'cam_fovy',
              'geom_friction', 'body_mass', 'body_inertia')
    env.reset(1)
    for name in fields:
        assert not np.array_equal(getattr(env.world.model, name),
                                  getattr(plain.world.model, name)), name
    env.randomise = False
    env.reset(1)
    for name in fields:
        np.testing.assert_array_equal(getattr(env.world.model, name),
                                      getattr(plain.world.model, name), err_msg=name)
    np.testing.assert_array_equal(env.world.model.vis.headlight.ambient,
                                  plain.world.model.vis.headlight.ambient)


def test_without_a_library_physics_runs_and_pictures_say_what_to_install():
    code = """
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.robot import load_robot
env = StackingEnv(load_robot('panda_sim'), load_task('stack_wide'), render=False)
env.step(env.robot.scale)
env.render('front')
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env=os.environ | {'MUJOCO_GL': 'disable'}, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert 'ConfigError' in last
    assert 'libegl1' in last
