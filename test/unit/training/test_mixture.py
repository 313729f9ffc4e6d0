"""A mixture: sources of different layouts in one batch, by weight, each with a loss of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from gato_ros.config import ConfigError, to_dict
from gato_ros.domains.domain import DomainError
from gato_ros.domains.registry import load_domain
from gato_ros.episodes.episode import EpisodeError, EpisodeInfo, EpisodeWriter, read_info
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.spec import DiscreteField, ImageField, Observation, TimestepSpec
from gato_ros.tokens.sequence import TimestepTokenizer
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.log import RunLog
from gato_ros.training.loss import MaskedLoss
from gato_ros.training.settings import SourceSettings, TrainSettings, load_settings, read_mixture
from gato_ros.training.train import train

ROOT = Path(__file__).resolve().parents[3]
WORDS = 'the red block stands on the blue block. ' * 40


@pytest.fixture
def lines(episodes: Path, tmp_path: Path) -> tuple[SourceSettings, ...]:
    """The arm, a text and captioned pictures."""
    (tmp_path / 'one.txt').write_text(WORDS)
    (tmp_path / 'two.txt').write_text('a short text')
    return (SourceSettings((str(episodes),), weight=2.0, timesteps=2, sentence_fraction=0.25),
            SourceSettings(documents=(str(tmp_path / '*.txt'),), tokens=48),
            SourceSettings(pictures=(str(captions(tmp_path / 'pictures')),), weight=0.5,
                           picture_size=(32, 32)))


def captions(folder: Path) -> Path:
    folder.mkdir()
    with (folder / 'captions.jsonl').open('w') as file:
        for number, (name, colour) in enumerate({'red': (0, 0, 255), 'blue': (255, 0, 0)}.items()):
            cv2.imwrite(str(folder / f'{name}.png'), np.full((40, 60, 3), colour, np.uint8))
            texts = [{'text': f'a {name} picture'}, {'ask': 'which colour?', 'text': name}]
            for line in texts[:2 - number]:
                file.write(json.dumps({'picture': f'{name}.png', **line}) + '\n')
    return folder


def test_each_source_has_its_share_of_every_batch(lines: tuple[SourceSettings, ...]) -> None:
    mixture, total = Mixture(lines, 0), dict.fromkeys(('stacking', 'documents', 'pictures'), 0)
    shares = {'stacking': 2 / 3.5, 'documents': 1 / 3.5, 'pictures': 0.5 / 3.5}
    for step in range(70):
        count = dict.fromkeys(total, 0)
        for group in mixture.batch(step, 8):
            count[group.source] += len(group.ids)
            assert group.ids.shape[1] == len(group.layout), 'nothing is padded'
        assert sum(count.values()) == 8
        for name, found in count.items():
            assert abs(found - 8 * shares[name]) < 1
            total[name] += found
    for name, found in total.items():
        assert found == pytest.approx(560 * shares[name], abs=2)


def test_a_batch_is_a_function_of_seed_step_and_rank(lines: tuple[SourceSettings, ...]) -> None:
    one, other = Mixture(lines, 3), Mixture(lines, 3)
    for step in (0, 7):
        for a, b in zip(one.batch(step, 16, 1), other.batch(step, 16, 1), strict=True):
            assert torch.equal(a.ids, b.ids) and torch.equal(a.patches, b.patches)
    assert not all(torch.equal(a.ids, b.ids) for a, b in zip(
        one.batch(1, 16), one.batch(2, 16), strict=False) if a.ids.shape == b.ids.shape)


def test_the_end_of_a_text_is_learnt_and_pieces_cover_the_stream(
        lines: tuple[SourceSettings, ...]) -> None:
    mixture = Mixture(lines[1:2], 0)
    text, places, ends = mixture.sources[0].tokenizer.text, set(), 0
    for step in range(40):
        for group in mixture.batch(step, 8):
            slots = torch.cat([slots for *_, slots in group.layout.targets])
            assert len(slots) == group.ids.shape[1] - 1, 'all but the very first token'
            ends += int((group.targets[:, slots] == text.end).sum())
            places.add(int((group.layout.timestep == 0).sum()))
    assert ends > 0 and len(places) > 3, 'prompts of several lengths'


def test_a_picture_is_asked_about_and_described(lines: tuple[SourceSettings, ...]) -> None:
    mixture = Mixture(lines[2:], 0)
    tokenizer, seen = mixture.sources[0].tokenizer, set()
    for step in range(30):
        for group in mixture.batch(step, 4):
            assert group.patches.shape[1:] == (4, 16, 16, 3)
            for ids, patches in zip(group.ids, group.patches, strict=True):
                assert ids[:4].tolist() == [-1] * 4 and ids[-1] == tokenizer.text.end
                red, _, blue = patches[0, 0, 0].tolist()
                words = tokenizer.text.decode(ids[5:-1].numpy()).replace(' ', '')
                seen.add((words, red > blue))
    assert seen == {('aredpicture', True), ('whichcolour?red', True), ('abluepicture', False)}


def test_a_source_rich_in_tokens_does_not_drown_another(lines: tuple[SourceSettings, ...]) -> None:
    """The loss is each source's mean by its share of sequences, whatever the tokens."""
    mixture = Mixture(lines, 0)
    torch.manual_seed(0)
    loss = MaskedLoss(Gato(load_architecture('tiny'), mixture.auxiliary).eval(), 0.0, 0.0, 0.0)
    groups = mixture.batch(0, 14)
    total, log = loss(groups)
    means = {}
    for name in ('stacking', 'documents', 'pictures'):
        mine = [group for group in groups if group.source == name]
        means[name] = float(loss(mine)[1]['tokens'])
        assert float(log[f'tokens/{name}']) == pytest.approx(means[name], rel=1e-5)
        weight = sum(len(group.ids) for group in mine) / 14
        means[name] *= weight
    assert float(total.detach()) == pytest.approx(sum(means.values()), rel=1e-5)
    twice = [*groups, *(group for group in groups if group.source == 'documents')]
    assert float(loss(twice)[1]['tokens/documents']) == pytest.approx(
        float(log['tokens/documents']), rel=1e-5)


