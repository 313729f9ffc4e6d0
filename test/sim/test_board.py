"""The score board: what is on it, what its figures are, and that one bad world does not end it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gato_ros.domains import registry
from gato_ros.domains.domain import Score, Scores
from gato_ros.domains.registry import load_domain
from gato_ros.evaluation.board import TaskRow, counts_above, mean_of_domains, plan, standings
from gato_ros.evaluation.statistics import Rate
from gato_ros.model.architecture import load_architecture
from gato_ros.model.gato import Gato
from gato_ros.policy.checkpoint import (
    CheckpointConfig,
    DomainConfig,
    load_checkpoint,
    save_checkpoint,
)
from gato_ros.tools.cli import main as program

pytestmark = pytest.mark.sim

TWO = """
import numpy as np
from gato_ros.domains.domain import Domain, Environment, Score, Scores, TaskSpec
from gato_ros.spec import DiscreteField, Observation, TimestepSpec

MOVES = {'': 2, 'long': 3}


class CoinEnvironment(Environment):
    def reset(self, task, seed):
        self.task, self.steps, self.hits = task, 0, 0
        self.spec = Coins.bodies['long' if task == 'long' else '']
        return self.observe()

    def step(self, values):
        self.steps += 1
        self.hits += int(values['move'][0] == 1)
        if self.task == 'breaks' and self.steps == 2:
            raise KeyError('door')
        return self.observe()

    def observe(self):
        return Observation(proprioception={'place': np.array([self.steps])})

    @property
    def ended(self):
        return self.steps >= 4

    @property
    def progress(self):
        return self.steps / 4

    @property
    def score(self):
        return 10.0 + self.hits

    @property
    def success(self):
        return False if self.task == 'never' else None

    def picture(self, size):
        return np.zeros((size, size, 3), np.uint8)


class Coins(Domain):
    name = 'coins'
    bodies = {body: TimestepSpec(discrete=(DiscreteField('place', ('x',), 9),),
                                 discrete_actions=(DiscreteField('move', ('x',), count),))
              for body, count in MOVES.items()}
    tasks = {'plays': TaskSpec('plays'), 'never': TaskSpec('never', held_out=True),
             'long': TaskSpec('long', body='long'), 'breaks': TaskSpec('breaks'),
             'unscored': TaskSpec('unscored')}

    def specification(self, task=''):
        return self.bodies[self.tasks[task].body]

    def environment(self):
        return CoinEnvironment()

    def demonstrator(self, environment, kind, rng):
        raise NotImplementedError

    def scores(self, task):
        known = Scores(Score(10.0, 1.0, 50), Score(14.0, 0.0, 50))
        return None if task == 'unscored' else known

    def human(self, task):
        return 12.5 if task == 'plays' else None
