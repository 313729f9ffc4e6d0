"""Sokoban: that the rules are the game's, that the table of distances is right, that all ends."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from gato_ros.domains.suites import sokoban
from gato_ros.domains.suites.sokoban import (
    BOX,
    BOX_ON_GOAL,
    BOXES,
    GOAL,
    LONGEST,
    MOVES,
    PLAYER,
    PLAYER_ON_GOAL,
    SOLUTION,
    TASKS,
    Room,
    SokobanEnvironment,
    SokobanExpert,
    State,
    draw,
)

pytestmark = pytest.mark.sim
UP, DOWN, LEFT, RIGHT = range(4)


def corridor(length: int, *goals: int) -> Room:
    """Return one row of cells, 0 the leftmost."""
    cells = np.arange(length)
    wall = np.full(length, length)
    left = np.where(cells > 0, cells - 1, length)
    return Room(np.column_stack([np.zeros(length, int), cells]),
                np.array([wall, wall, left, cells + 1]), goals)


def test_a_corridor_worked_out_by_hand() -> None:
    room = corridor(5, 3)
    assert room.distance(State(0, (1,))) == 2, 'two pushes to the right'
    assert room.distance(State(2, (3,))) == 0
    assert room.distance(State(1, (4,))) == -1, 'nobody gets behind it'
    assert room.distance(State(0, (2,))) == 2, 'a step and a push'
    assert room.moved(State(0, (1,)), RIGHT) == State(1, (2,))
    assert room.moved(State(3, (4,)), RIGHT) == State(3, (4,)), 'the box stands at the wall'
    assert room.moved(State(3, (4,)), LEFT) == State(2, (4,)), 'a box is never pulled'
    assert room.moved(State(0, (1,)), LEFT) == room.moved(State(0, (1,)), UP) == State(0, (1,))
    assert corridor(6, 3, 4).moved(State(0, (1, 2)), RIGHT) == State(0, (1, 2)), 'two at once'


def forwards(room: Room, start: State) -> int:
    """Return the moves from here by a search of its own, forwards; -1: none."""
    moves, queue = {start: 0}, deque([start])
    while queue:
        state = queue.popleft()
        if state.boxes == room.goals:
            return moves[state]
        for move in range(len(MOVES)):
            after = room.moved(state, move)
            if after not in moves:
                moves[after] = moves[state] + 1
                queue.append(after)
    return -1


@pytest.mark.parametrize('seed', range(3))
def test_playing_backwards_agrees_with_a_search_forwards(seed: int) -> None:
    """From the start, from where a random walk leads, and from boxes put at random."""
    rng = np.random.default_rng(seed)
    room, start = draw(2, rng)
    assert forwards(room, start) == room.distance(start) in SOLUTION
    answers, states, state = [], [], start
    for _ in range(6):
        player, *boxes = (int(c) for c in rng.choice(len(room.floor), 3, replace=False))
        states.append(State(player, tuple(sorted(boxes))))
        for _ in range(3):
            state = room.moved(state, int(rng.integers(4)))
        states.append(state)
    for state in states:
        answers.append(room.distance(state))
        assert forwards(room, state) == answers[-1], state
    assert min(answers) < 0 < max(answers)


@pytest.mark.parametrize('task', TASKS)
def test_the_expert_takes_the_shortest_way_from_wherever_it_is(task: str) -> None:
    environment, rng, lost = SokobanEnvironment(), np.random.default_rng(0), 0
    for seed in range(20 if task == 'two_boxes' else 4):
        seen = environment.reset(task, seed)
        for _ in range(5):  # somebody else plays first
            if not environment.ended:
                seen = environment.step({'move': rng.integers(0, 4, 1)})
        if environment.ended:
            assert 'dead-locked' in environment.failure
            lost += 1
            continue
        left = environment.room.distance(environment.state)
        expert = SokobanExpert(environment)
        for _ in range(left):
            assert not environment.ended
            seen = environment.step(expert.act(seen))
        assert environment.success and environment.score == 1 and environment.failure == ''
        cells = seen.proprioception['room']
        assert (cells == BOX_ON_GOAL).sum() == BOXES[task] and not (cells == BOX).any()
    assert lost < 10


def test_what_is_seen_is_the_whole_room() -> None:
    environment = SokobanEnvironment()
    for seed in range(10):
        cells = environment.reset('two_boxes', seed).proprioception['room']
        assert cells.shape == (36,) and (cells == BOX).sum() == 2
        assert np.isin(cells, (GOAL, PLAYER_ON_GOAL)).sum() in (2, 3)
        assert np.isin(cells, (PLAYER, PLAYER_ON_GOAL)).sum() == 1
    picture = environment.picture(320)
    assert picture.shape == (320, 320, 3) and len(np.unique(picture.reshape(-1, 3), axis=0)) >= 5


def test_doing_nothing_useful_ends_in_time() -> None:
    environment = SokobanEnvironment()
    environment.reset('two_boxes', 0)
    state, steps = environment.state, 0
    move = next(move for move in range(4) if environment.room.moved(state, move) == state)
    while not environment.ended:
        environment.step({'move': np.array([move])})
        steps += 1
    assert steps == LONGEST and environment.failure == 'out of time'


def test_rooms_differ_and_three_boxes_are_held_out() -> None:
    environment = SokobanEnvironment()
    rooms = {environment.reset('two_boxes', seed).proprioception['room'].tobytes()
             for seed in range(30)}
    assert len(rooms) == 30
    domain = sokoban.Sokoban()
    assert domain.suite == ('two_boxes',) and domain.task('three_boxes').held_out
