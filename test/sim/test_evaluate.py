"""The evaluation: its controls, what it writes, and that nothing finished is lost or mixed up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import psutil
import pytest

from gato_ros.domains.registry import load_domain
from gato_ros.domains.stacking.domain import SUITE
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.domains.wrappers import open_environment
from gato_ros.evaluation.actors import (
    NoImageActor,
    PolicyActor,
    Scene,
    StaleImageActor,
    demonstrate,
)
from gato_ros.evaluation.cast import CONTROLS, make_actor
from gato_ros.evaluation.evaluate import evaluate
from gato_ros.evaluation.report import report, show, summarise
from gato_ros.evaluation.results import Results
from gato_ros.evaluation.rollout import Outcome, rollout
from gato_ros.evaluation.suite import (
    EvaluateSettings,
    EvaluationError,
    Job,
    fingerprints,
)
from gato_ros.policy.checkpoint import ANY_PAIR, load_checkpoint
from gato_ros.policy.policy import GatoPolicy
from gato_ros.robot import TORQUES
from gato_ros.tools.cli import main as program

pytestmark = pytest.mark.sim
COMMAND = [sys.executable, '-m', 'gato_ros.tools.cli', 'evaluate', '--task', 'stack_any_pair',
           '--task', 'shapes_seen', '--actor', 'expert', '--actor', 'random', '--episodes', '4']


@pytest.fixture
def policy(checkpoint, robot):
    return GatoPolicy(load_checkpoint(checkpoint), robot.timestep())


@pytest.fixture
def stage():
    """Return a function that gives a scene of a task of the blocks."""
    domain = load_domain('stacking')

    def make(task='stack_wide', seed=0, environment=None):
        return Scene(domain, environment or open_environment(domain), task, task, seed)
    return make


def begin(scene):
    """Begin a scene's episode, and return its world with it."""
    scene.environment.reset(scene.task, scene.seed)
    return scene.environment.world.env


def forbidden(scene):
    raise AssertionError('this actor runs no checkpoint')


# What the controls are.

def test_controls_bound_the_task(stage):
    scene = stage('reach_red_narrow', 10_000)
    expert, still, chance = (rollout(scene, make_actor(name, forbidden), name)
                             for name in ('expert', 'still', 'random'))
    assert expert.success and expert.failure == '' and expert.score == 1.0
    assert (still.success, still.failure, still.score) == (False, 'never reached', 0.0)
    assert not chance.success and chance.steps == 120


def test_torques_replayed_on_their_own_seed_solve_it_and_on_another_do_not(stage):
    scene = stage(seed=3)
    actions = [sent for _, sent in demonstrate(scene)]
    scene.environment.reset(scene.task, 3)
    for action in actions:
        scene.environment.world.step(action)
    assert scene.environment.success
    replay = make_actor('replay', forbidden)
    assert not any(rollout(replace(scene, seed=seed), replay).success for seed in (2, 3, 4))


def test_what_each_control_shows_the_policy(stage, policy, monkeypatch):
    shown = []
    answer = GatoPolicy.act

    def act(self, observation, sent=None):
        shown.append(observation)
        return answer(self, observation, sent)
    monkeypatch.setattr(GatoPolicy, 'act', act)
    scene = stage()
    environment = scene.environment
    for kind in (PolicyActor, NoImageActor, StaleImageActor):
        for seed in (0, 1):  # the second episode shows nothing of the first one
            actor, observation = kind(lambda scene: policy), environment.reset(scene.task, seed)
            actor.reset(replace(scene, seed=seed))
            for _ in range(3):
                actor.act(observation, None)
                seen, moved = shown[-1], observation
                observation = environment.step(
                    {'joint_torques': 0.5 * environment.world.robot.scale})
            last = moved.images['front']
            assert np.ptp(last) > 0
            first = environment.reset(scene.task, seed).images['front']
            if kind is PolicyActor:
                assert np.array_equal(seen.images['front'], last)
            elif kind is NoImageActor:
                assert all(np.ptp(image) == 0 for image in seen.images.values())
            else:
                assert np.array_equal(seen.images['front'], first)
                assert not np.array_equal(first, last)
            assert np.array_equal(seen.proprioception['joint_positions'],
                                  moved.proprioception['joint_positions'])


