"""Collecting: what is written, and what is kept."""

import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import list_episodes, read_slice
from gato_ros.policy.checkpoint import (
    ANY_PAIR,
    ASSETS,
    FIVE_PAIRS,
    GENERALIST,
    SHIPPED,
    checkpoint_hash,
)
from gato_ros.robot import TORQUES, load_robot
from gato_ros.training.collect import CollectSettings, collect, shares_of


def test_episodes_are_kept_and_the_missing_ones_made(tmp_path):
    settings = CollectSettings(tmp_path / 'data', 3, ('reach_red_narrow',), workers=1)
    assert dict(collect(settings)) == dict.fromkeys(range(100_000, 100_003), True)
    files = sorted(path for path, _ in list_episodes(tmp_path / 'data'))
    before = [path.stat().st_mtime_ns for path in files]
    files[1].unlink()
    assert len(dict(collect(settings))) == 3
    after = [path.stat().st_mtime_ns for path in files]
    assert (after[0], after[2]) == (before[0], before[2]) and files[1].exists()


def test_a_world_serves_several_episodes_and_the_tasks_take_turns(tmp_path):
    """Else fifty worlds stand in memory, or one is built for each episode."""
    tasks = ('reach_red_narrow', 'reach_green_narrow')
    settings = CollectSettings(tmp_path, 70, tasks, workers=2)
    shares = shares_of(settings, settings.seeds, 2)
    assert sorted(seed for share in shares for seed in share) == list(settings.seeds)
    assert [{settings.find(seed)[1] for seed in share} for share in shares[:4]] == [
        {tasks[0]}, {tasks[1]}] * 2
    assert {len(share) for share in shares[:-2]} == {35 // 4}
    few = CollectSettings(tmp_path, 3, tasks[:1], workers=2)
    assert shares_of(few, few.seeds, 2) == [(100_000,), (100_001,), (100_002,)]  # both have work


def test_an_episode_tells_the_expert_from_the_noise(tmp_path):
    settings = CollectSettings(tmp_path, 1, ('reach_red_narrow',), noise=0.2, workers=1)
    list(collect(settings))
    (path, info), = list_episodes(tmp_path)
    data = read_slice(path, 0, info.length)
    assert info.source == 'expert' and info.seed == 100_000 and 0 < info.noise <= 0.2
    label, sent = data['action'][TORQUES], data['sent'][TORQUES]
    assert not np.allclose(label[:, :7], sent[:, :7]) and np.array_equal(label[:, 7], sent[:, 7])
    assert (np.abs(sent) <= load_robot('panda_sim').scale).all()
    assert data['image']['front'].shape == (info.length, 64, 64, 3)
    assert set(data['tensor']) == {'joint_positions', 'joint_velocities'}, 'no state as input'


def test_a_policy_acts_while_the_expert_labels(tmp_path, checkpoint):
    settings = CollectSettings(tmp_path / 'data', 1, ('reach_red_narrow',), noise=0.0, workers=1,
                               policy=checkpoint, policy_share=1.0)
    list(collect(settings))
    (path, info), = list_episodes(tmp_path / 'data')
    data = read_slice(path, 0, 5)
    assert info.source == 'policy'
    assert info.extra['policy_hash'] == checkpoint_hash(checkpoint) != checkpoint_hash(SHIPPED)
    assert not np.allclose(data['action'][TORQUES], data['sent'][TORQUES])


def test_seeds_of_the_tests_are_never_collected(tmp_path):
    with pytest.raises(ConfigError, match='first seed is 7, expected at least 100000'):
        CollectSettings(tmp_path, 1, first_seed=7)


@pytest.mark.slow
def test_the_shipped_checkpoints_see_nothing_but_sensors():
    """Their specification has cameras, joint positions and velocities; their weights are small."""
    from gato_ros.policy.checkpoint import load_checkpoint
    for folder in (SHIPPED, ANY_PAIR, FIVE_PAIRS, GENERALIST):
        spec = load_checkpoint(folder).config.domain('stacking').timestep
        assert spec == load_robot('panda_sim').timestep()
        assert {f.name for f in spec.tensors} == {'joint_positions', 'joint_velocities'}
    sizes = [file.stat().st_size for file in ASSETS.glob('*/model.safetensors')]
    assert len(sizes) == 4 and max(sizes) <= 17_000_000


def test_a_dead_worker_ends_collecting_in_one_sentence(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-m', 'gato_ros.tools.cli', 'collect', '--out', tmp_path, '--episodes',
         '500', '--task', 'reach_red_narrow', '--workers', '1'],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not list(tmp_path.glob('*.safetensors')):
        assert process.poll() is None
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children(recursive=True):
        if 'spawn_main' in ' '.join(child.cmdline()):
            child.kill()
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 2 and 'Traceback' not in errors
    assert 'a worker process died' in errors.splitlines()[-1]
    assert list_episodes(tmp_path), 'what was finished is kept, and can be read'
