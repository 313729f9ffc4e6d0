"""Data, loss and the loop: what is sampled, what is learnt, and that nothing is lost."""

import dataclasses
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_numpy
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import load_file

from gato_ros.config import ConfigError
from gato_ros.episodes.episode import EpisodeError, list_episodes, read_info, read_slice
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.training.data.columns import ColumnsError
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.schedule import learning_rate
from gato_ros.training.settings import SourceSettings, TrainSettings
from gato_ros.training.train import RunError, train


def settings(episodes, **changes):
    data = SourceSettings((str(episodes),), timesteps=2, prompt_fraction=0.25,
                          prompt_timesteps=1, sentence_fraction=0.25)
    values = {'steps': 6, 'batch': 8, 'learning_rate': 3e-3, 'warmup': 2, 'smoothing_bins': 2.0,
              'auxiliary_weight': 1.0, 'history_dropout': 0.5, 'save_every': 3, 'log_every': 1}
    return TrainSettings('tiny', robot='panda_sim', data=data, **{**values, **changes})


def sampler(folder, robot, **changes):
    data = dataclasses.replace(settings(folder).data, **changes)
    return Mixture((data,), seed=0)


@pytest.mark.parametrize(('share', 'least', 'most'), [
    (0.5, 0.4, 0.75),  # half, and one in ten of the uniform ones
    (1.0, 1.0, 1.0)])
def test_a_quarter_of_the_sequences_is_prompted_a_share_of_them_from_the_end(
        episodes, robot, share, least, most):
    source = sampler(episodes, robot, sentence_fraction=0.0, prompt_at_end=share)
    ends = {read_slice(path, 9, 10)['sent']['joint_torques'].tobytes()
            for path, _ in source.sources[0].episodes}
    at_end = prompted = total = 0
    for step in range(60):
        for group in source.batch(step, 8):
            total += len(group.ids)
            if group.layout.pinned.any():
                prompted += len(group.ids)
                length = int(group.layout.pinned.sum())
                tokens = source.sources[0].tokenizer
                for row in group.ids[:, length - 8:length].numpy():
                    at_end += any(
                        (tokens.encode_action({'joint_torques': np.frombuffer(e)}) == row).all()
                        for e in ends)
    assert prompted / total == 0.25
    assert least <= at_end / prompted <= most


def rewrite(folder, change):
    """Give each episode another header: ``change`` of the old one."""
    for path, info in list_episodes(folder):
        save_numpy(load_numpy(path), path,
                   {'info': json.dumps(dataclasses.asdict(change(info)))})


def test_a_demonstration_shows_what_its_sentence_says_though_the_task_has_many(episodes, robot):
    rewrite(episodes, lambda info: dataclasses.replace(
        info, sentence='red on blue' if info.seed % 2 else 'blue on red'))
    source = sampler(episodes, robot, prompt_fraction=1.0, sentence_fraction=0.0)
    sentence = {}
    for path, info in source.sources[0].episodes:
        sent = read_slice(path, 0, info.length)['sent']['joint_torques']
        for ids in source.sources[0].tokenizer.encode_action({'joint_torques': sent}):
            sentence[ids.tobytes()] = info.sentence
    pairs = [(sentence[row[length - 8:length].tobytes()], sentence[row[-8:].tobytes()])
             for step in range(20) for group in source.batch(step, 8)
             for length in [int(group.layout.pinned.sum())]
             for row in group.ids.numpy().astype(np.int32)]
    assert len(pairs) == 160 and all(prompt == window for prompt, window in pairs)
    assert len(set(pairs)) == 2


def test_what_was_shown_is_said_and_then_done(episodes, robot):
    """Demonstration, words with their end, window: the words are targets, and all before the
    window stays pinned."""
    mixture = sampler(episodes, robot, prompt_fraction=0.0, sentence_fraction=0.0,
                      named_fraction=1.0, prompt_timesteps=2)
    source = mixture.sources[0]
    words = source.tokenizer.text.encode(source.episodes[0][1].sentence).tolist()
    one = len(source.tokenizer.layout())
    said = slice(2 * one, 2 * one + len(words) + 1)
    group, = mixture.batch(0, 8)
    assert (group.ids[:, said] == torch.tensor([*words, source.tokenizer.text.end])).all()
    assert group.ids.shape[1] == 4 * one + len(words) + 1
    text, = (slots for low, high, slots in group.layout.targets
             if (low, high) == source.tokenizer.text_range())
    assert text.tolist() == list(range(said.start, said.stop))
    assert group.layout.pinned.nonzero().flatten().tolist() == list(range(said.stop))
    mine = group.ids[:, :one], group.ids[:, said.stop:said.stop + one]
    known = {tuple(ids) for ids in source._columns.ids.tolist()}
    assert all(tuple(row) in known for part in mine for row in part.tolist())


def test_what_nobody_achieved_cannot_be_demonstrated(episodes, robot):
    rewrite(episodes, lambda info: dataclasses.replace(
        info, source='policy', success=info.seed > 0, sentence=f'task {min(info.seed, 1)}'))
    with pytest.raises(EpisodeError, match="no episode of 'task 0' is successful"):
        sampler(episodes, robot)
    assert sampler(episodes, robot, prompt_fraction=0.0).batch(0, 8)


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