def settings(lines: tuple[SourceSettings, ...], **changes) -> TrainSettings:
    return TrainSettings('tiny', mixture=lines, **{
        'steps': 10, 'batch': 8, 'learning_rate': 3e-3, 'warmup': 2, 'auxiliary_weight': 1.0,
        'save_every': 4, 'log_every': 1, 'precision': 'float32', **changes})


def test_one_checkpoint_knows_every_source_and_acts_speaks_and_describes(
        lines: tuple[SourceSettings, ...], tmp_path: Path, robot) -> None:
    folder = train(settings(lines), tmp_path / 'run', 'cpu')
    rows = [json.loads(row) for row in (tmp_path / 'run/log.jsonl').read_text().splitlines()]
    assert {'tokens/stacking', 'tokens/documents', 'tokens/pictures', 'auxiliary/stacking'} <= {
        key for row in rows for key in row}
    checkpoint = load_checkpoint(folder)
    domains = checkpoint.config.domains
    assert list(domains) == ['stacking', 'documents', 'pictures']
    assert domains['stacking'].tasks == ('stack_wide',)
    arm = GatoPolicy(checkpoint, 'stacking')
    assert arm.act(robot.example_observation()).values['joint_torques'].shape == (8,)
    assert isinstance(''.join(arm.beside('documents').say('the red', longest=5)), str)
    picture = np.zeros((32, 32, 3), np.uint8)
    assert isinstance(''.join(arm.beside('pictures').describe(picture, longest=5)), str)


