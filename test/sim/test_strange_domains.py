"""What commands make of a stranger's domain: worlds that break, experts that err, no verdict."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from gato_ros.domains.domain import DomainError, Score, Scores
from gato_ros.domains.registry import load_domain
from gato_ros.domains.wrappers import Checked, open_environment
from gato_ros.episodes.episode import EpisodeInfo, EpisodeWriter, list_episodes, read_info
from gato_ros.evaluation.contact_sheet import draw_sheet, save_frames
from gato_ros.evaluation.results import FILE
from gato_ros.evaluation.rollout import Outcome
from gato_ros.robot import load_robot
from gato_ros.spec import ContinuousField, Observation, TimestepSpec
from gato_ros.tools.cli import main as program
from gato_ros.training.disturbance import Disturbance

pytestmark = pytest.mark.sim

LINE = """
import numpy as np
from gato_ros.domains.domain import Domain, Environment, TaskSpec
from gato_ros.spec import DiscreteField, Observation, TimestepSpec


class LineEnvironment(Environment):
    spec = TimestepSpec(discrete=(DiscreteField('place', ('x',), 9),),
                        discrete_actions=(DiscreteField('move', ('x',), 2),))

    def reset(self, task, seed):
        self.task, self.seed, self.steps = task, seed, 0
        return self.observe()

    def step(self, values):
        self.steps += 1
        return self.observe()

    def observe(self):
        breaks = self.task == 'breaks' and self.steps == 2 and self.seed % 4 == 2
        return Observation(proprioception={'place': np.full(1 + breaks, self.steps)})

    @property
    def ended(self):
        return self.task == 'over' or self.steps >= 4

    @property
    def score(self):
        return float(self.steps)

    def picture(self, size):
        return np.zeros((size, size, 3), np.uint8)


class Expert:
    def __init__(self, task):
        self.task = task

    def act(self, observation):
        return {'move': np.array([2 if self.task == 'errs' else 1])}


class Line(Domain):
    name = 'line'
    tasks = {name: TaskSpec(name) for name in ('walks', 'breaks', 'errs', 'over')}

    def specification(self, task=''):
        return LineEnvironment.spec

    def environment(self):
        return LineEnvironment()

    def demonstrator(self, environment, kind, rng):
        return Expert(environment.world.task)
