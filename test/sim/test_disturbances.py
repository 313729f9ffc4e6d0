"""Disturbances: each is felt or seen, none is told, and the plain world stays as it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from gato_ros.config import ConfigError
from gato_ros.domains.registry import load_domain
from gato_ros.domains.stacking.disturbances.conditions import ARMS, DISTURBANCES, ROOMS
from gato_ros.episodes.episode import read_info
from gato_ros.robot import POSITIONS
from gato_ros.tools.cli import app

pytestmark = pytest.mark.sim
PUSH = {'panda_joint1': 8.0}


@pytest.fixture
def world():
    environment = load_domain('stacking').environment()
    environment.pictures = False
    yield environment
    environment.close()


def begin(world, name, seed=1, task='stack_wide'):
    world.disturbance = name
    return world.reset(task, seed)


def turn(world, name, seconds=1.0, joint=0, effort=8.0):
    """Return how far a joint turns under a steady torque, rad."""
    first = begin(world, name).proprioception[POSITIONS][joint]
    command = world.still()
    command['joint_torques'][joint] = effort
    for _ in range(round(20 * seconds)):
        seen = world.step(command)
    return float(seen.proprioception[POSITIONS][joint] - first)


@pytest.mark.parametrize('name', [*DISTURBANCES, *ARMS, ROOMS])
def test_it_begins_and_goes_on(world, name):
    begin(world, name)
    seen = world.step(world.still())
    assert np.all(np.isfinite(seen.proprioception[POSITIONS]))
    assert not world.ended


@pytest.mark.parametrize('name', ['fourth_yellow', ROOMS])
def test_a_fourth_block_lies_beside_other_shapes_too(world, name):
    for seed in range(2):
        begin(world, name, seed, task='shapes_seen')
        world.step(world.still())
    assert world.env.world.data.body('fourth').xpos[2] == pytest.approx(0.02, abs=0.002)


def test_the_plain_world_is_as_it_was_after_any_of_them(world):
    world.randomise = True
    before = begin(world, '').proprioception[POSITIONS]
    light = world.env.world.model.light_diffuse.copy()
    for name in ('rooms', 'light_40', 'load_1000'):
        begin(world, name)
    np.testing.assert_array_equal(begin(world, '').proprioception[POSITIONS], before)
    np.testing.assert_array_equal(world.env.world.model.light_diffuse, light)


def test_arm_and_torque_differ_as_they_say(world):
    plain = turn(world, '')
    assert turn(world, 'gain_80') == pytest.approx(0.8 * plain, rel=0.03)
    assert turn(world, 'damping_120') == pytest.approx(plain / 1.2, rel=0.03)
    assert turn(world, 'damping_real') > 2 * plain
    assert turn(world, 'damping_half') > turn(world, 'damping_real')


def test_what_is_seen_late_is_what_was_there_then(world):
    plain = [begin(world, '').proprioception[POSITIONS]]
    command = world.still()
    command['joint_torques'][0] = 8.0
    plain += [world.step(command).proprioception[POSITIONS] for _ in range(6)]
    late = [begin(world, 'late_2').proprioception[POSITIONS]]
    late += [world.step(command).proprioception[POSITIONS] for _ in range(6)]
    for step in range(2, 7):
        np.testing.assert_array_equal(late[step], plain[step - 2])


def test_a_load_pulls_the_hand_down_and_a_push_moves_it_aside(world):
    heights = []
    for name in ('', 'load_500', 'load_1000'):
        begin(world, name)
        start = world.env.world.tcp[2]
        for _ in range(20):
            world.step(world.still())
        heights.append(world.env.world.tcp[2] - start)
    assert abs(heights[0]) < 0.001 and 2 * heights[1] == pytest.approx(heights[2], rel=0.3)
    assert heights[2] < -0.01
    begin(world, 'push_80')
    start = world.env.world.tcp
    for _ in range(80):
        world.step(world.still())
    assert np.linalg.norm((world.env.world.tcp - start)[:2]) > 0.02


def test_blocks_have_the_size_that_is_said_and_a_second_red_one_is_told_apart(world):
    begin(world, 'blocks_50')
    assert world.env.world.height('red') == pytest.approx(0.05)
    begin(world, 'fourth_red')
    model, red = world.env.world.model, world.env.world.block('red')
    other = world.env.world.data.body('fourth').xpos
    np.testing.assert_allclose(model.geom('fourth').rgba, model.geom('red').rgba, atol=1e-6)
    side = 'left' if red[1] < other[1] else 'right'
    assert world.sentence == f'stack the {side} red block on the blue block'


def test_the_block_moves_away_once_as_the_hand_comes(world):
    begin(world, 'moved_block')
    expert = load_domain('stacking').demonstrator(world, 'expert', np.random.default_rng(0))
    places, seen = [world.env.world.block('red')], None
    while not world.ended:
        seen = world.step(expert.act(seen))
        places.append(world.env.world.block('red'))
    leaps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    assert (leaps > 0.04).sum() == 1
    assert world.success


def test_pictures_are_darker_noisier_or_black(world):
    world.pictures = True
    front = {name: begin(world, name).images['front'].astype(float)
             for name in ('', 'light_40', 'pixel_noise', 'front_black', 'table_white')}
    assert front['light_40'].mean() < 0.6 * front[''].mean()
    assert 4 < np.abs(front['pixel_noise'] - front['']).mean() < 12
    assert front['front_black'].max() == 0 and front['table_white'].mean() > front[''].mean() + 30
    rooms = [begin(world, 'rooms', seed).images['front'].mean() for seed in range(6)]
    assert max(rooms) - min(rooms) > 60


def test_an_unknown_one_lists_those_that_there_are(world):
    with pytest.raises(ConfigError, match='expected one of late_1, late_2'):
        begin(world, 'earthquake')


def test_the_command_prints_one_table_and_draws_one_plot(tmp_path):
    command = ['evaluate', '--disturb', 'gain_80', '--actor', 'expert', '--episodes', '1',
               '--workers', '1', '--out', str(tmp_path), '--json', str(tmp_path / 'all.json')]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert '| stack_wide | expert | gain_80: torques x 0.8 | 100.0 % (n = 1, 20.7 to 100.0)' in (
        done.output)
    assert (tmp_path / 'disturbed.png').stat().st_size > 1000
    rows = json.loads((tmp_path / 'all.json').read_text())['summary']
    assert [row['randomisation'] for row in rows] == ['nominal', 'gain_80']


def test_collecting_in_rooms_says_so(tmp_path):
    done = CliRunner().invoke(app, ['collect', '--out', str(tmp_path), '--episodes', '1',
                                    '--disturb', 'rooms', '--task', 'reach_red_wide',
                                    '--workers', '1'])
    assert done.exit_code == 0, done.output
    assert read_info(next(tmp_path.glob('*.safetensors'))).extra['disturbance'] == 'rooms'
