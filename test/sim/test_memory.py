"""Tasks that need memory: solved with it, at chance without it; the first answer decides."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from gato_ros.config import ConfigError
from gato_ros.domains.registry import load_domain
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.memory.env import MemoryEnv
from gato_ros.domains.stacking.memory.experts import MemoryExpert
from gato_ros.domains.stacking.memory.tasks import MEMORY_TASKS
from gato_ros.domains.stacking.tasks import BLOCKS, load_task
from gato_ros.evaluation.suite import EvaluateSettings
from gato_ros.evaluation.tables.memory import tasks
from gato_ros.tools.cli import app

pytestmark = pytest.mark.sim
CUED = [name for name, task in MEMORY_TASKS.items() if task.cue_s]


@pytest.fixture
def make(robot):
    return lambda name, render=False: MemoryEnv(robot, MEMORY_TASKS[name], render=render)


def play(name, seed, forgetful=False):
    """Let the expert, or the one without memory, act to the end."""
    domain = load_domain('stacking')
    environment = domain.environment()
    environment.pictures = False
    seen = environment.reset(name, seed)
    actor = (domain.forgetful(environment) if forgetful else
             domain.demonstrator(environment, 'expert', np.random.default_rng(0)))
    while not environment.ended:
        seen = environment.step(actor.act(seen))
    return environment


def state(env):
    return np.concatenate([env.world.joint_positions, env.world.joint_velocities,
                           *(env.world.block(name) for name in BLOCKS)])


@pytest.mark.parametrize('name', MEMORY_TASKS)
def test_the_expert_solves_it(name):
    environment = play(name, 100_001)
    assert environment.success and environment.failure == ''


@pytest.mark.parametrize(('name', 'seed', 'failures'), [
    ('recall_pair', 100_002, ('another pair',)), ('put_back', 100_000, ('put elsewhere',)),
    ('blackout', 100_000, ('never reached', 'missed grasp', 'timed out'))])
def test_without_memory_it_fails(name, seed, failures):
    environment = play(name, seed, forgetful=True)
    assert not environment.success
    assert environment.failure in failures


@pytest.mark.parametrize('name', CUED)
def test_no_command_moves_anything_while_the_cue_is_shown(make, name):
    """So the arm cannot keep for a policy what it saw."""
    one, other, rng = make(name), make(name), np.random.default_rng(0)
    one.reset(3)
    other.reset(3)
    while one.braked:
        one.step(np.zeros(8))
        other.step(rng.uniform(-1, 1, 8) * other.robot.scale, delay_s=0.02)
    np.testing.assert_array_equal(state(one), state(other))


@pytest.mark.parametrize('name', CUED)
def test_the_scene_behind_the_cue_says_nothing_of_it(make, robot, name):
    """It is that of a plain task, which knows of no cue."""
    env, plain = make(name), StackingEnv(robot, load_task('stack_wide'), render=False)
    cues = set()
    for seed in range(4):
        env.reset(seed)
        plain.reset(seed)
        cues.add(str(env.cue))
        while env.braked:
            env.step(np.zeros(8))
            plain.step(np.zeros(8))
        np.testing.assert_allclose(state(env), state(plain), atol=1e-3)
    assert len(cues) > 1


def test_the_first_stack_decides(make):
    env = make('recall_pair')
    env.reset(0)
    upper, lower = env.task.blocks
    while env.braked:
        env.step(np.zeros(8))
    for above, below in ((lower, upper), (upper, lower)):
        spot = np.array([0.5, 0.0, 0.02])
        env.world.place(below, spot)
        env.world.place(above, spot + (0, 0, 0.04))
        third = next(name for name in BLOCKS if name not in (upper, lower))
        env.world.place(third, np.array([0.4, -0.15, 0.02]))
        for _ in range(8):
            env.step(np.zeros(8))
    assert env.lost and not env.success
    assert env.failure == 'another pair'


def test_one_tap_too_many_is_miscounted(make):
    env = make('count_taps')
    env.reset(next(s for s in range(9) if (env.reset(s), env.cue)[1] == 1))
    expert = MemoryExpert(env)
    expert.cue = 2
    while not (env.success or env.lost or env.time_s > 15):
        env.step(expert.act())
    assert env.failure == 'miscounted'


def test_after_the_tidying_nothing_tells_where_the_block_stood(make):
    ends = []
    for start in ((0.42, -0.15, 0.02), (0.58, 0.1, 0.02)):
        env = make('put_back')
        env.reset(5)
        env.cue = np.array(start)
        expert = MemoryExpert(env)
        env.world.place('red', np.array(start))
        for name, (spot, yaw) in env._stood.items():
            env.world.place(name, spot, yaw)
        env.world.forward()
        while not env.tidied:
            env.step(expert.act())
        while env.braked:
            env.step(expert.act())
        ends.append(state(env))
    np.testing.assert_allclose(ends[0], ends[1], atol=1e-6)


def test_a_tile_is_seen_for_half_a_second_and_blackouts_last_as_long(make):
    env = make('recall_pair', render=True)
    pictures = [env.reset(2).images['front']]
    pictures += [env.step(np.zeros(8)).images['front'] for _ in range(11)]
    assert np.abs(pictures[9].astype(int) - pictures[10]).max() > 50
    assert np.abs(pictures[0].astype(int) - pictures[9]).max() < 5
    env.close()
    env = make('blackout', render=True)
    seen = [env.reset(2), *(env.step(np.zeros(8)) for _ in range(39))]
    dark = [not any(picture.any() for picture in one.images.values()) for one in seen]
    runs = np.diff(np.flatnonzero(np.diff([0, *dark, 0])))[::2]
    assert not any(dark[:10])
    assert set(runs[:-1]) == {10} and len(runs) >= 2
    env.close()


def test_a_disturbance_of_a_memory_task_is_refused():
    environment = load_domain('stacking').environment()
    environment.disturbance = 'late_1'
    with pytest.raises(ConfigError, match='expected a task without a cue'):
        environment.reset('recall_pair', 0)


def test_the_command_prints_chance_beside_what_is_reached(tmp_path):
    command = ['evaluate', '--suite', 'memory', '--task', 'recall_pair', '--task',
               'minigrid/MemoryS11', '--actor', 'expert', '--actor', 'forgetful', '--episodes',
               '2', '--workers', '1', '--out', str(tmp_path)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    lines = [line.split(' | ') for line in done.output.splitlines() if '(n = 2' in line]
    assert [line[:2] for line in lines] == [['| recall_pair', '16.7 %'],
                                            ['| minigrid/MemoryS11', '50.0 %']]
    assert all(line[2].startswith('100.0 % (n = 2') for line in lines)


def test_who_has_no_memory_is_asked_for_where_some_is_needed_alone():
    with pytest.raises(ConfigError, match='expected a task that needs memory'):
        EvaluateSettings(tasks=('stack_wide',), actors=('forgetful',))
    assert {'recall_pair', 'minigrid/MemoryS13'} <= set(tasks())