def start(episodes, tmp_path, name, **changes):
    """Begin a run in a process of its own."""
    import yaml

    from gato_ros.config import to_dict
    (tmp_path / 'run.yaml').write_text(yaml.safe_dump(to_dict(settings(episodes, **changes))))
    return subprocess.Popen(
        [sys.executable, '-m', 'gato_ros.tools.cli', 'train', str(tmp_path / 'run.yaml'),
         '--out', str(tmp_path / name), '--device', 'cpu'],
        stdout=subprocess.PIPE, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_for_bit(episodes, tmp_path):
    """The kill comes at any moment after the first save, in a write or between two."""
    killed = start(episodes, tmp_path, 'killed', steps=12, save_every=3)
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith('step 7/'):
            break
    killed.kill()
    killed.wait(30)
    assert killed.returncode == -9
    for name in ('killed', 'whole'):
        assert start(episodes, tmp_path, name, steps=12, save_every=3).wait(240) == 0
    a, b = (load_file(tmp_path / name / 'checkpoint' / 'model.safetensors')
            for name in ('killed', 'whole'))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_tokenised_timesteps_follow_the_episodes(episodes, robot, tmp_path):
    """What is kept between starts is used again, and made anew when an episode changes."""
    def draw():
        made = Mixture(settings(episodes).sources, 0, tmp_path / 'columns')
        return made.batch(0, 8)[0]

    first, written = draw(), (tmp_path / 'columns' / 'ids.npy').stat().st_mtime_ns
    assert torch.equal(first.ids, draw().ids)
    assert (tmp_path / 'columns' / 'ids.npy').stat().st_mtime_ns == written
    assert torch.equal(first.patches, sampler(episodes, robot).batch(0, 8)[0].patches)
    (episodes / '0.safetensors').unlink()
    assert not torch.equal(first.ids, draw().ids)


def test_the_best_checkpoint_by_validation_is_kept(episodes, tmp_path):
    rates = iter([0.25, 0.75, 0.5])
    seen = []

    def validate(folder):
        seen.append(load_checkpoint(folder).config.provenance['step'])
        return next(rates)

    run = tmp_path / 'run'
    chosen = settings(episodes, validate_every=2)
    train(chosen, run, 'cpu', validate=validate)
    assert seen == [2, 4, 6]
    assert load_checkpoint(run / 'best').config.provenance['step'] == 4
    assert load_checkpoint(run / 'checkpoint').config.provenance['step'] == 6
    train(chosen, run, 'cpu', validate=validate)
    assert seen == [2, 4, 6], 'a finished run is not judged again'


def test_a_part_of_the_episodes_can_be_chosen(episodes, robot):
    chosen = sampler(episodes, robot, episodes=2).sources[0].episodes
    assert chosen == sampler(episodes, robot).sources[0].episodes[:2]


def test_speed_is_measured_against_the_machine(episodes, tmp_path):
    train(settings(episodes), tmp_path / 'run', 'cpu')
    rows = [json.loads(row) for row in (tmp_path / 'run' / 'log.jsonl').read_text().splitlines()]
    for row in rows:
        assert row['tokens_per_s'] > row['timesteps_per_s'] > 0
        assert 0 < row['matrix_share'] < 1 and 0 <= row['data_share'] < 1


@pytest.mark.slow
def test_two_processes_train_one_model(episodes, tmp_path):
    import yaml

    from gato_ros.config import to_dict
    (tmp_path / 'run.yaml').write_text(yaml.safe_dump(to_dict(settings(episodes))))
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone',
               '--nproc-per-node', '2', '-m', 'gato_ros.tools.cli', 'train',
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


def test_damaged_files_of_a_run_are_named_or_made_anew(episodes, tmp_path):
    run = tmp_path / 'run'
    train(settings(episodes), run, 'cpu')
    ids = np.load(run / 'columns' / 'ids.npy')
    for name in ('columns/ids.npy', 'state.pt'):
        os.truncate(run / name, 300)
    with pytest.raises(RunError, match=r'state\.pt is damaged .* --start-from'):
        train(settings(episodes), run, 'cpu')
    assert np.array_equal(np.load(run / 'columns' / 'ids.npy'), ids)


@pytest.mark.parametrize(('room', 'sentence'), [
    (1e6, 'patches.npy cannot be written: File too large, expected room for 1 MB'),
    (1e7, 'state.pt cannot be written at step 6, is the disk full? The state saved before')])
def test_a_full_disk_is_named_and_what_was_saved_is_kept(episodes, tmp_path, room, sentence):
    run = tmp_path / 'run'
    train(settings(episodes, steps=3), run, 'cpu')
    before = (run / 'state.pt').read_bytes()
    (run / 'settings.yaml').write_text((run / 'settings.yaml').read_text().replace(
        'steps: 3\n', 'steps: 6\n'))
    shutil.rmtree(run / 'columns')
    process = multiprocessing.get_context('spawn').Process(
        target=train_with_little_room, args=(int(room), settings(episodes), run))
    process.start()
    process.join()
    assert sentence in (run / 'said').read_text()
    assert (run / 'state.pt').read_bytes() == before and not list(run.rglob('*.aside'))
    train(settings(episodes), run, 'cpu')
    assert load_checkpoint(run / 'checkpoint').config.provenance['step'] == 6


def train_with_little_room(room, chosen, run):
    said = (run / 'said').open('w')
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        train(chosen, run, 'cpu')
    except (RunError, ColumnsError) as error:
        said.write(str(error))
        said.close()


def test_bad_episodes_are_named(episodes, robot, tmp_path):
    with pytest.raises(EpisodeError, match='holds no episodes'):
        sampler(tmp_path / 'nothing', robot)
    with pytest.raises(EpisodeError, match='has 11 timesteps'):
        sampler(episodes, robot, timesteps=11)
    path = episodes / '3.safetensors'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(EpisodeError, match=r'3\.safetensors is truncated or no episode'):
        sampler(episodes, robot)
