"""MiniGrid's memory: solved by who looks and remembers, half of it by who does not."""

from __future__ import annotations

import numpy as np
import pytest

from gato_ros.domains.registry import load_domain

pytest.importorskip('minigrid')


@pytest.fixture(scope='module')
def maze():
    return load_domain('minigrid')


def won(domain, task, forgetful, seeds=40):
    environment = domain.environment()
    count = 0
    for seed in range(seeds):
        seen = environment.reset(task, seed)
        actor = (domain.forgetful(environment) if forgetful else
                 domain.demonstrator(environment, 'expert', np.random.default_rng(0)))
        while not environment.ended:
            seen = environment.step(actor.act(seen))
        count += environment.success
    return count


@pytest.mark.parametrize('task', ['MemoryS7', 'MemoryS11', 'MemoryS13'])
def test_the_expert_solves_it_and_half_of_it_without_memory(maze, task):
    assert won(maze, task, forgetful=False) == 40
    assert 10 <= won(maze, task, forgetful=True) <= 30


@pytest.mark.parametrize(('task', 'hidden'), [('MemoryS9', False), ('MemoryS11', True),
                                              ('MemoryS13', True)])
def test_from_the_split_the_object_is_out_of_sight_where_memory_is_said_to_be_needed(
        maze, task, hidden):
    environment = maze.environment()
    environment.reset(task, 0)
    inside, seen = environment.inside, False
    middle = inside.height // 2
    for ahead in range(4):
        inside.agent_pos, inside.agent_dir = np.array([inside.success_pos[0], middle]), ahead
        environment._seen[:] = False
        environment._observation()
        seen |= bool(environment.explored[1, middle - 1])
    assert seen is not hidden
    assert (maze.task(task).chance is not None) is hidden


def test_it_looks_like_babyai(maze):
    assert maze.specification('MemoryS7') == load_domain('babyai').specification('')
    assert maze.task('MemoryS13Random').held_out