def test_another_prompt_changes_the_goal_and_nothing_of_the_scene(stage, policy, monkeypatch):
    told = []
    monkeypatch.setattr(GatoPolicy, 'reset',
                        lambda self, prompt, seed, literal: told.append(prompt))
    stages, scenes = stage('stack_any_pair'), {}
    for name in ('policy', 'untold', 'misled', 'shown', 'misshown'):
        actor = make_actor(name, lambda scene: policy)
        for seed in range(4):
            scene = replace(stages, seed=seed)
            world = begin(scene)
            own = world.task.blocks
            actor.reset(scene)
            scenes.setdefault(seed, []).append(world.world.data.qpos.copy())
            assert (world.task.blocks != own) == name.startswith('mis')
            if name in ('policy', 'misled'):
                upper, lower = world.task.blocks
                assert told[-1] == f'stack the {upper} block on the {lower} block'
            elif name == 'untold':
                assert told[-1] == ''
            else:
                assert len(told[-1]) == 4 and told[-1][0].ids.shape == told[-1][3].ids.shape
    for scene in scenes.values():
        assert all(np.array_equal(scene[0], other) for other in scene)


def test_who_is_told_in_other_words_does_nothing_where_they_mean_nothing_to_it(
        stage, policy, monkeypatch):
    told = []
    monkeypatch.setattr(GatoPolicy, 'reset', lambda self, prompt, seed, literal: told.append(
        (prompt, literal)))
    scene, actor = stage('stack_any_pair'), make_actor('worded', lambda scene: policy)
    begin(scene)
    actor.reset(scene)
    actor.reset(scene)
    assert told[0] == told[1] != (scene.environment.sentence, False) and told[0][1] is False
    policy.refusal = 'I do not understand'
    held = {TORQUES: np.array([1.0, 2, 3, 4, 5, 6, 7, 8])}
    still = actor.act(None, held)[TORQUES]
    assert still.tolist() == [0.0] * 7 + [8.0], 'the fingers keep their force'


def test_who_is_misled_is_judged_by_whether_it_obeys(stage, policy):
    for seed in range(2):
        scene = stage('stack_any_pair', seed)
        world = begin(scene)
        make_actor('misled', lambda scene: policy).reset(scene)
        expert = make_actor('expert', forbidden)
        expert.reset(scene)
        while not scene.environment.ended:
            scene.environment.apply(expert.act(None, None))
        upper, lower = world.task.blocks
        assert world.success and world.world.block(upper)[2] > world.world.block(lower)[2] + 0.03


def test_a_demonstration_does_not_depend_on_what_was_shown_before(stage, policy, monkeypatch):
    told = []
    monkeypatch.setattr(GatoPolicy, 'reset',
                        lambda self, prompt, seed, literal: told.append(prompt))
    stages = stage('stack_any_pair')
    for order in ((0, 1), (1, 0)):
        actor = make_actor('shown', lambda scene: policy)
        for seed in order:
            scene = replace(stages, seed=seed)
            begin(scene)
            actor.reset(scene)
    first, second, second_again, first_again = told
    for one, again in ((first, first_again), (second, second_again)):
        assert all(np.array_equal(a.ids, b.ids) and np.array_equal(a.patches, b.patches)
                   for a, b in zip(one, again, strict=True))
    assert not np.array_equal(first[-1].ids, second[-1].ids)


def test_episodes_do_not_depend_on_what_was_rolled_out_before(stage, policy, monkeypatch):
    monkeypatch.setattr(StackingEnv, 'time_limit_s', 0.5)
    ends = {}
    for order in ((3, 4), (4, 3)):
        scene, actor = stage('stack_any_pair'), make_actor('policy', lambda scene: policy)
        for seed in order:
            rollout(replace(scene, seed=seed), actor)
            ends.setdefault(seed, []).append(
                scene.environment.world.env.world.data.qpos.copy())
    for first, again in ends.values():
        np.testing.assert_array_equal(first, again)


def test_each_episode_draws_tokens_of_its_own(policy, robot):
    observation = robot.example_observation()
    drawn = []
    for seed in (1, 2, 1):
        policy.reset('stack the red block on the blue block', seed)
        drawn.append(policy.act(observation).tokens.tolist())
    assert drawn[0] == drawn[2] != drawn[1]


# What is written, and what is done with it after an interruption.

def finished(folder):
    file = folder / 'episodes.jsonl'
    return file.read_bytes().count(b'\n') if file.exists() else 0


def run(folder, *more):
    done = subprocess.run([*COMMAND, '--out', folder, '--json', folder / 'report.json', *more],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / 'report.json').read_text()), done.stdout


def start(folder, *more):
    """Start an evaluation, wait for its third episode."""
    process = subprocess.Popen([*COMMAND, '--out', folder, *more], stderr=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, text=True)
    limit = time.monotonic() + 120
    while finished(folder) < 3:
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.02)
    return process


def test_a_killed_run_goes_on_and_gives_the_same_report(tmp_path):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    process = start(cut, '--workers', '2')
    family = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(family, timeout=20)[1] == [], 'workers outlive the program'
    kept = (cut / 'episodes.jsonl').read_bytes()
    with (cut / 'episodes.jsonl').open('ab') as file:
        file.write(b'{"task": "stack_any_pair", "randomisation": "nom')  # killed while it wrote

    ended, table = run(cut, '--workers', '2')
    expected, expected_table = run(whole, '--workers', '1')
    assert ended == expected and len(ended['episodes']) == 16
    assert table.split('written')[0] == expected_table.split('written')[0]
    text = (cut / 'episodes.jsonl').read_bytes()
    assert text.startswith(kept)
    assert finished(cut) == 16 + 1, 'each episode once, and the torn line'


def test_a_dead_worker_ends_the_run_in_one_sentence(tmp_path):
    process = start(tmp_path, '--workers', '1')
    workers = [child for child in psutil.Process(process.pid).children(recursive=True)
               if 'spawn_main' in ' '.join(child.cmdline())]
    workers[0].kill()
    errors = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert 'a worker process died' in errors.splitlines()[-1] and 'Traceback' not in errors
    assert finished(tmp_path) >= 3


def test_results_of_other_settings_are_never_reused(tmp_path, checkpoint):
    settings = EvaluateSettings(checkpoint, out=tmp_path / 'out', actors=('policy', 'expert'))
    before = fingerprints(settings)
    mine = 'stack_wide', 'policy'
    outcome = Outcome('stack_wide', 'nominal', 'policy', 0, True, 1.0, 60, '', before[mine])
    with Results(settings.out) as results:
        results.append(outcome)
        job = Job('stack_wide', 'nominal', 'policy', 0)
        assert results.read(before) == {job: outcome}
        assert fingerprints(replace(settings, temperature=1.0)) == before, 'its own temperature'
        cooler = fingerprints(replace(settings, temperature=0.5))
        config = checkpoint / 'config.json'
        config.write_text(config.read_text().replace('"provenance": {}',
                                                     '"provenance": {"steps": 1}'))
        trained = fingerprints(settings)
        for other in (cooler, trained):
            assert other[mine] != before[mine]
            assert other['stack_wide', 'expert'] == before['stack_wide', 'expert']
            assert results.read(other) == {}


def test_one_folder_serves_one_evaluation_at_a_time(tmp_path):
    with Results(tmp_path), pytest.raises(EvaluationError, match='in use by another'), \
            Results(tmp_path):
        pass


def test_a_file_that_cannot_grow_is_named(tmp_path):
    code = ('import resource, sys\n'
            'from pathlib import Path\n'
            'from gato_ros.evaluation.results import Results\n'
            'from gato_ros.evaluation.rollout import Outcome\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n'
            'with Results(Path(sys.argv[1])) as results:\n'
            '    for seed in range(9):\n'
            '        results.append(Outcome("reach_red_narrow", "nominal", "still", seed, False,'
            ' 0.0, 120, "never reached", "0"))\n')
    done = subprocess.run([sys.executable, '-c', code, tmp_path], capture_output=True, text=True)
    assert 'what is finished is kept, so make room' in done.stderr.splitlines()[-1]
    with Results(tmp_path) as results:
        assert len(results.read({('reach_red_narrow', 'still'): '0'})) >= 2


