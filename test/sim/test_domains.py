"""Domains: that each keeps its word, and that what is wrong is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains import registry
from gato_ros.domains.domain import Domain, DomainError, Environment, Score, Scores, TaskSpec
from gato_ros.domains.registry import domain_names, find_task, find_tasks, load_domain
from gato_ros.domains.wrappers import Checked, open_environment
from gato_ros.spec import ContinuousField, Observation, TimestepSpec
from gato_ros.training.collect import CollectSettings, RandomDemonstrator

pytestmark = pytest.mark.sim


@pytest.mark.parametrize('name', domain_names())
def test_a_domain_keeps_its_word(name: str, tmp_path: Path) -> None:
    """Same seed, same bytes; observations fit; nothing out of range; an end; an expert."""
    domain = load_domain(name)
    scores: dict[str, list[float]] = {'expert': [], 'random': []}
    for task in list(domain.suite)[:2]:
        spec, environment = domain.specification(task), Checked(domain.environment())
        first = environment.reset(task, 3)
        again = environment.reset(task, 3)
        assert_equal(first, again)
        assert_equal(first, Checked(domain.environment()).reset(task, 3))
        assert environment.spec == spec
        wrong = {field.name: np.full(field.size, 10**6) for field in spec.actions}
        with pytest.raises(ValueError, match='expected values in'):
            environment.step(wrong)
        kinds = ('expert', 'random') if domain.demonstrators else ('random',)
        environment.pictures = False
        for kind in kinds:
            for seed in range(3):
                seen = environment.reset(task, seed)
                rng = np.random.default_rng(seed)
                who = (domain.demonstrator(environment, 'expert', rng) if kind == 'expert'
                       else RandomDemonstrator(spec, rng))
                for _ in range(2000):
                    if environment.ended:
                        break
                    seen = environment.step(who.act(seen))
                assert environment.ended, f'{task} does not end'
                scores[kind].append(environment.score)
        assert environment.picture(64).dtype == np.uint8
        assert 0 <= environment.progress <= 1.01
        with pytest.raises(ConfigError, match='lower ones are for validation and test'):
            CollectSettings(tmp_path, 1, (f'{name}/{task}',), first_seed=7, actor='random')
        environment.close()
    if domain.demonstrators:
        assert np.mean(scores['expert']) > np.mean(scores['random'])
    assert not set(domain.seeds.test) & set(domain.seeds.validation)
    assert domain.seeds.validation.stop <= domain.seeds.first_training


def assert_equal(one: Observation, other: Observation) -> None:
    for group in ('images', 'proprioception'):
        a, b = getattr(one, group), getattr(other, group)
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) for name in a)
    assert one.stamp_ns == other.stamp_ns


def test_a_normalised_score_lies_between_chance_and_the_expert() -> None:
    scores = Scores(Score(-200.0, 1.0, 50), Score(-100.0, 1.0, 50))
    assert [scores.normalised(score) for score in (-200, -150, -100, -50)] == [0, 0.5, 1, 1.5]


# A world of two numbers that can be told to break its word.

class Broken(Environment):
    spec = TimestepSpec(
        continuous=(ContinuousField('place', ('x', 'y'), (-1, -1), (1, 1)),),
        continuous_actions=(ContinuousField('move', ('x',), (-1.0,), (1.0,)),))
    answer: object = np.zeros(2)
    gain = 1.0

    def reset(self, task, seed):
        self.steps, self.total = 0, 0.0
        return Observation(proprioception={'place': np.zeros(2)})

    def step(self, values):
        self.steps, self.total = self.steps + 1, self.total + self.gain
        return Observation(proprioception={} if self.answer is None else {'place': self.answer})

    @property
    def ended(self):
        return self.steps >= 3

    @property
    def score(self):
        return self.total

    def picture(self, size):
        return np.zeros((size, size, 3), np.uint8)


@pytest.mark.parametrize(('change', 'sentence'), [
    ({'answer': np.array([0.0, np.nan])}, "'place' holds nan, expected finite numbers"),
    ({'answer': np.zeros(3)}, r"'place' has shape \(3,\), expected \(2,\)"),
    ({'answer': None}, "'place' is missing"),
    ({'gain': np.inf}, 'the score is inf, expected a finite number')])
def test_a_world_that_breaks_its_word_is_one_sentence(change: dict, sentence: str) -> None:
    world = Broken()
    environment = Checked(world)
    environment.reset('walk', 5)
    environment.step({'move': np.zeros(1)})
    for name, value in change.items():
        setattr(world, name, value)
    with pytest.raises(DomainError, match=rf'Broken \(task walk, seed 5, step 2\): {sentence}'):
        environment.step({'move': np.zeros(1)})


def test_an_action_that_is_not_allowed_never_reaches_the_world() -> None:
    world = Broken()
    environment = Checked(world)
    environment.reset('walk', 0)
    for values, sentence in (
            ({'move': np.array([1.5])}, r"'move' is \[1.5\], expected values in \[\[-1.0\], "),
            ({'move': np.array([np.nan])}, 'expected values in'),
            ({'move': np.zeros(2)}, r'has shape \(2,\), expected \(1,\): one value for each of x'),
            ({}, "the action lacks 'move'; given: none")):
        with pytest.raises(ValueError, match=sentence):
            environment.step(values)
    assert world.steps == 0


def test_a_robots_commands_pass_the_gate() -> None:
    """What was sent differs from what was asked where the gate's slew is less than the change."""
    domain = load_domain('stacking')
    environment = open_environment(domain)
    environment.pictures = False
    environment.reset('stack_wide', 0)
    asked = {'joint_torques': domain.robot.scale}
    _, sent = environment.apply(asked)
    period = 1 / domain.robot.rate_hz
    slews = np.array([joint.slew for joint in domain.robot.joints])
    assert np.all(np.abs(sent['joint_torques']) <= slews * period + 1e-9)
    environment.close()


