"""Whatever its interface: a robot's recording becomes an episode, a prompt and the same tokens."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recordings import original, record
from typer.testing import CliRunner

from gato_ros.config import ConfigError, data_path
from gato_ros.episodes.episode import read_info, read_slice
from gato_ros.episodes.exchange.recording import Step, write_recording
from gato_ros.episodes.prompts import read_prompt
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.tools.cli import app

SHIPPED = [load_robot(file) for file in sorted(data_path('config', 'robots').glob('*.yaml'))]
BY_POSITION = dataclasses.replace(load_robot('ur5e'), name='ur5e_by_position',
                                  interface='position')
robots = pytest.mark.parametrize('robot', [*SHIPPED, BY_POSITION], ids=lambda robot: robot.name)


def test_every_interface_is_among_them() -> None:
    assert {robot.interface for robot in (*SHIPPED, BY_POSITION)} == {
        'effort', 'velocity', 'position'}


@robots
def test_a_recording_becomes_an_episode_and_a_prompt(tmp_path: Path, robot: RobotSpec) -> None:
    file = record(tmp_path, robot=robot)
    done = import_bag(file, tmp_path / 'out', robot)
    spec, tokenizer = robot.timestep(), TimestepTokenizer(robot.timestep())
    assert read_info(done.file).spec_hash == spec.hash and done.steps == 10
    data = read_slice(done.file, 0, done.steps)
    for group in ('action', 'sent'):
        assert set(data[group]) == {field.name for field in spec.actions}
    block = tokenizer.encode(data['image'], data['tensor'], data['sent'])
    prompts = [read_prompt(source, robot, 'first', 10).blocks for source in (file, done.file)]
    for step in range(done.steps):
        seen, command = original(step, robot)
        same = tokenizer.encode(seen.images, seen.proprioception, {robot.command_field: command})
        for other in (block.ids[step], *(blocks[step].ids for blocks in prompts)):
            assert other.tolist() == same.ids.tolist()
        assert np.array_equal(block.patches[step], same.patches)
        values = tokenizer.decode_action(same.ids[-spec.action_size:])[robot.command_field]
        width = (robot.command_high - robot.command_low) / 1024
        assert np.all(np.abs(values - command) <= width)


@pytest.mark.slow
def test_a_velocity_robot_is_trained_on_its_recordings(tmp_path: Path) -> None:
    robot = load_robot('ur5e')
    for _ in range(2):
        import_bag(record(tmp_path / 'demos', robot=robot), tmp_path / 'data', robot)
    done = CliRunner().invoke(app, [
        'train', 'stack_small', '--robot', 'ur5e', '--out', str(tmp_path / 'run'), '--device',
        'cpu', '--set', f'data.folders=[{tmp_path / "data"}]', '--set', 'model=tiny', '--set',
        'steps=1', '--set', 'batch=4', '--set', 'data.auxiliary=false', '--set',
        'auxiliary_weight=0'], catch_exceptions=False)
    assert done.exit_code == 0 and '20 timesteps of ur5e' in done.output


@robots
def test_what_comes_from_elsewhere_is_imported_too(tmp_path: Path, robot: RobotSpec) -> None:
    def steps() -> list[Step]:
        seen = [original(step, robot) for step in range(3)]
        return [Step(50_000_000 * (number + 1), observation.images,
                     {**observation.proprioception, robot.command_field: command})
                for number, (observation, command) in enumerate(seen)]

    file = tmp_path / 'foreign.mcap'
    write_recording(file, robot, steps(), {'sentence': 'wave', 'outcome': 'success'})
    done = import_bag(file, tmp_path / 'out', robot)
    sent = read_slice(done.file, 0, done.steps)['sent'][robot.command_field]
    assert sent.tolist() == [original(step, robot)[1].tolist() for step in range(3)]


@robots
def test_hindsight_labels_the_robots_own_field_or_says_what_is_missing(
        tmp_path: Path, robot: RobotSpec) -> None:
    file = record(tmp_path, robot=robot)
    if robot.teleoperation is None:
        with pytest.raises(ConfigError, match='has no teleoperation, expected that and the inter'):
            import_bag(file, tmp_path / 'out', robot, in_hindsight=True)
        assert not (tmp_path / 'out').exists()
        return
    done = import_bag(file, tmp_path / 'out', robot, in_hindsight=True)
    assert set(read_slice(done.file, 0, 1)['action']) == {robot.command_field}


@pytest.mark.parametrize('module', ['prompts', 'hindsight', 'recordings.bag',
                                    'recordings.session', 'exchange.lerobot',
                                    'exchange.robomimic'])
def test_no_simulator_is_loaded_to_read_what_a_robot_did(module: str) -> None:
    code = (f'import sys, gato_ros.episodes.{module}\n'
            'print(*{"mujoco", "OpenGL", "rclpy", "torch"} & set(sys.modules))')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr
