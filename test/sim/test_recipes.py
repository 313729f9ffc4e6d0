"""A mixture's data, made line by line: what breaks or hangs is named, and the others go on."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from gato_ros.config import ConfigError
from gato_ros.domains import registry
from gato_ros.episodes.episode import list_episodes
from gato_ros.tools.cli import main as program
from gato_ros.training.recipes import EpisodeRecipe, read_parts
from gato_ros.workers import Overdue, time_limit

pytestmark = pytest.mark.sim

LIGHTS = """
import time
import numpy as np
from gato_ros.domains.domain import Domain, Environment, TaskSpec
from gato_ros.spec import DiscreteField, Observation, TimestepSpec


class LightEnvironment(Environment):
    spec = TimestepSpec(discrete=(DiscreteField('lamp', ('x',), 2),),
                        discrete_actions=(DiscreteField('press', ('x',), 2),))
    success = True

    def reset(self, task, seed):
        self.task, self.steps = task, 0
        return self.observe()

    def step(self, values):
        self.steps += 1
        return self.observe()

    def observe(self):
        return Observation(proprioception={'lamp': np.array([self.steps % 2])})

    @property
    def ended(self):
        return self.steps >= 3

    @property
    def score(self):
        return 1.0

    def picture(self, size):
        return np.zeros((size, size, 3), np.uint8)


class Expert:
    def __init__(self, task):
        self.task = task

    def act(self, observation):
        while self.task == 'hangs':
            time.sleep(0.01)
        if self.task == 'breaks':
            raise IndexError('no such lamp')
        return {'press': np.array([1])}


class Lights(Domain):
    name = 'lights'
    tasks = {name: TaskSpec(name, held_out=name == 'secret')
             for name in ('red', 'green', 'hangs', 'breaks', 'secret')}

    def specification(self, task=''):
        return LightEnvironment.spec

    def environment(self):
        return LightEnvironment()

    def demonstrator(self, environment, kind, rng):
        return Expert(environment.world.task)
"""


@pytest.fixture
def mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A domain of lights, one that is not installed, and a line that makes nothing."""
    monkeypatch.setitem(registry.OURS, 'elsewhere', 'gato_ros_elsewhere.domain:Elsewhere')
    (tmp_path / 'lights.py').write_text(LIGHTS)
    file = tmp_path / 'mix.yaml'
    file.write_text(f"""sources:
- {{domain: elsewhere, folders: [data/elsewhere], collect: {{episodes: 3}}}}
- domain: {tmp_path / 'lights.py'}
  folders: [data/lights, data/two]
  collect:
  - {{episodes: 2, longest_s: 0.5, noise: 0.0}}
  - {{episodes: 3, tasks: [red, green], actor: random, first_seed: 200000}}
- {{documents: ['*.md']}}
""")
    return file


def test_what_breaks_or_hangs_is_named_and_the_others_go_on(
        mixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    out, figures = tmp_path / 'made', tmp_path / 'made.json'
    monkeypatch.setattr('sys.argv', ['gato-ros', 'collect', '--mixture', str(mixture), '--out',
                                     str(out), '--workers', '1', '--json', str(figures)])
    with pytest.raises(SystemExit) as ended:
        program()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "elsewhere: domain 'elsewhere' needs gato_ros_elsewhere, which is not installed" in said
    assert 'hangs: seed 100002: hangs, seed 100002: it took longer than 0.5 s' in said
    assert 'breaks: seed 100003: IndexError: no such lamp' in said
    away, lights, two = json.loads(figures.read_text())
    assert (away['count'], lights['count'], two['count'], two['faults']) == (0, 4, 6, {})
    made = {(info.task, info.source) for _, info in list_episodes(out)}
    assert made == {('red', 'expert'), ('green', 'expert'), ('red', 'random'), ('green', 'random')}
    assert {info.seed for _, info in list_episodes(out / 'two')} == set(range(200_000, 200_006))
    before = {path: path.stat().st_mtime_ns for path, _ in list_episodes(out)}
    with pytest.raises(SystemExit):
        program()
    assert {path: path.stat().st_mtime_ns for path, _ in list_episodes(out)} == before


def test_a_recipe_that_cannot_be_followed_says_so(mixture: Path, tmp_path: Path) -> None:
    parts = read_parts(mixture)
    assert [str(part.folder) for part in parts] == ['data/elsewhere', 'data/lights', 'data/two']
    assert str(read_parts(mixture, tmp_path)[1].folder) == str(tmp_path / 'lights')
    assert isinstance(parts[1].recipe, EpisodeRecipe)
    assert 'secret' not in str(parts[1].recipe.settings(parts[1].source, tmp_path, 1).tasks)
    for line, sentence in (
            ('{folders: [data], collect: [{episodes: 1}, {episodes: 2}]}', 'has 2 recipes for 1'),
            ('{folders: [data], collect: {episode: 1}}', "unknown key 'episode'"),
            ('{folders: [data]}', 'has no line with the key collect')):
        file = tmp_path / 'bad.yaml'
        file.write_text(f'sources: [{line}]')
        with pytest.raises(ConfigError, match=sentence):
            read_parts(file)


def test_the_shipped_recipes_can_be_followed(tmp_path: Path) -> None:
    """Those of domains that are here; held-out tasks are in none."""
    parts = read_parts('generalist', tmp_path)
    assert len({part.folder for part in parts}) == len(parts)
    for part in parts:
        if not isinstance(part.recipe, EpisodeRecipe):
            assert callable(part.recipe.function())
        elif part.source.domain in registry.domain_names():
            settings = part.recipe.settings(part.source, part.folder, 1)
            assert settings.episodes == part.recipe.episodes * len(settings.tasks)


def test_a_limit_ends_what_takes_longer_and_leaves_the_rest_alone() -> None:
    with pytest.raises(Overdue, match=r'longer than 0\.05 s'), time_limit(0.05):
        time.sleep(5)
    with time_limit(5):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
