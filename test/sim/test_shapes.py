"""Objects of other shapes: they stand, are judged by their own heights, and some are held out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.shapes import CUBE, SETS
from gato_ros.domains.stacking.tasks import PAIRS, load_task
from gato_ros.tools.cli import main as program
from gato_ros.training.collect import CollectSettings

pytestmark = pytest.mark.sim
ZERO = np.zeros(8)
SPOT = np.array([0.55, 0.1])


def arrange(env, **shapes):
    """Start an episode with these shapes; red and green lie aside, blue on SPOT."""
    env.reset(0)
    env.world.reshape({'red': CUBE, 'green': CUBE, 'blue': CUBE} | shapes)
    for name, spot in (('red', (0.4, 0.1)), ('green', (0.4, -0.1)), ('blue', SPOT)):
        env.world.place(name, np.array([*spot, env.world.shapes[name].size[2]]), yaw=0.3)


def rest(env, seconds=1.0):
    env.advance(ZERO, seconds)
    return env.world.block('blue'), env.world.block('red')


def test_the_sets_have_nothing_in_common():
    def forms(kind):
        return {(s.kind, s.size, s.outline) for s in SETS[kind]}
    assert not forms('seen') & forms('unseen')
    assert CUBE not in (*SETS['seen'], *SETS['unseen'])
    for kind in ('seen', 'unseen'):
        assert {s.kind for s in SETS[kind]} == {'box', 'cylinder', 'prism'}
        assert all(2 * s.size[1] < 0.07 for s in SETS[kind]), 'fits an 8 cm gripper'


@pytest.mark.parametrize('shape', [*SETS['seen'], *SETS['unseen']], ids=lambda s: s.name)
def test_each_shape_stands_and_bears_another(make_env, shape):
    env = make_env('shapes_seen')
    arrange(env, blue=shape)
    env.world.place('red', np.array([*SPOT, 2 * shape.size[2] + CUBE.size[2]]))
    blue, red = rest(env)
    np.testing.assert_allclose(blue, (*SPOT, shape.size[2]), atol=3e-3)
    np.testing.assert_allclose(red, (*SPOT, 2 * shape.size[2] + CUBE.size[2]), atol=3e-3)
    assert env.world.block_rotation('blue')[2, 2] > 0.995
    assert env.world.height('blue') == 2 * shape.size[2]


@pytest.mark.parametrize('kind', ['seen', 'unseen'])
def test_objects_follow_from_the_seed_alone(make_env, kind):
    used, fresh = make_env(f'shapes_{kind}'), make_env(f'shapes_{kind}')
    names = Counter()
    for seed in range(30):
        used.reset(seed)
        names.update(s.name for s in used.world.shapes.values())
    assert set(names) == {s.name for s in SETS[kind]}
    for env in (used, fresh):
        env.reset(7)
        for k in range(10):
            env.step(np.full(8, np.sin(k)))
    np.testing.assert_array_equal(used.world.data.qpos, fresh.world.data.qpos)


def test_success_is_a_matter_of_the_objects_heights(make_env):
    env = make_env('shapes_seen')
    tall = next(s for s in SETS['seen'] if s.name == 'cuboid 38x38x52')
    flat = next(s for s in SETS['seen'] if s.name == 'cylinder 48x32')
    arrange(env, red=tall, blue=flat)
    for _ in range(8):  # at the height of a cube on a cube it would be inside the other
        env.world.place('red', np.array([*SPOT, 0.032 + 0.026 + 0.015]))
        env.step(ZERO)
    assert not env.success, 'it hangs in the air'
    env.world.place('red', np.array([*SPOT, 0.032 + 0.026]))
    for _ in range(6):
        env.step(ZERO)
    assert env.success


def test_any_pair_is_chosen_by_the_seed_and_told_by_the_sentence(make_env, solve):
    env = make_env('stack_any_pair')
    met = {}
    for seed in range(60):
        env.reset(seed)
        upper, lower = env.task.blocks
        assert env.task.sentence == f'stack the {upper} block on the {lower} block'
        met.setdefault((upper, lower), seed)
    assert set(met) == set(PAIRS)
    for (upper, lower), seed in met.items():
        env.reset(seed)
        solve(env)
        assert env.success
        assert env.world.block(upper)[2] > env.world.block(lower)[2] + 0.035


def test_unseen_shapes_cannot_be_collected(tmp_path, monkeypatch, capsys):
    for name in ('shapes_unseen', 'shapes_unseen_narrow'):
        with pytest.raises(ConfigError, match='held out for evaluation'):
            CollectSettings(tmp_path / 'data', 1, ('stack_wide', name))
    monkeypatch.setattr('sys.argv', ['gato-ros', 'collect', '--out', str(tmp_path / 'data'),
                                     '--task', 'shapes_unseen'])
    with pytest.raises(SystemExit) as end:
        program()
    assert end.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "task 'shapes_unseen' is held out for evaluation: its objects must never be seen in "
        'training']


def test_a_new_name_means_what_it_says():
    assert load_task('tower_of_three').pairs == load_task('tower_wide').pairs
    assert load_task('shapes_seen').sentence == load_task('stack_wide').sentence


@pytest.mark.slow
@pytest.mark.parametrize('task', ['shapes_seen', 'shapes_unseen'])
def test_the_expert_stacks_them(make_env, solve, task):
    env = make_env(task)
    solved = 0
    for seed in range(30):
        env.reset(seed)
        solve(env)
        solved += env.success
    assert solved >= 29
