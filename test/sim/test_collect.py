"""Collecting and evaluating: what is written, what is kept, what the controls reach."""

import numpy as np
import pytest
import torch

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import list_episodes, read_slice
from gato_ros.evaluation.actors import make_actor
from gato_ros.evaluation.evaluate import EvaluateSettings, Outcome, evaluate, rollout, summarise
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import SHIPPED, CheckpointConfig, save_checkpoint
from gato_ros.sim import StackingEnv, load_task
from gato_ros.spec import TORQUES, load_robot
from gato_ros.tools.cli import main as program
from gato_ros.training.collect import CollectSettings, collect


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    arch = load_architecture('tiny')
    config = CheckpointConfig(arch, load_robot('panda_sim').timestep(), window_timesteps=1)
    save_checkpoint(tmp_path / 'checkpoint', config, Gato(arch).state_dict())
    return tmp_path / 'checkpoint'


def test_episodes_are_kept_and_the_missing_ones_made(tmp_path):
    settings = CollectSettings(tmp_path / 'data', 3, ('reach_red_narrow',), workers=1)
    assert dict(collect(settings)) == dict.fromkeys(range(100_000, 100_003), True)
    files = sorted(path for path, _ in list_episodes(tmp_path / 'data'))
    before = [path.stat().st_mtime_ns for path in files]
    files[1].unlink()
    assert len(dict(collect(settings))) == 3
    after = [path.stat().st_mtime_ns for path in files]
    assert (after[0], after[2]) == (before[0], before[2]) and files[1].exists()


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
    assert not np.allclose(data['action'][TORQUES], data['sent'][TORQUES])


def test_seeds_of_the_tests_are_never_collected(tmp_path):
    with pytest.raises(ConfigError, match='first seed is 7, expected at least 100000'):
        CollectSettings(tmp_path, 1, first_seed=7)


def test_controls_bound_the_task(tmp_path, checkpoint):
    settings = EvaluateSettings(checkpoint, 'reach_red_narrow', 2, 'validation', workers=1,
                                controls=('expert', 'still'))
    outcomes = list(evaluate(settings))
    assert {o.seed for o in outcomes} == {10_000, 10_001}
    rows = {row['actor']: row for row in summarise(outcomes)}
    assert rows['expert']['success'] == 1.0 and rows['still']['success'] == 0.0
    assert rows['still']['failures'] == {'never reached': 2}
    assert rows['policy']['n'] == 2


def test_rollouts_repeat_exactly(checkpoint, monkeypatch):
    env = StackingEnv(load_robot('panda_sim'), load_task('reach_red_narrow'))
    monkeypatch.setattr(StackingEnv, 'time_limit_s', 1.0)
    first, again = (rollout(env, make_actor('policy', env, checkpoint), 'policy', 3)
                    for _ in range(2))
    state = env.targets()
    rollout(env, make_actor('random', env, checkpoint), 'random', 3)
    assert first == again
    assert not np.allclose(state['tcp_position'], env.targets()['tcp_position'])


def test_failures_are_counted_by_kind():
    outcomes = [Outcome('policy', 0, True, 60, ''), Outcome('policy', 1, False, 300, 'dropped'),
                Outcome('policy', 2, False, 300, 'dropped'), Outcome('expert', 0, True, 50, '')]
    policy, expert = summarise(outcomes)
    assert (policy['actor'], policy['success'], policy['steps']) == ('policy', 1 / 3, 60)
    assert policy['failures'] == {'dropped': 2} and expert['n'] == 1
    assert 0.06 < policy['interval'][0] < 1 / 3 < policy['interval'][1] < 0.8


def test_unknown_splits_and_controls_are_named(monkeypatch, capsys):
    for arguments, sentence in ((['--split', 'train'], "split is 'train', expected test or"),
                                (['--control', 'oracle'], "control 'oracle' is not known")):
        monkeypatch.setattr('sys.argv', ['gato-ros', 'evaluate', *arguments])
        with pytest.raises(SystemExit) as end:
            program()
        assert end.value.code == 2 and sentence in capsys.readouterr().err


@pytest.mark.slow
def test_the_shipped_checkpoint_sees_nothing_but_sensors():
    """Its specification has cameras, joint positions and velocities; its weights are small."""
    from gato_ros.policy.checkpoint import load_checkpoint
    spec = load_checkpoint(SHIPPED).config.timestep
    assert spec == load_robot('panda_sim').timestep()
    assert {f.name for f in spec.tensors} == {'joint_positions', 'joint_velocities'}
    assert (SHIPPED / 'model.safetensors').stat().st_size <= 40_000_000
