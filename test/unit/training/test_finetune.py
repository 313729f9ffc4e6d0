"""Fine-tuning on a folder of recordings: all weights or few, and what it taught and unlearnt."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recordings import ROBOT, SENTENCE, original, record
from typer.testing import CliRunner

from gato_ros.config import ConfigError, data_path, to_dict
from gato_ros.domains.registry import load_domain
from gato_ros.episodes.episode import list_episodes, read_slice
from gato_ros.evaluation.before_after import before_after, known_task
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import (
    CheckpointConfig,
    CheckpointError,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.spec import Observation
from gato_ros.tools.cli import app
from gato_ros.training.data.mixture import Mixture
from gato_ros.training.finetuning import rehearsal
from gato_ros.training.finetuning.finetune import prepare
from gato_ros.training.finetuning.low_rank import adapt, merged
from gato_ros.training.settings import load_settings


def make_checkpoint(folder: Path, settings: dict[str, Any] | None = None,
                    knows: tuple[str, ...] = ()) -> Path:
    """Write an untrained checkpoint that says that it was trained in some way."""
    architecture = load_architecture('tiny')
    torch.manual_seed(0)
    save_checkpoint(folder, CheckpointConfig(
        architecture, {'stacking': DomainConfig(
            ROBOT.timestep(), window_timesteps=2, temperature=0.5,
            tasks=('stack_wide', 'of somebody'), sentences=knows)}, {'tcp_position': 3},
        provenance={'settings': settings or {}}),
        Gato(architecture, {'tcp_position': 3}).state_dict())
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / 'old')


def finetune(tmp_path: Path, old: Path, *more: str) -> Any:
    """Fine-tune for three steps on one demonstration of a success and one that nobody marked."""
    demos = tmp_path / 'demos'
    record(demos, steps=20), record(demos, '')
    return CliRunner().invoke(app, [
        'train', *more, '--from', str(old), '--demos', str(demos), '--out', str(tmp_path / 'run'),
        '--set', 'steps=3', '--set', 'batch=8', '--set', 'data.timesteps=1', '--device', 'cpu',
        '--json', str(tmp_path / 'figures.json')], catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.parametrize('settings', ['finetune', 'finetune_low_rank'])
def test_it_learns_from_a_folder_and_reports_before_and_after(
        tmp_path: Path, old: Path, settings: str) -> None:
    more = [] if settings == 'finetune' else [settings, '--task', 'lift_red_narrow']
    done = finetune(tmp_path, old, *more, '--episodes', '1')
    assert done.exit_code == 0, done.output
    assert '1 demonstrations, 20 timesteps, 3 steps' in done.output
    assert 'left out: ' in done.output and 'does not say how it ended' in done.output
    before, after = (load_checkpoint(folder) for folder in (old, tmp_path / 'run/checkpoint'))
    domain = after.config.domain(ROBOT.timestep())
    assert (after.config.architecture, domain.window_timesteps, domain.temperature) == (
        before.config.architecture, 2, 0.5)
    assert domain.tasks == ('of somebody', 'stack_wide')
    weights = before.model.state_dict()
    changed = {name for name, value in after.model.state_dict().items()
               if not torch.equal(value, weights[name])}
    assert 'blocks.0.attention.query.weight' in changed
    assert ('embedding.table.weight' in changed) == (settings == 'finetune')
    report = json.loads((tmp_path / 'run/report.json').read_text())
    assert report == json.loads((tmp_path / 'figures.json').read_text())
    rows = [(row['task'], row['taught'], row['before']['n'], row['after']['n'])
            for row in report['tasks']]
    other = [] if settings == 'finetune' else [('lift_red_narrow', False, 1, 1)]
    assert rows == [('stack_wide', True, 1, 1), *other]
    assert '| stack_wide | taught | 0.0 % (n = 1, 0.0 to 79.3)' in done.output
    assert load_settings(tmp_path / 'run/settings.yaml').model == str(tmp_path / 'run/model.yaml')


@pytest.mark.slow
def test_without_a_comparison_it_only_trains(tmp_path: Path, old: Path) -> None:
    done = finetune(tmp_path, old, '--episodes', '0')
    assert done.exit_code == 0 and 'before and after' not in done.output
    assert json.loads((tmp_path / 'figures.json').read_text())['tasks'] == []


def test_steps_follow_from_the_demonstrations_and_the_rest_from_the_checkpoint(
        tmp_path: Path) -> None:
    trained = {'smoothing_bins': 2.5, 'steps': 9, 'learning_rate': 7.0,
               'data': {'timesteps': 2, 'prompt_fraction': 0.125, 'episodes': 5,
                        'folders': ['there']}}
    old, demos = make_checkpoint(tmp_path / 'old', trained), tmp_path / 'demos'
    for _ in range(5):
        record(demos, steps=20)
    failed = record(demos, 'failure')
    found = prepare(demos, tmp_path / 'run', ROBOT, old)
    assert len(found.episodes) == 5 and 'is marked as a failure' in found.refused[failed]
    chosen = found.settings
    assert (chosen.steps, chosen.batch) == (100, 128)
    assert (chosen.data.timesteps, chosen.smoothing_bins, chosen.data.episodes) == (2, 2.5, 0)
    # All show one thing: nobody can learn from them to read a demonstration.
    assert (chosen.data.prompt_fraction, chosen.data.sentence_fraction) == (0.0, 0.125)
    assert chosen.data.folders == (str(tmp_path / 'run/episodes/in_hindsight'),)
    assert prepare(demos, tmp_path / 'run', ROBOT, old, changes={'steps': 7}).settings.steps == 7


@pytest.mark.parametrize('line', [
    {'robot': 'panda_sim'}, {'domain': 'stacking'}, {'domain': 'grid.py', 'name': 'stacking'}])
def test_a_mixture_says_how_its_sequences_of_the_robot_were_made(line: dict, tmp_path: Path
                                                                 ) -> None:
    old, demos = make_checkpoint(tmp_path / 'old', {'mixture': [
        {'documents': ['x'], 'name': 'words'}, {**line, 'timesteps': 3}]}), tmp_path / 'demos'
    record(demos, steps=20)
    assert prepare(demos, tmp_path / 'run', ROBOT, old).settings.data.timesteps == 3


def test_what_the_checkpoint_knew_is_rehearsed_on_what_the_demonstrations_show(
        tmp_path: Path) -> None:
    old, demos = make_checkpoint(tmp_path / 'old', knows=('wave', SENTENCE, 'bow')), tmp_path / 'd'
    record(demos, steps=20), record(demos, steps=10)
    lines: list[str] = []
    found = prepare(demos, tmp_path / 'run', ROBOT, old, told=lines.append)
    folders = [Path(folder) for folder in found.settings.data.folders]
    shown, rehearsed = (list_episodes(folder) for folder in folders)
    assert [info.length for _, info in shown] == [20, 10] and found.rehearsed == ['bow', 'wave']
    assert [(info.sentence, info.length) for _, info in rehearsed] == [
        ('bow', 20), ('wave', 20), ('bow', 10), ('wave', 10)]
    assert found.settings.data.demonstration_weight == 2, '60 timesteps answered, 30 shown'
    assert len(lines) == 2 and 'told 2 other sentences each' in lines[-1]

    policy = GatoPolicy(load_checkpoint(old), ROBOT.timestep())
    policy.reset('wave')
    person, answered = (read_slice(path, 0, 20) for path in (shown[0][0], rehearsed[1][0]))
    sent = None
    for t in range(20):
        seen = Observation({name: rows[t] for name, rows in person['image'].items()},
                           {name: rows[t] for name, rows in person['tensor'].items()})
        assert np.array_equal(policy.act(seen, sent).values[TORQUES],
                              answered['action'][TORQUES][t])
        sent = {TORQUES: person['sent'][TORQUES][t]}

    stamps = [path.stat().st_mtime_ns for path, _ in rehearsed]
    prepare(demos, tmp_path / 'run', ROBOT, old, told=lines.append)
    assert [path.stat().st_mtime_ns for path, _ in rehearsed] == stamps
    none = prepare(demos, tmp_path / 'other', ROBOT, old, keep=False)
    assert len(none.settings.data.folders) == 1 and not none.rehearsed


def test_many_sentences_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, 'MOST', 25)
    old, demos = make_checkpoint(tmp_path / 'old', knows=('bow', 'nod', 'wave')), tmp_path / 'd'
    record(demos), record(demos)
    found = prepare(demos, tmp_path / 'run', ROBOT, old, told=lambda line: None)
    rehearsed = list_episodes(Path(found.settings.data.folders[1]))
    assert [info.sentence for _, info in rehearsed] == ['bow', 'nod']
    assert found.settings.data.demonstration_weight == 1


def test_windows_that_are_rehearsed_need_nobody_to_show_them(tmp_path: Path) -> None:
    """Nothing but a sentence goes before them; demonstrations of two things still do."""
    old, demos = make_checkpoint(tmp_path / 'old', knows=('wave',)), tmp_path / 'd'
    record(demos, steps=20)
    found = prepare(demos, tmp_path / 'run', ROBOT, old, told=lambda line: None)
    data = dataclasses.replace(found.settings.data, prompt_fraction=0.5, sentence_fraction=0.5)
    mixture = Mixture((data,), seed=0)
    source = mixture.sources[0]
    own = {row.tobytes() for path, info in source.episodes if info.source == 'teleoperation'
           for row in source.tokenizer.encode_action(
               {TORQUES: read_slice(path, 0, 20)['action'][TORQUES]})}
    shown, told = 0, set()
    for step in range(10):
        for group in mixture.batch(step, 8):
            by_person = {row.astype(np.int32).tobytes() in own
                         for row in group.targets[:, -8:].numpy()}
            if group.layout.pinned.sum() > 40:  # a timestep, not a sentence
                shown += len(group.ids)
                assert by_person == {True}
            else:
                told |= by_person
    assert shown == 40 and told == {True, False}


def test_a_persons_torques_are_learnt_as_sent_where_that_is_asked_for(
        tmp_path: Path, old: Path) -> None:
    record(tmp_path / 'demos', steps=20)
    for as_sent in (True, False):
        found = prepare(tmp_path / 'demos', tmp_path / 'run', ROBOT, old, as_sent=as_sent)
        (file, info), = found.episodes.items()
        data = read_slice(file, 0, 20)
        assert info.extra['in_hindsight'] is not as_sent
        assert np.array_equal(data['action'][TORQUES], data['sent'][TORQUES]) is as_sent
        assert np.array_equal(data['sent'][TORQUES], [original(step)[1] for step in range(20)])


def test_a_change_of_low_rank_starts_at_nothing_and_merges_into_ordinary_weights() -> None:
    torch.manual_seed(0)
    model = Gato(load_architecture('tiny'))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    adapt(model, 4)
    learning = [name for name, value in model.named_parameters() if value.requires_grad]
    assert learning and all(name.endswith(('.up', '.down')) for name in learning)
    after = merged(model.state_dict())
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
    layer = model.blocks[0].attention.query
    torch.nn.init.normal_(layer.up)
    x = torch.randn(3, layer.linear.in_features)
    weight = merged(model.state_dict())['blocks.0.attention.query.weight']
    assert torch.allclose(layer(x), x @ weight.T, atol=1e-5)
    assert torch.linalg.matrix_rank(weight - before['blocks.0.attention.query.weight']) == 4
    with pytest.raises(ConfigError, match='low_rank is 64, expected less than 64'):
        adapt(Gato(load_architecture('tiny')), 64)


def test_what_a_demonstration_shows_is_found_by_its_name_or_its_sentence() -> None:
    domain = load_domain('stacking')
    assert known_task(domain, 'stack_wide', 'anything') == 'stack_wide'
    assert known_task(domain, SENTENCE, SENTENCE) == 'stack_red_on_blue_wide'
    assert known_task(domain, 'fold the towel', 'fold the towel') == ''


@pytest.mark.slow
def test_one_task_under_two_names_is_compared_once(tmp_path: Path, old: Path) -> None:
    changed = before_after(old, old, ['stack_red_on_blue_wide'], ['stack_wide'], 1, tmp_path,
                           'panda_sim', workers=1)
    assert [(change.task, change.taught) for change in changed] == [
        ('stack_red_on_blue_wide', True)]


def test_the_robot_may_be_said_on_the_command_line(tmp_path: Path, old: Path) -> None:
    with pytest.raises(CheckpointError, match=r'differ: timestep\.continuous\[0\]\.names'):
        finetune(tmp_path, old, '--robot', 'fr3')
    file = tmp_path / 'mine.yaml'
    file.write_text(data_path('config', 'robots', 'panda_sim.yaml').read_text())
    assert finetune(tmp_path, old, '--robot', str(file), '--episodes', '0').exit_code == 0


def test_a_command_without_settings_or_demonstrations_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match='neither settings nor --demos are given'):
        CliRunner().invoke(app, ['train'], catch_exceptions=False)


def test_low_rank_settings_name_what_full_ones_do() -> None:
    full, low = (to_dict(load_settings(name)) for name in ('finetune', 'finetune_low_rank'))
    differing = {key for key in full if full[key] != low[key]}
    assert differing == {'low_rank', 'learning_rate', 'weight_decay'}
