"""Data, loss and the loop: what is sampled, what is learnt, and that nothing is lost."""

import dataclasses
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import EpisodeError, read_info, read_slice
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.training.dataset import WindowSampler
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.schedule import learning_rate
from gato_ros.training.settings import DataSettings, TrainSettings
from gato_ros.training.train import train


def settings(episodes, **changes):
    data = DataSettings((str(episodes),), timesteps=2, prompt_fraction=0.25, prompt_timesteps=1,
                        sentence_fraction=0.25)
    values = {'steps': 6, 'batch': 8, 'learning_rate': 3e-3, 'warmup': 2, 'smoothing_bins': 2.0,
              'auxiliary_weight': 1.0, 'history_dropout': 0.5, 'save_every': 3, 'log_every': 1}
    return TrainSettings('panda_sim', 'tiny', data, **{**values, **changes})


def sampler(episodes, robot, **changes):
    data = dataclasses.replace(settings(episodes).data, **changes)
    return WindowSampler(robot.timestep(), data, seed=0)


def test_a_quarter_of_the_sequences_is_prompted_half_of_them_from_the_end(episodes, robot):
    source = sampler(episodes, robot, sentence_fraction=0.0)
    ends = {read_slice(path, 9, 10)['sent']['joint_torques'].tobytes()
            for path, _ in source.episodes}
    at_end = prompted = total = 0
    for step in range(60):
        for group in source.batch(step, 8):
            total += len(group.ids)
            if group.layout.pinned.any():
                prompted += len(group.ids)
                length = int(group.layout.pinned.sum())
                tokens = source.tokenizer
                for row in group.ids[:, length - 8:length].numpy():
                    at_end += any(
                        (tokens.encode_action({'joint_torques': np.frombuffer(e)}) == row).all()
                        for e in ends)
    assert prompted / total == 0.25
    assert 0.4 < at_end / prompted < 0.75  # half, and one in ten of the uniform ones


def test_episodes_without_training_only_targets_train_beside_others(episodes, robot):
    """A real robot knows no blocks' places: what is unknown adds nothing to the loss."""
    from gato_ros.episodes.episode import EpisodeWriter
    for path in list(episodes.iterdir())[1:]:
        info, data = read_info(path), read_slice(path, 0, 10)
        writer = EpisodeWriter()
        for i in range(10):
            action = {'joint_torques': data['action']['joint_torques'][i]}
            writer.add(robot.example_observation(i), action, action, {})
        writer.save(path, info)
    source = sampler(episodes, robot)
    loss = MaskedLoss(Gato(load_architecture('tiny'), source.auxiliary), 0.0, 0.0, 1.0)
    groups = source.batch(0, 16)
    assert any(group.auxiliary.isnan().any() for group in groups)
    total, parts = loss(groups)
    assert torch.isfinite(total) and torch.isfinite(parts['auxiliary'])


def test_batches_are_a_function_of_seed_step_and_rank(episodes, robot):
    first, again = sampler(episodes, robot), sampler(episodes, robot)
    for a, b in zip(first.batch(5, 8), again.batch(5, 8), strict=True):
        assert torch.equal(a.ids, b.ids) and torch.equal(a.patches, b.patches)
    assert not torch.equal(first.batch(5, 8)[0].ids, first.batch(6, 8)[0].ids)
    assert not torch.equal(first.batch(5, 8)[0].ids, first.batch(5, 8, rank=1)[0].ids)


def test_the_context_holds_what_was_sent_and_the_target_what_was_meant(episodes, robot):
    path = episodes / '0.safetensors'
    data = read_slice(path, 0, 10)
    info = read_info(path)
    from gato_ros.episodes.episode import EpisodeWriter
    writer = EpisodeWriter()
    for i in range(10):
        observation = robot.example_observation(i)
        writer.add(observation, {'joint_torques': data['action']['joint_torques'][i]},
                   {'joint_torques': np.zeros(8)}, {'place': np.zeros(3)})
    for other in episodes.iterdir():
        other.unlink()
    writer.save(path, info)
    group = sampler(episodes, robot, prompt_fraction=0.0, sentence_fraction=0.0).batch(0, 4)[0]
    actions = group.layout.actions
    assert (group.ids[:, actions] == 32512).all()
    assert not (group.targets[:, actions] == 32512).all()


def test_only_text_and_actions_bear_loss(episodes, robot):
    """Changing the target of any other token changes nothing."""
    torch.manual_seed(0)
    loss = MaskedLoss(Gato(load_architecture('tiny')), 0.0, 0.0, 0.0).eval()
    groups = sampler(episodes, robot).batch(0, 8)
    before = loss(groups)[0]
    free = [torch.ones(len(g.layout), dtype=bool) for g in groups]
    for group, mask in zip(groups, free, strict=True):
        for _, _, slots in group.layout.targets:
            mask[slots] = False
        group.targets[:, mask] = 7
    assert loss(groups)[0] == before
    groups[0].targets[:, groups[0].layout.actions[0]] = 32999
    assert loss(groups)[0] != before