@pytest.mark.slow
def test_two_processes_killed_and_resumed_are_the_uninterrupted_run(
        lines: tuple[SourceSettings, ...], tmp_path: Path) -> None:
    (tmp_path / 'run.yaml').write_text(yaml.safe_dump(to_dict(settings(lines, steps=12))))

    def start(name: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node',
             '2', '-m', 'gato_ros.tools.cli', 'train', str(tmp_path / 'run.yaml'), '--out',
             str(tmp_path / name), '--device', 'cpu'], stdout=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})

    killed = start('killed')
    assert killed.stdout is not None
    for line in killed.stdout:
        if line.startswith('step 6/'):
            break
    os.killpg(killed.pid, 9)
    killed.wait(30)
    for name in ('killed', 'whole'):
        run = start(name)
        run.communicate(timeout=240)
        assert run.returncode == 0
    a, b = (load_file(tmp_path / name / 'checkpoint' / 'model.safetensors')
            for name in ('killed', 'whole'))
    assert all(torch.equal(a[name], b[name]) for name in a)


# Episodes that describe themselves.

GAME = TimestepSpec(images=(ImageField('screen', 16, 16),),
                    discrete_actions=(DiscreteField('button', ('button',), 3),))


def test_an_episode_says_what_it_holds(tmp_path: Path) -> None:
    writer = EpisodeWriter()
    for step in range(3):
        button = {'button': np.array([step])}
        writer.add(Observation({'screen': np.full((16, 16, 3), step, np.uint8)}), button, button,
                   {})
    info = EpisodeInfo('', GAME.hash, 'level', 'play', 100_000, 'expert', None, domain='game',
                       specification=GAME, score=7.5, normalised=0.5)
    writer.save(tmp_path / 'one.safetensors', info)
    found = read_info(tmp_path / 'one.safetensors')
    assert (found.specification, found.domain, found.score, found.normalised, found.success) == (
        GAME, 'game', 7.5, 0.5, None)
    block = TimestepTokenizer(GAME).encode({'screen': np.zeros((16, 16, 3), np.uint8)}, {},
                                           {'button': np.array([2])})
    assert block.ids.tolist() == [-1, 33024, 2]


def test_a_timestep_may_have_no_observation_or_no_action() -> None:
    blind = TimestepTokenizer(TimestepSpec(
        discrete_actions=(DiscreteField('button', ('a', 'b'), 3),)))
    assert blind.encode({}, {}, {'button': np.array([1, 2])}).ids.tolist() == [33024, 1, 2]
    many = blind.encode({}, {}, {'button': np.array([[1, 2], [0, 1]])})
    assert many.ids.tolist() == [[33024, 1, 2], [33024, 0, 1]]
    seen = TimestepTokenizer(TimestepSpec(discrete=(DiscreteField('place', ('x',), 9),)))
    assert seen.encode({}, {'place': np.array([4])}).ids.tolist() == [4, 33024]
    assert seen.encode({}, {'place': np.array([4])}, {}).ids.tolist() == [4, 33024]
    assert seen.layout().actions == 0 and len(seen.layout().kind[seen.layout().action_part]) == 0
    assert TimestepTokenizer(TimestepSpec()).encode({}, {}).ids.tolist() == [33024]


# Bad input.

def test_what_a_mixture_cannot_be_is_one_sentence(
        lines: tuple[SourceSettings, ...], episodes: Path, tmp_path: Path) -> None:
    for change, kind, sentence in (
            ({'weight': -1.0}, ConfigError, 'weight is -1.0, expected a number > 0'),
            ({'weight': float('nan')}, ConfigError, 'weight is nan'),
            ({'folders': ('x',), 'documents': ('y',)}, ConfigError,
             'folders and documents are given, expected one')):
        with pytest.raises(kind, match=sentence):
            SourceSettings(**change)
    for line, kind, sentence in (
            (SourceSettings((str(episodes),), domain='chess'), ConfigError, "domain 'chess' is"),
            (SourceSettings((str(episodes),), tasks=('juggle',)), ConfigError,
             "task 'juggle' is unknown"),
            (SourceSettings((str(tmp_path / 'none'),)), EpisodeError, 'holds no episodes'),
            (SourceSettings((str(episodes),), domain='cartpole'), EpisodeError,
             'was recorded with specification .* of cartpole'),
            (SourceSettings(documents=(str(tmp_path / '*.nothing'),)), ConfigError,
             '0 files match and hold no text'),
            (SourceSettings(pictures=(str(tmp_path),)), ConfigError, 'captions.jsonl is not th'),
            (SourceSettings((str(episodes),), domain='gone.py'), ConfigError, 'gone.py is not')):
        with pytest.raises((kind, DomainError), match=sentence):
            Mixture((line,), 0)
    with pytest.raises(ConfigError, match="has 2 sources that are called 'stacking'"):
        Mixture((lines[0], lines[0]), 0)
    with pytest.raises(ConfigError, match='data and mixture are not given, expected one'):
        TrainSettings('tiny', 1, 1)


