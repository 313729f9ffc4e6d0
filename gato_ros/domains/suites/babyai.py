"""BabyAI: a grid world of rooms, doors and things, and a mission in words; minigrid's levels.

Seen are the 7 x 7 cells ahead, as far as walls and closed doors let it look, and the compass: 52
tokens in a timestep with separator and action. The mission is the episode's sentence. It stands
as a prompt before the window and is not said again in each timestep, so an episode without its
sentence can only be guessed at.

Success is all that counts: the level's own reward is positive at the end. An episode ends at the
level's own limit of steps, or at twice what the bot needed at most in 100 episodes (at 32 where
that is less), for most levels would let a lost actor walk about for 500 to 2,000 steps.

The expert is the package's bot. Four levels are left out because it cannot do them: KeyInBox, as
its authors say; UnlockToUnlock, where its plan goes in circles in 9 of 12 episodes; and
OpenDoorsOrderN2Debug and OpenDoorsOrderN4Debug, where nobody could: of two doors in order, the
right first one counts as a wrong second one and ends the episode. KeyCorridor is left out as
well: it is KeyCorridorS6R3 by another name.
"""

from __future__ import annotations

import contextlib
from collections import deque
from functools import cache
from typing import Any

import gymnasium
import minigrid  # registers the levels
import numpy as np
from minigrid.core.constants import DIR_TO_VEC, OBJECT_TO_IDX
from minigrid.envs.babyai.core.verifier import AfterInstr, SeqInstr
from minigrid.utils.baby_ai_bot import BabyAIBot, DropSubgoal, GoNextToSubgoal

from gato_ros.domains.domain import Demonstrator, Domain, Environment, TaskSpec, Values
from gato_ros.domains.suites.babyai_mission import pointed_at
from gato_ros.spec import DiscreteField, Observation, TimestepSpec

# Level -> the most steps that the bot needed in 100 episodes (seeds from 100,000 on).
LEVELS = {
    'GoToRedBallGrey': 15, 'GoToRedBall': 15, 'GoToRedBallNoDists': 11, 'GoToObj': 13,
    'GoToObjS4': 3, 'GoToObjS6': 7, 'GoToLocal': 17, 'GoToLocalS5N2': 6, 'GoToLocalS6N2': 8,
    'GoToLocalS6N3': 7, 'GoToLocalS6N4': 9, 'GoToLocalS7N4': 11, 'GoToLocalS7N5': 11,
    'GoToLocalS8N2': 13, 'GoToLocalS8N3': 11, 'GoToLocalS8N4': 13, 'GoToLocalS8N5': 13,
    'GoToLocalS8N6': 13, 'GoToLocalS8N7': 15, 'GoTo': 182, 'GoToOpen': 157, 'GoToObjMaze': 166,
    'GoToObjMazeOpen': 154, 'GoToObjMazeS4R2': 25, 'GoToObjMazeS4': 58, 'GoToObjMazeS5': 80,
    'GoToObjMazeS6': 101, 'GoToObjMazeS7': 150, 'GoToImpUnlock': 244, 'GoToSeq': 215,
    'GoToSeqS5R2': 47, 'GoToRedBlueBall': 16, 'GoToDoor': 11, 'GoToObjDoor': 18, 'Open': 149,
    'OpenRedDoor': 8, 'OpenDoor': 15, 'OpenDoorDebug': 15, 'OpenDoorColor': 17, 'OpenDoorLoc': 17,
    'OpenTwoDoors': 19, 'OpenRedBlueDoors': 19, 'OpenRedBlueDoorsDebug': 19,
    'OpenDoorsOrderN2': 19, 'OpenDoorsOrderN4': 20, 'Pickup': 183, 'UnblockPickup': 232,
    'PickupLoc': 15, 'PickupDist': 12, 'PickupDistDebug': 12, 'PickupAbove': 102,
    'PutNextLocal': 30, 'PutNextLocalS5N3': 11, 'PutNextLocalS6N4': 13, 'PutNextS4N1': 11,
    'PutNextS5N2': 18, 'PutNextS5N1': 18, 'PutNextS6N3': 27, 'PutNextS7N4': 32,
    'PutNextS5N2Carrying': 10, 'PutNextS6N3Carrying': 20, 'PutNextS7N4Carrying': 19, 'Unlock': 246,
    'UnlockLocal': 23, 'UnlockLocalDist': 39, 'UnlockPickup': 28, 'UnlockPickupDist': 53,
    'BlockedUnlockPickup': 43, 'ActionObjDoor': 16, 'FindObjS5': 86, 'FindObjS6': 113,
    'FindObjS7': 156, 'KeyCorridorS3R1': 19, 'KeyCorridorS3R2': 69, 'KeyCorridorS3R3': 112,
    'KeyCorridorS4R3': 88, 'KeyCorridorS5R3': 117, 'KeyCorridorS6R3': 145, 'OneRoomS8': 13,
    'OneRoomS12': 26, 'OneRoomS16': 53, 'OneRoomS20': 70, 'MoveTwoAcrossS5N2': 31,
    'MoveTwoAcrossS8N9': 79, 'Synth': 209, 'SynthS5R2': 128, 'SynthLoc': 206, 'SynthSeq': 232,
    'MiniBossLevel': 101, 'BossLevel': 334, 'BossLevelNoUnlock': 233,
}
# Relatives of levels that are learnt from: a size or a number between theirs, one door more.
HELD_OUT = ('GoToLocalS7N4', 'GoToObjMazeS5', 'PutNextS6N3', 'KeyCorridorS4R3',
            'OpenDoorsOrderN4')