"""


@pytest.fixture
def line(tmp_path: Path) -> Path:
    file = tmp_path / 'line.py'
    file.write_text(LINE)
    return file


@pytest.fixture
def gato(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the program; return its exit status, what it printed, and its last line of errors."""
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr('sys.argv', ['gato-ros', *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            program()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, (said.err.strip().splitlines() or [''])[-1]
    return run


def test_a_world_that_breaks_in_mid_episode_is_a_sentence_and_the_rest_is_kept(
        gato, line: Path, tmp_path: Path) -> None:
    sentence = "step 2): 'place' has shape (2,), expected (1,)"
    data, out = tmp_path / 'data', tmp_path / 'out'
    status, _, error = gato('collect', '--task', f'{line}/breaks', '--episodes', 3, '--workers', 1,
                            '--out', data)
    assert status == 2 and f'LineEnvironment (task breaks, seed 100002, {sentence}' in error
    assert [info.seed for _, info in list_episodes(data)] == [100_000, 100_001]
    status, _, error = gato('evaluate', '--task', f'{line}/breaks', '--actor', 'random',
                            '--episodes', 3, '--workers', 1, '--out', out)
    assert status == 2 and f'LineEnvironment (task breaks, seed 2, {sentence}' in error
    assert len((out / FILE).read_text().splitlines()) == 2


def test_an_expert_that_does_what_is_not_allowed_is_named(gato, line: Path, tmp_path: Path
                                                          ) -> None:
    status, _, error = gato('collect', '--task', f'{line}/errs', '--episodes', 1, '--out',
                            tmp_path / 'data')
    assert status == 2 and error == ("LineEnvironment (task errs, seed 100000, step 0): 'move' "
                                     'is [2], expected values in [[0.0], [1.0]], whole numbers')
    with pytest.raises(DomainError, match=r'step 0\): the episode is over before its f'):
        Checked(load_domain(str(line)).environment()).reset('over', 0)


def test_a_domain_without_a_verdict_has_scores_and_no_failures(gato, line: Path, tmp_path: Path
                                                               ) -> None:
    status, said, _ = gato('evaluate', '--task', f'{line}/walks', '--actor', 'expert', '--actor',
                           'random', '--episodes', 2, '--workers', 1, '--out', tmp_path / 'out')
    rows = [[cell.strip() for cell in row.split('|')[3:-1]] for row in said.splitlines()
            if f'{line}/walks' in row]
    assert status == 0 and rows == [['expert', '-', '2', '-', '4', '-', '4', ''],
                                    ['random', '-', '2', '-', '4', '-', '4', '']]
    assert not (tmp_path / 'out/failures.png').exists()
    _, said, _ = gato('play', f'{line}/walks', '--actor', 'expert', '--out', tmp_path)
    assert 'seed 0: no verdict, score 4 after 4 steps; written:' in said


def test_an_episode_is_shown_by_its_own_specification(gato, line: Path, tmp_path: Path) -> None:
    collect = ('collect', '--episodes', 1, '--workers', 1, '--out', tmp_path / 'data', '--task')
    assert gato(*collect, f'{line}/walks')[0] == 0
    file = tmp_path / 'data/00100000.safetensors'
    assert 'delay_s' not in read_info(file).extra, 'this world does not delay anything'
    _, said, _ = gato('tokens', '--episode', file, '--timestep', 3)
    assert [row.split()[:2] for row in said.splitlines()[1:]] == [
        ['0', 'place.x'], ['1', 'separator'], ['2', 'move.x']]
    assert "'front' is missing" in gato('tokens', '--episode', file, '--robot', 'panda_sim')[2]
    status, _, error = gato(*collect, f'{line}/errs')
    assert status == 2 and f'{file} holds an episode of line/walks, expected line/errs' in error


@pytest.mark.parametrize(('arguments', 'sentence'), [
    (('play', 'cartpole/balance', '--actor', 'oracle'), "actor is 'oracle', expected one of pol"),
    (('play', 'cartpole'), "'cartpole' is a domain, expected one of its tasks: cartpole/balance"),
    (('play', 'cartpole/balance', '--actor', 'expert'), "the domain 'cartpole' has no expert"),
    (('evaluate', '--task', 'cartpole', '--actor', 'replay'), "'cartpole' has no expert"),
    (('play', 'cartpole/balance', '--actor', 'no_image'), "has no domain 'cartpole', expected"),
    (('bench', '--task', 'cartpole/balance', '--part', 'stages'), "has no domain 'cartpole', exp"),
    (('tokens', '--task', 'cartpole/balance', '--robot', 'ur5e'), "'cartpole' has no robot")])
def test_what_a_command_cannot_do_in_a_domain(arguments: tuple[str, ...], sentence: str, gato,
                                              tmp_path: Path) -> None:
    out = [] if arguments[0] == 'tokens' else ['--out', tmp_path]
    status, _, error = gato(*arguments, *out)
    assert status == 2 and sentence in error


@pytest.mark.parametrize(('code', 'sentence'), [
    ('class D(Domain):\n    name = "d"', r"TypeError: Can't instantiate abstract .*demonstrator"),
    ('class D(Domain):\n    name, tasks = "d", {}\n    specification = environment = None\n'
     '    demonstrator = None', 'has no tasks, expected at least one'),
    ('import no_such_library', "ModuleNotFoundError: No module named 'no_such_library'")])
def test_a_file_that_is_not_whole_is_one_sentence(code: str, sentence: str, tmp_path: Path
                                                  ) -> None:
    file = tmp_path / 'd.py'
    file.write_text(f'from gato_ros.domains.domain import Domain\n{code}\n')
    with pytest.raises(DomainError, match=rf'domain {file} .*{sentence}'):
        load_domain(str(file))


def test_a_robot_that_would_not_stand_behind_the_gate_is_refused(line: Path) -> None:
    domain = load_domain(str(line))
    domain.robot = load_robot('panda_sim')
    with pytest.raises(DomainError, match='has the robot panda_sim and its environment none, exp'):
        open_environment(domain)


def test_a_normalised_score_needs_an_expert_above_chance() -> None:
    with pytest.raises(ValueError, match='the expert scores 3 and chance 3, expected more of the'):
        Scores(Score(3.0, 1.0, 50), Score(3.0, 1.0, 50))


def test_failures_of_several_domains_and_lengths_stand_on_one_sheet(tmp_path: Path) -> None:
    outcomes = [Outcome(task, 'nominal', 'policy', seed, False, 0.0, 9, 'lost')
                for task, seed in (('a/x', 0), ('a/x', 1), ('b/y', 0), ('b/y', 1), ('b/y', 2))]
    for outcome, (count, side) in zip(outcomes, ((4, 64), (1, 64), (2, 32), (4, 32), (1, 32)),
                                      strict=True):
        save_frames(tmp_path, outcome, [np.full((side, side, 3), 200, np.uint8)] * count)
    sheet = draw_sheet(tmp_path, outcomes)
    assert sheet is not None and cv2.imread(str(sheet)).shape[1] >= 4 * 4 * 64


def test_noise_does_not_clip_what_has_no_limits() -> None:
    spec = TimestepSpec(continuous_actions=(
        ContinuousField('push', ('x',), (-1.0,), (1.0,), mu_law=True),))
    noise = Disturbance(np.random.default_rng(0), 0.1, spec, load_domain('cartpole'))
    assert noise.apply({'push': np.array([40.0])})['push'][0] == pytest.approx(40.0, abs=1.0)


@pytest.mark.parametrize(('task', 'goes_on'), [
    ('stack_wide', True), ('stack_red_on_blue_wide', True), ('lift_red_narrow', False)])
def test_collecting_goes_on_with_the_task_that_it_was_begun_with(
        task: str, goes_on: bool, gato, tmp_path: Path) -> None:
    writer, torque = EpisodeWriter(), {'joint_torques': np.zeros(8)}
    writer.add(Observation(), torque, torque, {})
    writer.save(tmp_path / '00100000.safetensors', EpisodeInfo(
        'panda_sim', '', task, '', 100_000, 'expert', True))
    status, said, error = gato('collect', '--out', tmp_path, '--episodes', 1)
    assert (status == 0) == ('1 episodes' in said) == goes_on
    assert goes_on or f'episode of stacking/{task}, expected stacking/stack_wide' in error