# Who is found, and who is not.

def test_tasks_are_found_by_domain_and_name() -> None:
    domain, task = find_task('stack_wide')
    assert (domain.name, task) == ('stacking', 'stack_wide')
    assert find_task('stacking/lift_red_narrow')[1] == 'lift_red_narrow'
    assert find_tasks(('stacking',)) == list(load_domain('stacking').suite)
    assert find_tasks(('cartpole',)) == ['cartpole/balance']


@pytest.mark.parametrize(('reference', 'sentence'), [
    ('chess/mate', "domain 'chess' is unknown, expected one of"),
    ('cartpole/swing', "task 'swing' is unknown in the domain 'cartpole', expected one of bal"),
    ('nowhere.py/walk', 'domain nowhere.py is not there, expected a file with a class of Domain')])
def test_what_is_unknown_is_named(reference: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        find_task(reference)


def test_a_file_must_hold_one_domain_and_load(tmp_path: Path) -> None:
    (tmp_path / 'none.py').write_text('x = 1\n')
    with pytest.raises(ConfigError, match=r'none.py has 0 classes of Domain, expected one'):
        load_domain(str(tmp_path / 'none.py'))
    (tmp_path / 'bad.py').write_text('raise RuntimeError("no display")\n')
    with pytest.raises(DomainError, match=r'bad.py does not load: RuntimeError: no display'):
        load_domain(str(tmp_path / 'bad.py'))


def test_a_domain_without_a_robot_refuses_one() -> None:
    with pytest.raises(ConfigError, match="the domain 'cartpole' has no robot, but robot 'ur5e'"):
        load_domain('cartpole', 'ur5e')


def test_packages_register_domains_and_a_broken_one_is_named(tmp_path: Path) -> None:
    """Two installed packages: one works under its name, the other raises when it is imported."""
    for name, code in (('good', GOOD), ('bad', 'raise RuntimeError("no licence key")\n')):
        (tmp_path / f'{name}_domain.py').write_text(code)
        info = tmp_path / f'{name}_domain-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}-domain\nVersion: 1\n')
        (info / 'entry_points.txt').write_text(
            f'[gato_ros.domains]\n{name} = {name}_domain:Walk\n')
    code = ('from gato_ros.tools.cli import main; import sys; sys.argv = ["gato-ros", "domains"]; '
            'main()')
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env={
        **os.environ, 'PYTHONPATH': f'{tmp_path}:{Path(registry.__file__).parents[2]}'})
    assert run.returncode == 0, run.stderr
    rows = {line.split()[0]: line for line in run.stdout.splitlines()}
    assert '1 tasks' in rows['good'] and 'stacking' in rows
    assert ("domain 'bad' (bad_domain:Walk) does not load: RuntimeError: no licence key"
            in rows['bad'])


GOOD = textwrap.dedent("""
    from gato_ros.domains.domain import Domain, TaskSpec

    class Walk(Domain):
        name = 'good'
        tasks = {'walk': TaskSpec('walk')}
        def specification(self, task=''): ...
        def environment(self): ...
        def demonstrator(self, environment, kind, rng): ...
    """)


def test_a_missing_library_names_the_extra_that_brings_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, 'gymnasium', None)
    for module in [m for m in sys.modules if m.startswith('gato_ros.domains.gym')]:
        monkeypatch.delitem(sys.modules, module)
    registry._load.cache_clear()
    try:
        with pytest.raises(DomainError, match=r"domain 'gymnasium' needs gymnasium, which is not "
                                              r"installed; bring it with: pip install "
                                              r"'gato_ros\[gymnasium\]'"):
            load_domain('cartpole')
    finally:
        registry._load.cache_clear()


def test_a_domain_decides_what_is_usable() -> None:
    class Scored(Domain):
        name, bar, tasks = 'scored', 0.5, {'walk': TaskSpec('walk')}
        specification = environment = demonstrator = None

    domain = Scored()
    assert [domain.usable(None, score) for score in (0.4, 0.5, None)] == [False, True, False]
    assert domain.usable(True, 0.0) and not domain.usable(False, 1.0), 'a verdict counts first'