SIDE = 7  # cells of the view's side; the agent stands in the middle of its nearest row
OBJECTS, COLOURS, STATES = 11, 6, 3  # the package's numbers of kinds, as Grid.encode has them
SHORTEST = 32  # of the limits of steps, where the level's own is not lower
PERIOD_NS = 50_000_000  # between the stamps of two timesteps
THOUGHTS = 200  # changes of plan before one action: a plan that needs more goes in circles

SPEC = TimestepSpec(
    discrete=(
        DiscreteField('direction', ('direction',), 4),
        DiscreteField('view', tuple(f'ahead_{SIDE - 1 - row}_column_{column}'
                                    for row in range(SIDE) for column in range(SIDE)),
                      OBJECTS * COLOURS * STATES)),
    discrete_actions=(DiscreteField('action', ('action',), 7),))


def code(kind: int, colour: int = 0, state: int = 0) -> int:
    """Return one number for a cell, in [0, 198): object x colour x state."""
    return (kind * COLOURS + colour) * STATES + state


def parts(view: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the kinds and the colours of cells, int of the view's shape."""
    return view // (COLOURS * STATES), view // STATES % COLOURS


UNSEEN, EMPTY, WALL = 0, code(OBJECT_TO_IDX['empty']), code(OBJECT_TO_IDX['wall'], 5)
CLEAR = np.ones(OBJECTS * COLOURS * STATES, np.int64)  # whether one looks past a cell
CLEAR[code(OBJECT_TO_IDX['wall']):code(OBJECT_TO_IDX['wall'] + 1)] = 0
for _colour in range(COLOURS):
    for _state in (1, 2):  # closed, locked
        CLEAR[code(OBJECT_TO_IDX['door'], _colour, _state)] = 0
BITS = 1 << np.arange(SIDE)
# Direction -> int[7, 7, 2]: where the view's cells lie, from the agent.
PLACES = [np.array([[ahead * DIR_TO_VEC[d] + right * DIR_TO_VEC[(d + 1) % 4]
                     for right in range(-(SIDE // 2), SIDE // 2 + 1)]
                    for ahead in range(SIDE - 1, -1, -1)]) for d in range(4)]


class BabyAI(Domain):
    """Levels of BabyAI by their names without prefix and version; 86 to learn, five held out."""

    name = 'babyai'
    licence = 'Apache-2.0'
    version = f'minigrid {minigrid.__version__}'

    def __init__(self) -> None:
        self._tasks = {level: TaskSpec(level, f'do the mission of the level {level}',
                                       held_out=level in HELD_OUT) for level in LEVELS}

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        return self._tasks

    @property
    def suite(self) -> tuple[str, ...]:
        """The levels to learn from; those held out are asked for by name."""
        return tuple(level for level in LEVELS if level not in HELD_OUT)

    def specification(self, task: str = '') -> TimestepSpec:
        return SPEC

    def environment(self) -> Environment:
        return BabyAIEnvironment()

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, BabyAIEnvironment)
        return BabyAIExpert(world)


class BabyAIEnvironment(Environment):
    """A level at work, without gymnasium's wrappers, and with a view of its own that is faster.

    inside    the package's environment
    explored  bool[width, height]: which cells have been seen in this episode
    done      the last action, by whomever; None at the start; steps: how many there were
    """

    spec = SPEC

    def __init__(self) -> None:
        self._task = ''

    def reset(self, task: str, seed: int) -> Observation:
        if self._task != task:
            made: Any = gymnasium.make(self.identity(task), disable_env_checker=True)
            self.inside, self._task = made.unwrapped, task
            self.inside.gen_obs = dict  # what step() would look at, and nobody needs
        with contextlib.redirect_stdout(None):  # it tells of each layout that it throws away
            self.inside.reset(seed=seed)
        inside = self.inside
        self.done: int | None = None
        self.steps, self._won, self._over, self._given_up = 0, False, False, ''
        self._limit = min(inside.max_steps, self.longest(task))
        # A rim as wide as the view reaches, so that no cell of it lies outside.
        self._codes = np.full((inside.width + 2 * SIDE, inside.height + 2 * SIDE), WALL)
        for place in np.ndindex(inside.width, inside.height):
            self._look(place)
        self._seen = np.zeros(self._codes.shape, bool)
        self.explored = self._seen[SIDE:-SIDE, SIDE:-SIDE]
        return self._observation()

    def identity(self, task: str) -> str:
        """Return a task's name in Gymnasium's register."""
        return _identity(task)

    def longest(self, task: str) -> int:
        """Return the steps after which an episode is over, unless the package's own are fewer."""
        return max(SHORTEST, 2 * LEVELS[task])

    def step(self, values: Values) -> Observation:
        action, front = int(values['action'][0]), tuple(self.inside.front_pos)
        _, reward, terminated, truncated, _ = self.inside.step(action)
        self._look(front)  # no action changes another cell
        self.done, self.steps = action, self.steps + 1
        self._won = float(reward) > 0
        self._over = bool(terminated or truncated) or self.steps >= self._limit
        return self._observation()

    def give_up(self, why: str) -> None:
        """End the episode: its expert cannot go on."""
        self._given_up = why

    @property
    def ended(self) -> bool:
        return self._over or bool(self._given_up)

    @property
    def success(self) -> bool:
        return self._won

    @property
    def score(self) -> float:
        return float(self._won)

    @property
    def failure(self) -> str:
        if self._won:
            return ''
        return self._given_up or ('out of time' if self.steps >= self._limit else 'not solved')

    @property
    def progress(self) -> float:
        return min(1.0, self.steps / self._limit)

    @property
    def sentence(self) -> str:
        """The mission, such as `put the red key next to a box`."""
        return str(self.inside.mission)

    def targets(self) -> dict[str, np.ndarray]:
        """Return where the mission's things stand in the view, see babyai_mission.py."""
        return {'pointed_at': pointed_at(self.sentence, *parts(self._view))}

    def picture(self, size: int) -> np.ndarray:
        """Return the whole grid from above, with what is in view in a lighter grey."""
        tile = max(4, size // max(self.inside.width, self.inside.height))
        return self.inside.get_frame(highlight=True, tile_size=tile)

    def twin(self) -> Environment:
        return BabyAIEnvironment()

    def _look(self, place: tuple[int, ...]) -> None:
        """Note what lies in a cell now."""
        thing = self.inside.grid.get(*place)
        x, y = place
        self._codes[x + SIDE, y + SIDE] = code(*thing.encode()) if thing else EMPTY

    def _observation(self) -> Observation:
        inside = self.inside
        x, y = (PLACES[inside.agent_dir] + inside.agent_pos + SIDE).transpose(2, 0, 1)
        view = self._codes[x, y]
        rows, seen = (CLEAR[view] @ BITS).tolist(), [0] * SIDE
        ahead = 1 << SIDE // 2
        for row in range(SIDE - 1, -1, -1):
            seen[row], ahead = _sweep(ahead, rows[row])
        visible = (np.array(seen)[:, None] & BITS) > 0
        self._seen[x, y] |= visible
        view = np.where(visible, view, UNSEEN)
        carried = inside.carrying
        view[-1, SIDE // 2] = code(*carried.encode()) if carried else EMPTY
        self._view = view
        return Observation(proprioception={'direction': np.array([inside.agent_dir]),
                                           'view': view.ravel()},
                           stamp_ns=self.steps * PERIOD_NS)


class BabyAIExpert:
    """The package's bot, told what was really done; it plans anew where it loses its way.

    The bot plans how to undo what another than itself did, but it gives up where a box was
    opened, and its assertions do not hold in every state. Then a new one begins here, with the
    part of the mission that is left, knowing what has been seen. Where that one fails as well,
    the episode is given up with the reason.
    """

    def __init__(self, world: BabyAIEnvironment) -> None:
        self._world, self._bot, self._steps = world, _Bot(world), world.steps

    def act(self, observation: Observation) -> Values:
        world = self._world
        steps, self._steps = world.steps - self._steps, world.steps
        with contextlib.suppress(Exception):  # whatever the bot's plan trips over
            if steps <= 1:
                action = self._bot.replan(world.done if steps else None)
                if action != world.inside.actions.done:
                    return {'action': np.array([int(action)])}
        try:
            self._bot = _Bot(world)
            action = self._bot.replan()
        except Exception as error:  # as above
            why = str(error) or type(error).__name__
            world.give_up(f'the bot cannot go on: {why}')
            action = world.inside.actions.done
        return {'action': np.array([int(action)])}


class _Bot(BabyAIBot):
    """The bot from the present state on, with a limit on its thoughts."""

    def __init__(self, world: BabyAIEnvironment) -> None:
        super().__init__(world.inside)
        self.vis_mask = world.explored
        held = world.inside.carrying
        if held is None:
            return
        if (len(self.stack) > 3 and self.stack[-3].reason == 'PutNext'
                and held in self.stack[-1].datum.obj_set):
            del self.stack[-2:]  # what it would find and pick up is in its hands
        else:  # it may be in the way of what is left
            self.stack.append(DropSubgoal(self))
            self.stack.append(GoNextToSubgoal(self, self._find_drop_pos()))

    def replan(self, action_taken: int | None = None) -> int:
        """Return what to do now; raises RuntimeError for a plan that goes in circles."""
        self._check_erroneous_box_opening(action_taken)
        for subgoal in self.stack:
            subgoal.update_agent_attributes()
        if self.stack:
            self.stack[-1].replan_after_action(action_taken)
        while self.stack and self.stack[-1].is_exploratory():
            self.stack.pop()
        for _ in range(THOUGHTS):
            if not self.stack:
                break
            action = self.stack[-1].replan_before_action()
            if action is not None:
                self._remember_current_state()
                return int(action)
        else:
            raise RuntimeError('its plan goes in circles')
        self._remember_current_state()
        return int(self.mission.actions.done)

    def _process_instr(self, instr: Any) -> None:
        """Plan the parts of a mission that are not done, the last one first."""
        if not isinstance(instr, SeqInstr):
            super()._process_instr(instr)
            return
        state: Any = instr
        parts = [(state.instr_b, state.b_done), (state.instr_a, state.a_done)]
        for part, done in reversed(parts) if isinstance(instr, AfterInstr) else parts:
            if done != 'success':
                self._process_instr(part)

    def _breadth_first_search(self, initial_states: Any, accept_fn: Any, ignore_blockers: bool
                              ) -> tuple[Any, Any, dict[Any, Any]]:
        """Return the package's own answer, without copying the queue for each cell of it."""
        grid, explored = self.mission.grid, self.vis_mask
        queue: deque[Any] = deque((state, None) for state in initial_states)
        came_from: dict[Any, Any] = {}
        while queue:
            (i, j, di, dj), before = queue.popleft()
            if (i, j) in came_from:
                continue
            cell = grid.grid[j * grid.width + i]
            came_from[i, j] = before
            if accept_fn((i, j), cell):
                path, place = [], (i, j)
                while place:
                    path.append(place)
                    place = came_from[place]
                return path, (i, j), came_from
            if not explored[i, j]:
                continue
            if cell and (cell.type == 'wall' or (
                    not cell.is_open if cell.type == 'door' else not ignore_blockers)):
                continue
            for x, y in ((di, dj), (dj, di), (-dj, -di), (-di, -dj)):
                if (i + x, j + y) not in came_from:
                    queue.append(((i + x, j + y, x, y), (i, j)))
        return None, None, came_from


@cache
def _sweep(seen: int, clear: int) -> tuple[int, int]:
    """Return which cells of a row are seen, and which of the next: bit i is column i.

    seen   from the row before; clear: which of this row's cells can be looked past. The same
           rule as minigrid's Grid.process_vis.
    """
    ahead = 0
    for columns, side in ((range(SIDE - 1), 1), (range(SIDE - 1, 0, -1), -1)):
        for column in columns:
            if (seen & clear) >> column & 1:
                seen |= 1 << column + side
                ahead |= 1 << column | 1 << column + side
    return seen, ahead


@cache
def _identities() -> dict[str, str]:
    return {name.split('-')[1]: name for name in gymnasium.registry if name.startswith('BabyAI-')}


def _identity(level: str) -> str:
    """Return a level's name in Gymnasium's register, with prefix and version."""
    return _identities()[level]