"""


@pytest.fixture
def coins(tmp_path: Path) -> Path:
    file = tmp_path / 'coins.py'
    file.write_text(TWO)
    return file


@pytest.fixture
def generalist(tmp_path: Path, coins: Path) -> Path:
    """A checkpoint that has learnt nothing of two bodies, but knows them."""
    torch.manual_seed(0)
    arch, domain = load_architecture('tiny'), load_domain(str(coins))
    config = CheckpointConfig(arch, {
        domain.source(task): DomainConfig(domain.specification(task), temperature=1.0)
        for task in ('plays', 'long')})
    save_checkpoint(tmp_path / 'checkpoint', config, Gato(arch).state_dict())
    return tmp_path / 'checkpoint'


def row(domain: str, task: str, *normalised: float, held_out: bool = False,
        successes: int | None = None) -> TaskRow:
    rate = None if successes is None else Rate(successes, len(normalised))
    ends = Scores(Score(0.0, 1.0, 50), Score(1.0, 1.0, 50))
    return TaskRow(domain, task, held_out, 0.0, np.array(normalised), rate, ends)


ROWS = [row('games', 'a', 0.0, 0.2, 0.4, 0.6), row('games', 'b', 0.9, 0.9, 0.9, 0.9),
        row('arm', 'c', 1.0, 1.0, 1.0, 1.0, successes=4), row('arm', 'd', 0.0, 1.0, 0.0, 1.0,
                                                             successes=2),
        row('arm', 'e', 0.0, 0.0, 0.0, 0.0, held_out=True, successes=0)]


def test_figures_are_those_worked_out_by_hand() -> None:
    games, arm, everything, held_out = standings(ROWS)
    assert games.above == {0.25: 1 + 1, 0.5: 1, 0.75: 1, 0.9: 1, 1.0: 0}
    assert arm.above == {0.25: 2, 0.5: 2, 0.75: 1, 0.9: 1, 1.0: 1}
    assert everything.above == {share: games.above[share] + arm.above[share]
                                for share in games.above}
    assert games.mean == pytest.approx((0.3 + 0.9) / 2)
    assert games.iqm == pytest.approx((0.4 + 0.6 + 0.9 + 0.9) / 4)  # of 8 scores, 2 cut at an end
    assert arm.iqm == 1.0 and games.success is None
    assert (arm.success, arm.judged) == (0.75, 2)
    assert (everything.success, everything.judged, everything.tasks) == (0.75, 2, 4)
    assert (held_out.title, held_out.tasks, held_out.mean) == ('held out: arm', 1, 0.0)
    assert mean_of_domains(standings(ROWS)) == pytest.approx((0.7 + 1.0) / 2)
    assert counts_above(ROWS, [0.0, 0.5, 1.0]) == {'games': [2, 1, 0], 'arm': [2, 2, 1]}


def test_a_board_names_what_breaks_and_scores_the_rest(
        generalist: Path, coins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    out, figures = tmp_path / 'out', tmp_path / 'board.json'

    def run() -> dict:
        monkeypatch.setattr('sys.argv', [
            'gato-ros', 'evaluate', '--board', '--checkpoint', str(generalist), '--task',
            str(coins), '--episodes', '6', '--workers', '1', '--out', str(out), '--json',
            str(figures)])
        with pytest.raises(SystemExit) as ended:
            program()
        assert ended.value.code == 1  # a world broke
        return json.loads(figures.read_text())
    found = run()
    said = capsys.readouterr()
    assert "breaks is not on the board, its world broke: KeyError: 'door'" in said.err
    assert 'no published scores: coins/unscored' in said.err
    assert 'test seeds 0 to 5' in said.out and 'published: Meta-World' in said.out
    assert [(line['task'], line['n']) for line in found['tasks']] == [
        ('plays', 6), ('never', 6), ('long', 6)]
    plays, never, _ = found['tasks']
    assert [plays[who] for who in ('random', 'expert', 'human')] == [10.0, 14.0, 12.5]
    assert never['human'] is None and 'human, published' in said.out
    assert plays['normalised'] == pytest.approx((plays['score'] - 10) / 4)
    assert never['held_out'] and never['success'] == 0 and plays['success'] is None
    assert [line['title'] for line in found['domains']] == ['coins', 'all', 'held out: coins']
    assert cv2.imread(str(out / 'board.png')) is not None
    assert cv2.imread(str(out / 'failures-coins.png')) is not None
    assert len(list((out / 'failures').iterdir())) == 4  # of six failures
    episodes = (out / 'episodes.jsonl').read_bytes()
    assert run() == found  # only the broken ones are tried again
    assert (out / 'episodes.jsonl').read_bytes() == episodes


def test_every_installed_domain_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.OURS, 'elsewhere', 'gato_ros_elsewhere.domain:Elsewhere')
    known = dict(load_checkpoint().config.domains)
    known['far'] = DomainConfig(load_domain('cartpole').specification(''))
    planned = plan(CheckpointConfig(load_architecture('tiny'), known))
    assert 'stack_wide' in planned.tasks
    assert "pip install 'gato_ros[elsewhere]'" in planned.left_out['elsewhere']
    name = load_domain('cartpole').suite[0]
    assert planned.left_out[f'cartpole/{name}'] == 'no published scores'  # known by its fields
    lonely = plan(CheckpointConfig(load_architecture('tiny'), {'other': DomainConfig(
        load_domain('cartpole').specification(''), window_timesteps=1)}), ['stack_wide'])
    assert lonely.tasks == ()
    assert lonely.left_out == {'stacking/stack_wide': 'not known to the checkpoint'}


def test_a_board_of_nothing_says_so(generalist: Path, coins: Path, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr('sys.argv', ['gato-ros', 'evaluate', '--board', '--checkpoint',
                                     str(generalist), '--task', f'{coins}/unscored', '--out',
                                     str(tmp_path / 'out')])
    with pytest.raises(SystemExit):
        program()
    assert 'no published scores: coins/unscored' in capsys.readouterr().err