def test_an_untrained_model_is_as_wrong_as_chance(episodes, robot):
    torch.manual_seed(0)
    loss = MaskedLoss(Gato(load_architecture('tiny')), 0.0, 0.0, 0.0).eval()
    plain = sampler(episodes, robot, prompt_fraction=0.0, sentence_fraction=0.0).batch(0, 8)
    assert float(loss(plain)[0].detach()) == pytest.approx(np.log(1024), abs=0.2)


def test_training_learns_and_writes_everything(episodes, tmp_path):
    folder = train(settings(episodes, steps=40, batch=16), tmp_path / 'run', 'cpu')
    rows = (tmp_path / 'run' / 'log.jsonl').read_text().splitlines()
    losses = [json.loads(row)['tokens'] for row in rows]
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.3
    for name in ('loss.png', 'state.pt', 'settings.yaml'):
        assert (tmp_path / 'run' / name).stat().st_size > 0
    assert any((tmp_path / 'run' / 'tensorboard').iterdir())
    config = load_checkpoint(folder).config
    assert config.auxiliary == {'place': 3} and config.provenance['step'] == 40


def test_resuming_is_bit_exact(episodes, tmp_path):
    whole = train(settings(episodes), tmp_path / 'whole', 'cpu')
    halves = tmp_path / 'halves'

    class Stop(Exception):
        pass

    import gato_ros.training.train as module
    original = module._Run._one_step

    def stop_at_five(run, *arguments):
        if run.step == 5:  # two steps after the last save at 3
            raise Stop
        return original(run, *arguments)

    module._Run._one_step = stop_at_five
    try:
        with pytest.raises(Stop):
            train(settings(episodes), halves, 'cpu')
    finally:
        module._Run._one_step = original
    resumed = train(settings(episodes), halves, 'cpu')
    a, b = (load_file(folder / 'model.safetensors') for folder in (whole, resumed))
    assert all(torch.equal(a[name], b[name]) for name in a)
    log = (halves / 'log.jsonl').read_text().splitlines()
    assert len(log) == 6, 'steps after the last save are logged once'


@pytest.mark.slow
def test_two_processes_train_one_model(episodes, tmp_path):
    import yaml

    from gato_ros.config import to_dict
    (tmp_path / 'run.yaml').write_text(yaml.safe_dump(to_dict(settings(episodes))))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node', '2', '-m', 'gato_ros.training.train',
               str(tmp_path / 'run.yaml'), '--out', str(tmp_path / 'run'), '--device', 'cpu']
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False,
                          env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-2000:]
    assert '2 process(es)' in done.stdout
    assert load_checkpoint(tmp_path / 'run' / 'checkpoint').config.provenance['step'] == 6


def test_a_folder_of_another_run_is_refused(episodes, tmp_path):
    train(settings(episodes, steps=1), tmp_path / 'run', 'cpu')
    with pytest.raises(ConfigError, match=r'a run with learning_rate = 0\.003, this one has'):
        train(settings(episodes, steps=1, learning_rate=1e-4), tmp_path / 'run', 'cpu')


def test_training_goes_on_from_a_checkpoint(episodes, tmp_path):
    first = train(settings(episodes, steps=3), tmp_path / 'first', 'cpu')
    second = train(settings(episodes, steps=1, learning_rate=1e-9), tmp_path / 'second', 'cpu',
                   start_from=first)
    a, b = (load_file(folder / 'model.safetensors') for folder in (first, second))
    assert all(torch.allclose(a[name], b[name], atol=1e-6) for name in a)


def test_the_learning_rate_rises_then_falls_to_a_tenth():
    rates = [learning_rate(step, 1.0, 10, 110) for step in range(111)]
    assert rates[0] == 0.1 and rates[9] == rates[10] == 1.0
    assert rates[60] == pytest.approx(0.55) and rates[110] == pytest.approx(0.1)


def test_bad_episodes_are_named(episodes, robot, tmp_path):
    with pytest.raises(EpisodeError, match='holds no episodes'):
        sampler(tmp_path / 'nothing', robot)
    with pytest.raises(EpisodeError, match='has 11 timesteps'):
        sampler(episodes, robot, timesteps=11)
    path = episodes / '3.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EpisodeError, match=r'3\.safetensors is truncated or no episode'):
        sampler(episodes, robot)