# What is told.

def test_rows_count_failures_by_kind():
    def outcome(actor, seed, failure=''):
        return Outcome('stack_wide', 'nominal', actor, seed, not failure, float(not failure), 60,
                       failure)
    mine = [outcome('policy', 0), outcome('policy', 1, 'dropped'), outcome('policy', 2, 'dropped')]
    policy, expert = summarise(EvaluateSettings(), [*mine, outcome('expert', 0)])
    assert (policy['actor'], policy['success'], policy['steps']) == ('policy', 1 / 3, 60)
    assert policy['failures'] == {'dropped': 2} and expert['n'] == 1
    assert policy['normalised'] == pytest.approx(1 / 3), 'between 0 of chance and 1 of the expert'
    assert 0.06 < policy['interval'][0] < 1 / 3 < policy['interval'][1] < 0.8


def test_failures_are_pictured_and_rates_plotted(tmp_path, checkpoint, capsys):
    settings = EvaluateSettings(checkpoint, ('reach_red_narrow',), ('nominal', 'randomised'),
                                ('policy', 'expert'), 1, 'validation', out=tmp_path / 'out',
                                workers=1)
    outcomes = list(evaluate(settings))
    assert {o.seed for o in outcomes} == {10_000}
    show(settings, outcomes)
    printed = capsys.readouterr().out
    assert re.search(r'\| reach_red_narrow \| randomised +\| policy ', printed)
    assert 'n is 1: a first look' in printed
    assert report(settings, outcomes)['summary'][1]['success'] == 1.0
    sheet = cv2.imread(str(tmp_path / 'out/failures.png'))
    assert sheet.shape[1] > 2 * 448 and np.ptp(sheet) > 100, 'two strips of four frames'
    assert cv2.imread(str(tmp_path / 'out/rates.png')).shape[0] > 300


@pytest.mark.parametrize(('arguments', 'sentence'), [
    (['--split', 'train'], "split is 'train', expected one of test, validation"),
    (['--actor', 'oracle'], "actor is 'oracle', expected one of policy, expert"),
    (['--randomisation', 'pretty'],
     "randomisation is 'pretty', expected one of nominal, randomised"),
    (['--task', 'stack'], "task 'stack' is unknown"),
    (['--task', 'tower_of_three', '--actor', 'misled', '--episodes', '1', '--workers', '1'],
     "task 'tower_of_three' was given, expected a stack of two blocks"),
    (['--episodes', '20000'], 'episodes is 20000, expected 1 to 10000')])
def test_bad_requests_are_named(arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['gato-ros', 'evaluate', *arguments])
    with pytest.raises(SystemExit) as end:
        program()
    assert end.value.code == 2 and sentence in capsys.readouterr().err


def test_the_suite_is_the_issues_and_training_never_meets_its_seeds():
    assert [load_task(name).kind for name in SUITE] == ['stack', 'stack', 'stack', 'tower',
                                                        'stack', 'stack']
    assert len(CONTROLS) == 7
    seeds = load_domain('stacking').seeds
    assert max(*seeds.test, *seeds.validation, *seeds.demonstrations) < seeds.first_training
    assert not set(seeds.test) & set(seeds.validation)


@pytest.mark.slow
def test_in_the_same_scenes_the_prompt_decides_which_block_goes_where(stage, robot):
    """Told or shown the scene's own pair, then another: each time judged by that."""
    policy = GatoPolicy(load_checkpoint(ANY_PAIR), robot.timestep())
    scene = stage('stack_any_pair')
    for name in ('policy', 'misled', 'shown', 'misshown'):
        actor = make_actor(name, lambda scene: policy)
        done = [rollout(replace(scene, seed=seed), actor, name)
                for seed in (10_001, 10_002, 10_004, 10_006)]
        assert sum(outcome.success for outcome in done) >= 3, done