def test_a_mixture_is_a_file_of_lines(tmp_path: Path) -> None:
    (tmp_path / 'mix.yaml').write_text(
        'sources:\n- {domain: stacking, folders: [data], weight: 3}\n'
        "- {documents: ['docs/*.md']}\n")
    (tmp_path / 'run.yaml').write_text(
        f'model: tiny\nsteps: 1\nbatch: 1\nmixture: {tmp_path / "mix.yaml"}\n')
    first, second = load_settings(tmp_path / 'run.yaml').sources
    assert (first.domain, first.weight, second.documents) == ('stacking', 3.0, ('docs/*.md',))
    (tmp_path / 'bad.yaml').write_text('source: []\n')
    with pytest.raises(ConfigError, match='has the keys source, expected the one key sources'):
        read_mixture(tmp_path / 'bad.yaml')


def test_the_shipped_mixture_is_the_documents_and_can_be_trained_on(tmp_path: Path) -> None:
    text = (ROOT / 'docs' / 'training.md').read_text(encoding='utf-8')
    shown = yaml.safe_load(text.split('```yaml\n')[1].split('```')[0])
    assert read_mixture('example') == shown['sources']
    file = tmp_path / 'mix.yaml'
    file.write_text('model: small\nmixture: example\nsteps: 3000\nbatch: 128\n')
    arm, cart, words = load_settings(file).sources
    assert load_domain(arm.domain).specification('stack_wide').images
    assert set(load_domain(cart.domain).tasks) == {'balance'}
    assert all([*ROOT.glob(pattern)] for pattern in words.documents)


def test_training_takes_no_notice_of_what_makes_the_data(tmp_path: Path) -> None:
    (tmp_path / 'run.yaml').write_text(
        'model: tiny\nsteps: 1\nbatch: 1\nmixture:\n'
        '- {domain: stacking, folders: [data], collect: {episodes: 3}}\n')
    line, = load_settings(tmp_path / 'run.yaml').sources
    assert line == SourceSettings(('data',), 'stacking')


def test_episodes_of_another_domain_are_left_alone(tmp_path: Path) -> None:
    """Two worlds may look alike; which one an episode is of stands in its header."""
    spec = load_domain('cartpole').specification('balance')
    for name, length in (('cartpole', 3), ('double_pole', 5)):
        writer = EpisodeWriter()
        for _ in range(length):
            writer.add(Observation(proprioception={'observation': np.zeros(4)}),
                       *[{'action': np.zeros(1, np.int64)}] * 2, {})
        writer.save(tmp_path / f'{name}.safetensors', EpisodeInfo(
            '', spec.hash, 'balance', '', 0, 'random', None, domain=name, specification=spec))
    line = SourceSettings((str(tmp_path),), 'cartpole', prompt_fraction=0.0, auxiliary=False)
    assert [source.timesteps for source in Mixture((line,), 0).sources] == [3]
    (tmp_path / 'cartpole.safetensors').unlink()
    with pytest.raises(EpisodeError, match=r"in the domain 'double_pole', expected .* of cart"):
        Mixture((line,), 0)


