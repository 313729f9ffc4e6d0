"""Sokoban: boxes are pushed onto goals, never pulled; rooms of our own, with every answer known.

No package that is kept up brings it beside ours: gym-sokoban (2019) wants the old gym, Jumanji's
wants JAX. So this is a generator of our own, and its rooms are no benchmark of anyone else's:
8 x 8 cells with the outer wall, easier than Boxoban's 10 x 10 with four boxes.

A room is drawn, then played backwards from its solved states until every state from which it can
be solved has its distance in moves. This table is three things at once: the start is drawn from
it, the expert goes down it from any state, and a state that is not in it is dead-locked, which
ends the episode at once.

Seen are the 36 cells inside the outer wall, one number each: 38 tokens in a timestep with
separator and action. Success, all boxes on goals, is all that counts; an episode ends after 100
moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec, Values
from gato_ros.spec import DiscreteField, Observation, TimestepSpec

SIDE = 6  # cells inside the outer wall
LONGEST = 100  # moves of an episode
SOLUTION = range(10, 41)  # moves that the start is away from being solved
WALLS = 0.25  # chance of a cell to be one
LEAST_FLOOR = 20  # cells, all connected
PERIOD_NS = 50_000_000  # between the stamps of two timesteps
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right: (row, column)
WALL, FLOOR, GOAL, BOX, BOX_ON_GOAL, PLAYER, PLAYER_ON_GOAL = range(7)
COLOURS = {WALL: (90, 90, 90), FLOOR: (235, 230, 220), GOAL: (240, 200, 200),
           BOX: (225, 140, 40), BOX_ON_GOAL: (60, 160, 70), PLAYER: (50, 90, 200),
           PLAYER_ON_GOAL: (50, 90, 200)}
BOXES = {'two_boxes': 2, 'three_boxes': 3}
TASKS = {'two_boxes': TaskSpec('two_boxes', 'push both boxes onto the goals'),
         'three_boxes': TaskSpec('three_boxes', 'push all three boxes onto the goals',
                                 held_out=True)}

SPEC = TimestepSpec(
    discrete=(DiscreteField('room', tuple(f'row_{row}_column_{column}' for row in range(SIDE)
                                          for column in range(SIDE)), 7),),
    discrete_actions=(DiscreteField('move', ('direction',), len(MOVES)),))


@dataclass(frozen=True)
class State:
    """Who stands where, as numbers of floor cells; the boxes in rising order."""

    player: int
    boxes: tuple[int, ...]


@dataclass(frozen=True)
class Room:
    """A room without its player and boxes.

    floor  int[n, 2]: row and column of each floor cell; next: int[4, n]: the cell that a move
           leads to, n where a wall is; goals: numbers of floor cells
    """

    floor: np.ndarray
    next: np.ndarray
    goals: tuple[int, ...]

    def moved(self, state: State, move: int) -> State:
        """Return the state behind a move; a push against a wall or a box changes nothing."""
        size, to = len(self.floor), int(self.next[move, state.player])
        if to == size:
            return state
        if to not in state.boxes:
            return State(to, state.boxes)
        beyond = int(self.next[move, to])
        if beyond == size or beyond in state.boxes:
            return state
        return State(to, tuple(sorted({*state.boxes, beyond} - {to})))

    def distance(self, state: State) -> int:
        """Return how many moves solve it at least; -1: none do, it is dead-locked."""
        place = state.player, *state.boxes
        return int(self.distances[place])

    @cached_property
    def distances(self) -> np.ndarray:
        """int16[n, n, ...]: of player and boxes, by playing backwards, all states of one
        distance at a time."""
        size, back = len(self.floor), self.next[[1, 0, 3, 2]]
        found = np.full((size,) * (1 + len(self.goals)), -1, np.int16)
        free = np.setdiff1d(np.arange(size), self.goals)
        states = np.column_stack([free, np.tile(self.goals, (len(free), 1))])
        moves = 0
        while len(states):
            found[tuple(states.T)] = moves
            moves += 1
            before = []
            for move in range(len(MOVES)):
                came = back[move, states[:, 0]]
                able = (came < size) & (states[:, 1:] != came[:, None]).all(1)
                here, came = states[able], came[able]
                before.append(np.column_stack([came, here[:, 1:]]))
                ahead = self.next[move, here[:, 0]]
                pushed = here[:, 1:] == ahead[:, None]
                boxes = np.where(pushed, here[:, :1], here[:, 1:])[pushed.any(1)]
                before.append(np.column_stack([came[pushed.any(1)], np.sort(boxes)]))
            states = np.concatenate(before)
            states = np.unique(states[found[tuple(states.T)] < 0], axis=0)
        return found


def draw(boxes: int, rng: np.random.Generator) -> tuple[Room, State]:
    """Return a room and its start: no box on a goal, and 10 to 40 moves to go.

    The distance is drawn before the start, or few solutions would be long; rooms without one of
    this length are thrown away, so short ones are still the more frequent (mean 21 moves).
    """
    while True:
        floor, following = _floor(rng)
        if len(floor) < LEAST_FLOOR:
            continue
        goals = tuple(sorted(int(cell) for cell in rng.choice(len(floor), boxes, replace=False)))
        room, wanted = Room(floor, following, goals), int(rng.integers(SOLUTION.start,
                                                                       SOLUTION.stop))
        states = np.argwhere(room.distances == wanted)
        states = states[~np.isin(states[:, 1:], goals).any(1)]
        if len(states):
            player, *rest = (int(cell) for cell in rng.choice(states))
            return room, State(player, tuple(rest))


def _floor(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest connected floor among random walls, and its moves; see Room."""
    open_cells = {(int(row), int(column))
                  for row, column in np.argwhere(rng.random((SIDE, SIDE)) > WALLS)}
    parts = []
    while open_cells:
        part, edge = set(), [min(open_cells)]
        while edge:
            cell = edge.pop()
            if cell in open_cells:
                open_cells.remove(cell)
                part.add(cell)
                edge += [(cell[0] + row, cell[1] + column) for row, column in MOVES]
        parts.append(sorted(part))
    cells = max(parts, key=len, default=[])
    numbers = {cell: number for number, cell in enumerate(cells)}
    following = [[numbers.get((row + down, column + right), len(cells)) for row, column in cells]
                 for down, right in MOVES]
    return np.array(cells), np.array(following)


