"""Any Gymnasium environment by a YAML file: spaces to fields and back, from data to rates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from gato_ros.config import ConfigError
from gato_ros.domains import gym_spaces
from gato_ros.domains.domain import DomainError
from gato_ros.domains.gym_spaces import FieldSettings
from gato_ros.domains.registry import load_domain
from gato_ros.domains.wrappers import open_environment
from gato_ros.episodes.episode import list_episodes
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.spec import ContinuousField, DiscreteField, ImageField
from gato_ros.tools.cli import main as program

WORLDS = {
    'pole': 'environment: CartPole-v1\nsuccess: ""\nscores:\n'
            '  random: {mean: 21.0, deviation: 10.0, n: 50}\n'
            '  expert: {mean: 500.0, deviation: 0.0, n: 50}\n',
    'pendulum': 'environment: Pendulum-v1\n',
    'car': 'environment: MountainCarContinuous-v0\n',
    'dict': 'environment: DictWorld-v0\nimports: [dict_world]\nsuccess: won\n'
            'observation: {camera: {size: [16, 32]}}\n'
            'tasks: {reach: {sentence: unused}}\n'}


def gato_ros(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr('sys.argv', ['gato-ros', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        program()
    assert end.value.code == 0


@pytest.mark.slow
@pytest.mark.parametrize('name', WORLDS)
def test_collect_train_and_evaluate_by_a_file_alone(
        name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world, run = tmp_path / f'{name}.yaml', tmp_path / 'run.yaml'
    world.write_text(WORLDS[name])
    gato_ros(monkeypatch, 'collect', '--task', world, '--actor', 'random', '--episodes', 6,
             '--out', tmp_path / 'data', '--workers', 1, '--json', tmp_path / 'collected.json')
    assert json.loads((tmp_path / 'collected.json').read_text())['episodes'] == 6
    for _, info in list_episodes(tmp_path / 'data'):
        assert (info.domain, info.source, info.robot) == (name, 'random', '')
        assert info.specification == load_domain(str(world)).specification()
        assert info.score is not None and np.isfinite(info.score)
        if name == 'dict':
            assert info.sentence in ('go left', 'go right') and info.task == 'reach'
        if name == 'pole':
            assert info.normalised == pytest.approx((info.score - 21) / 479)
    run.write_text(f'model: tiny\nmixture:\n- {{domain: {world}, folders: [{tmp_path / "data"}], '
                   'prompt_fraction: 0.0, timesteps: 2, auxiliary: false}\nsteps: 4\nbatch: 8\n'
                   'precision: float32\nwindow_timesteps: 2\n')
    if name == 'dict':  # half of its episodes are lost ones, of which a domain learns nothing
        won = [path for path, info in list_episodes(tmp_path / 'data') if info.success]
        assert 0 < len(won) < 6
    gato_ros(monkeypatch, 'train', run, '--out', tmp_path / 'run', '--device', 'cpu')
    assert list(load_checkpoint(tmp_path / 'run/checkpoint').config.domains) == [name]
    gato_ros(monkeypatch, 'evaluate', '--task', world, '--checkpoint', tmp_path / 'run/checkpoint',
             '--episodes', 2, '--workers', 1, '--out', tmp_path / 'out', '--json',
             tmp_path / 'out.json')
    rows = json.loads((tmp_path / 'out.json').read_text())['summary']
    assert [row['actor'] for row in rows][:3] == ['policy', 'still', 'random'], 'it has no expert'
    assert all(row['n'] == 2 and np.isfinite(row['score']) for row in rows)
    assert (rows[0]['success'] is None) == (name != 'dict')


@pytest.mark.parametrize(('space', 'value', 'field', 'array'), [
    (spaces.Box(-2.0, 2.0, (2,)), np.array([1.0, -2.0], np.float32),
     ContinuousField('it', ('0', '1'), (-2.0, -2.0), (2.0, 2.0)), [1.0, -2.0]),
    (spaces.Box(-np.inf, np.inf, (1,)), np.array([7.0], np.float32),
     ContinuousField('it', ('0',), (-1.0,), (1.0,), mu_law=True), [7.0]),
    (spaces.Discrete(4, start=-1), -1, DiscreteField('it', ('it',), 4), [0]),
    (spaces.MultiBinary(3), np.array([1, 0, 1], np.int8),
     DiscreteField('it', ('0', '1', '2'), 2), [1, 0, 1])])
def test_a_space_is_a_field_both_ways(space, value, field, array) -> None:
    part, = gym_spaces.parts_of(space, {}, 'it')
    assert part.field == field
    read = gym_spaces.read([part], value)
    assert read['it'].tolist() == array
    assert read['it'].dtype == (np.int64 if isinstance(field, DiscreteField) else np.float64)
    again = gym_spaces.write([part], read, space)
    assert space.contains(again) and np.array_equal(again, value)


def test_a_dict_of_spaces_keeps_its_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'dict.yaml').write_text(WORLDS['dict'])
    domain = load_domain(str(tmp_path / 'dict.yaml'))
    spec = domain.specification()
    assert spec.images == (ImageField('camera', 16, 32),)
    assert [field.name for field in spec.tensors] == ['body.gear', 'body.place']
    assert [(field.name, field.size) for field in spec.actions] == [
        ('push', 1), ('switches_0', 1), ('switches_1', 1)]
    environment = open_environment(domain)
    first = environment.reset('reach', 1)
    assert first.images['camera'].shape == (16, 32, 3) and environment.sentence.startswith('go ')
    push = {'push': np.array([0.2]), 'switches_0': np.array([1]), 'switches_1': np.array([3])}
    then = environment.step(push)
    moved = then.proprioception['body.place'] - first.proprioception['body.place']
    assert moved == pytest.approx(0.2, abs=1e-6) and then.proprioception['body.gear'] == [1]


@pytest.mark.parametrize(('seen', 'sentence'), [
    ({'camera': np.zeros((9, 9, 3), np.uint8)}, r"'camera' has shape \(9, 9, 3\), expected"),
    ({'body': {'place': np.zeros(1)}}, "'body.gear' is missing"),
    ({'body': {'place': np.zeros(1), 'gear': np.ones(2, int)}}, r"'body.gear' has shape \(2,\)"),
    ({'body': {'place': np.zeros(1), 'gear': 1.5}}, r"'body.gear' is \[1.5\], expected whole"),
    ({'body': {'place': np.array([np.nan]), 'gear': 1}}, "'body.place' holds nan, expected fin")])
def test_an_environment_that_breaks_its_space_is_one_sentence(
        seen: dict, sentence: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import dict_world
    (tmp_path / 'dict.yaml').write_text(WORLDS['dict'])
    environment = open_environment(load_domain(str(tmp_path / 'dict.yaml')))
    environment.reset('reach', 1)
    whole = dict_world.DictWorld._seen
    monkeypatch.setattr(dict_world.DictWorld, '_seen', lambda self: {**whole(self), **seen})
    with pytest.raises(DomainError, match=rf'\(task reach, seed 1, step 1\): {sentence}'):
        environment.step({'push': np.zeros(1), 'switches_0': np.zeros(1, int),
                          'switches_1': np.zeros(1, int)})


def test_a_picture_of_one_channel_becomes_grey() -> None:
    space = spaces.Box(0, 255, (32, 32, 1), np.uint8)
    part, = gym_spaces.parts_of(space, {'it': FieldSettings(size=(16, 16))}, 'it')
    picture = np.full((32, 32, 1), 9, np.uint8)
    assert part.read(picture).shape == (16, 16, 3) and (part.read(picture) == 9).all()


@pytest.mark.parametrize(('space', 'given', 'sentence'), [
    (spaces.Sequence(spaces.Discrete(2)), {}, "'it' is Sequence.*expected Box, Discrete"),
    (spaces.Discrete(2000), {}, "'it' has 2000 choices, expected at most 1024"),
    (spaces.Box(0, 255, (20, 30, 3), np.uint8), {}, 'picture of 20x30, expected multiples of 16'),
    (spaces.Box(0, 255, (2, 32, 32, 3), np.uint8), {}, r"'it' has shape \(2, 32, 32, 3\)"),
    (spaces.Box(-1, 1, (2,)), {'it': FieldSettings(low=(0.0,))}, 'has 1 lower and 2 upper limits'),
    (spaces.Box(-1, 1, (2,)), {'its': FieldSettings()}, "'its' is no part of the it, expected on"),
])
def test_what_cannot_be_mapped_is_one_sentence(space, given, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        gym_spaces.parts_of(space, given, 'it')


def test_an_environment_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / 'none.yaml').write_text('environment: NoSuchThing-v0\n')
    with pytest.raises(DomainError, match=r"none.yaml: environment 'NoSuchThing-v0' cannot be ma"):
        load_domain(str(tmp_path / 'none.yaml'))
    (tmp_path / 'odd.yaml').write_text('environment: CartPole-v1\ncolour: red\n')
    with pytest.raises(ConfigError, match=r"odd.yaml: unknown key 'colour'"):
        load_domain(str(tmp_path / 'odd.yaml'))
    (tmp_path / 'bar.yaml').write_text('environment: CartPole-v1\nbar: 0.5\n')
    with pytest.raises(ConfigError, match=r'bar is 0.5 and no scores are given, expected both'):
        load_domain(str(tmp_path / 'bar.yaml'))