@pytest.mark.parametrize(('change', 'sentence'), [
    ({'documents': ('x',), 'window_timesteps': 1}, 'window_timesteps is 1, expected at least 2: '),
    ({'pictures': ('x',), 'window_timesteps': 2}, 'window_timesteps is 2, expected at least 3: '),
    ({'documents': ('x',), 'tokens': 513}, 'tokens is 513, expected at most 512'),
    ({'folders': ('x',), 'timesteps': 0}, 'timesteps is 0, expected at least 1')])
def test_a_source_that_could_not_be_used_is_refused(change: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f'^{sentence}'):
        SourceSettings(**change)


def test_what_would_be_ignored_in_a_mixture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the source 'cartpole' has no folders, expected some"):
        Mixture((SourceSettings(domain='cartpole'),), 0)
    with pytest.raises(ConfigError, match=r"robot is 'fr3' beside a mixture, expected it in the"):
        TrainSettings('tiny', 1, 1, robot='fr3', mixture=(SourceSettings(('x',)),))
    (tmp_path / 'run.yaml').write_text('model: tiny\nsteps: 1\nbatch: 1\nmixture: [{}]')
    with pytest.raises(ConfigError, match=r'mixture.0.weight cannot be changed: mixture is no gr'):
        load_settings(tmp_path / 'run.yaml', {'mixture.0.weight': 2})


def test_a_run_goes_on_with_its_own_mixture_and_all_that_it_knew(
        lines: tuple[SourceSettings, ...], tmp_path: Path) -> None:
    text = replace(lines[1], weight=1.0)
    first = TrainSettings('tiny', 1, 2, mixture=(text,), precision='float32')
    other = train(first, tmp_path / 'first', 'cpu')
    second = replace(first, steps=2, mixture=(replace(text, name='prose'),))
    run = tmp_path / 'second'
    train(second, run, 'cpu', start_from=other)
    state = torch.load(run / 'state.pt')
    torch.save({**state, 'step': 1}, run / 'state.pt')
    train(second, run, 'cpu')  # as after an interruption, without --from
    assert list(load_checkpoint(run / 'checkpoint').config.domains) == ['documents', 'prose']
    heavier = replace(second, mixture=(replace(text, name='prose', weight=2.0),))
    with pytest.raises(ConfigError, match=r'with mixture\[0\].weight = 1.0, this one has 2.0'):
        train(heavier, run, 'cpu')
    with pytest.raises(ConfigError, match='with mixture = 1 sources, this one has 2 sources'):
        train(replace(second, mixture=(*heavier.mixture, text)), run, 'cpu')


def test_a_source_that_is_not_in_every_batch_does_not_stop_the_plot(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.add(1, {'tokens': 2.0})
    log.add(2, {'tokens': 1.0, 'error': 0.5})
    log.add(3, {'tokens': 1.0})
    log.close()
    assert cv2.imread(str(tmp_path / 'loss.png')).shape[1] == 1000, 'two plots'


def test_a_run_that_cannot_be_validated_does_not_begin(
        lines: tuple[SourceSettings, ...], tmp_path: Path) -> None:
    settings = TrainSettings('tiny', 1, 2, mixture=(lines[1],), validate_every=1)
    with pytest.raises(ConfigError, match=r"validate_tasks holds 'stack_wide', but the checkpoint "
                                          "has no domain 'stacking', expected .* documents"):
        train(settings, tmp_path / 'run', 'cpu')
    assert not (tmp_path / 'run/settings.yaml').exists()


def test_a_training_file_of_version_01_is_read(tmp_path: Path) -> None:
    (tmp_path / 'old.yaml').write_text('robot: panda_sim\nmodel: tiny\ndata: {folders: [data]}\n'
                                       'steps: 1\nbatch: 1\naverage: 0.9\nrank: 4\n')
    found = load_settings(tmp_path / 'old.yaml')
    assert (found.ema, found.low_rank, found.data.folders) == (0.9, 4, ('data',))