class Sokoban(Domain):
    """Rooms with two boxes; with three, held out."""

    name = 'sokoban'
    licence = 'Apache-2.0'
    version = '1'
    tasks = TASKS
    suite = tuple(name for name, task in TASKS.items() if not task.held_out)

    def specification(self, task: str = '') -> TimestepSpec:
        return SPEC

    def environment(self) -> Environment:
        return SokobanEnvironment()

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, SokobanEnvironment)
        return SokobanExpert(world)


class SokobanEnvironment(Environment):
    """A room at work: ``room``, and its ``state``."""

    spec = SPEC

    def reset(self, task: str, seed: int) -> Observation:
        self.room, self.state = draw(BOXES[task], np.random.default_rng(seed))
        self._sentence, self._steps = TASKS[task].sentence, 0
        return self._observation()

    def step(self, values: Values) -> Observation:
        self.state = self.room.moved(self.state, int(values['move'][0]))
        self._steps += 1
        return self._observation()

    @property
    def success(self) -> bool:
        return self.state.boxes == self.room.goals

    @property
    def ended(self) -> bool:
        return self.success or self._stuck or self._steps >= LONGEST

    @property
    def score(self) -> float:
        return float(self.success)

    @property
    def failure(self) -> str:
        if self.success:
            return ''
        if self._stuck:
            return 'dead-locked: it cannot be solved any more'
        return 'out of time' if self._steps >= LONGEST else 'not solved'

    @property
    def progress(self) -> float:
        return self._steps / LONGEST

    @property
    def sentence(self) -> str:
        return self._sentence

    def picture(self, size: int) -> np.ndarray:
        """Return the room from above: boxes orange, on a goal green; the player blue."""
        tile = max(4, size // (SIDE + 2))
        drawn = np.full((SIDE + 2, SIDE + 2, tile, tile, 3), COLOURS[WALL], np.uint8)
        inset = slice(tile // 4, -(tile // 4))
        for (row, column), cell in np.ndenumerate(self._cells()):
            on_goal = cell in (GOAL, BOX_ON_GOAL, PLAYER_ON_GOAL)
            place = drawn[row + 1, column + 1]
            place[:] = COLOURS[WALL] if cell == WALL else COLOURS[GOAL if on_goal else FLOOR]
            if cell >= BOX:
                place[inset, inset] = COLOURS[int(cell)]
        return drawn.transpose(0, 2, 1, 3, 4).reshape((SIDE + 2) * tile, (SIDE + 2) * tile, 3)

    def twin(self) -> Environment:
        return SokobanEnvironment()

    @property
    def _stuck(self) -> bool:
        return self.room.distance(self.state) < 0

    def _cells(self) -> np.ndarray:
        """Return int64[6, 6], a kind of cell each."""
        floor, cells = self.room.floor, np.full((SIDE, SIDE), WALL)
        kinds = np.full(len(floor), FLOOR)
        goals, boxes = list(self.room.goals), list(self.state.boxes)
        kinds[goals] = GOAL
        kinds[boxes] = np.where(kinds[boxes] == GOAL, BOX_ON_GOAL, BOX)
        kinds[self.state.player] = (PLAYER_ON_GOAL if self.state.player in goals else PLAYER)
        cells[tuple(floor.T)] = kinds
        return cells

    def _observation(self) -> Observation:
        return Observation(proprioception={'room': self._cells().ravel()},
                           stamp_ns=self._steps * PERIOD_NS)


class SokobanExpert:
    """Goes down the table of distances from any state: a shortest solution, without a plan."""

    def __init__(self, world: SokobanEnvironment) -> None:
        self._world = world

    def act(self, observation: Observation) -> Values:
        room, state = self._world.room, self._world.state
        left = np.array([room.distance(room.moved(state, move)) for move in range(len(MOVES))])
        best = np.argmin(np.where(left < 0, left.max() + 1, left))  # the first of the best ones
        return {'move': np.array([best])}
