"""OGBench's arm: cubes, buttons, a drawer, a window, and a puzzle of buttons.

The scenes are those of the package's data collection, with a goal drawn by the seed. The experts
are its Markov oracles, which read the state and keep no phase. What is seen are places: of the
hand, and of things and goals from there; velocities and joint angles are left out. An episode is
won once the goal has been held for HELD timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from gato_ros.domains import gym_environment, gym_spaces
from gato_ros.domains.domain import Demonstrator, Environment, TaskSpec, Values
from gato_ros.domains.gym_environment import (
    ACTION,
    BodySettings,
    GymDomain,
    GymEnvironment,
    Held,
    make_gym,
)
from gato_ros.domains.gym_spaces import FieldSettings
from gato_ros.domains.stacking.render import choose_gl
from gato_ros.spec import Observation

choose_gl()  # before anything imports MuJoCo

import ogbench.manipspace  # noqa: E402, F401  it registers the environments
from ogbench.manipspace.oracles.markov.button_markov import ButtonMarkovOracle  # noqa: E402
from ogbench.manipspace.oracles.markov.cube_markov import CubeMarkovOracle  # noqa: E402
from ogbench.manipspace.oracles.markov.drawer_markov import DrawerMarkovOracle  # noqa: E402
from ogbench.manipspace.oracles.markov.window_markov import WindowMarkovOracle  # noqa: E402

HELD = 5  # timesteps of 50 ms
HOME = np.array([0.425, 0.0, 0.3])  # m, where the oracles go when all is done
MOST = 3  # presses that solve a puzzle at its start
ORACLES = {'cube': CubeMarkovOracle, 'button': ButtonMarkovOracle, 'drawer': DrawerMarkovOracle,
           'window': WindowMarkovOracle}
Info = Mapping[str, Any]  # the package's name of a quantity -> its value


@dataclass(frozen=True)
class ManipulationTask:
    """One task: environment, words, kind of goal, what is seen, and whether all buttons count."""

    environment: str
    sentence: str
    kind: str
    body: str
    longest: int
    puzzle: bool = False
    held_out: bool = False


TASKS = {
    'cube_single': ManipulationTask('cube-single-v0', 'bring the cube to its place', 'cube',
                                    'cube_single', 200),
    'cube_double': ManipulationTask('cube-double-v0', 'bring one of two cubes to its place',
                                    'cube', 'cube_double', 200),
    # Held out: with one and with two cubes it is trained.
    'cube_triple': ManipulationTask('cube-triple-v0', 'bring one of three cubes to its place',
                                    'cube', 'cube_triple', 200, held_out=True),
    'scene_cube': ManipulationTask('scene-v0', 'bring the cube to its place or into the drawer',
                                   'cube', 'cube_single', 200),
    'drawer': ManipulationTask('scene-v0', 'open or close the drawer', 'drawer', 'handle', 200),
    'window': ManipulationTask('scene-v0', 'open or close the window', 'window', 'handle', 200),
    'button': ManipulationTask('scene-v0', 'press the button', 'button', 'button', 100),
    'puzzle_button': ManipulationTask('puzzle-3x3-v0', 'press one of nine buttons', 'button',
                                      'button', 100),
    'puzzle_4x4_button': ManipulationTask('puzzle-4x4-v0', 'press one of sixteen buttons',
                                          'button', 'button', 100),
    'puzzle_3x3': ManipulationTask('puzzle-3x3-v0', 'make all nine buttons red', 'button',
                                   'puzzle', 300, puzzle=True)}

_THREE, _HAND = ('x', 'y', 'z'), ((0.2, -0.4, 0.0), (0.65, 0.4, 0.5))
# body -> field -> names, lower and upper limits, in m and rad.
_AWAY = (_THREE, (-0.6,) * 3, (0.6,) * 3)
_CUBE: dict[str, tuple] = {
    'hand': (_THREE, *_HAND), 'cube': _AWAY, 'goal': _AWAY,
    'turn': (('angle',), (-0.8,), (0.8,)), 'touch': (('force',), (0.0,), (1.0,))}
BODIES: dict[str, dict[str, tuple]] = {
    'cube_single': _CUBE,
    'cube_double': {**_CUBE, 'other_1': _AWAY},
    'cube_triple': {**_CUBE, 'other_1': _AWAY, 'other_2': _AWAY},
    'handle': {'hand': (_THREE, *_HAND), 'handle': _AWAY, 'button': _AWAY,
               'goal': (('way',), (-0.25,), (0.25,)), 'turn': (('angle',), (-1.6,), (1.6,))},
    'button': {'hand': (_THREE, *_HAND), 'button': _AWAY},
    'puzzle': {'hand': (_THREE, *_HAND)}}


class Places(gymnasium.Wrapper):
    """What is seen, without what is redundant; draws the goal of the task's kind."""

    def __init__(self, env: gymnasium.Env, task: ManipulationTask) -> None:
        super().__init__(env)
        self.task = task
        self.world: Any = env.unwrapped
        self.action_space = spaces.Box(-1.0, 1.0, (5,), np.float32)
        fields: dict[str, spaces.Space] = {
            name: spaces.Box(np.array(low), np.array(high), dtype=np.float64)
            for name, (_, low, high) in BODIES[task.body].items()}
        if task.body == 'handle':
            fields['locked'] = spaces.Discrete(2)
        if task.puzzle:
            fields['blue'] = spaces.MultiBinary(9)
        self.observation_space = spaces.Dict(fields)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None
              ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode, with a goal of the task's kind."""
        _, info = self.env.reset(seed=seed)
        while self.task.kind != info['privileged/target_task']:
            _, info = self.world.set_new_target()
        if self.task.puzzle:
            info = self._scramble()
        return self._places(info), info

    def step(self, action: Any) -> tuple[dict[str, Any], Any, bool, bool, dict[str, Any]]:
        """Do one timestep."""
        _, reward, _, truncated, info = self.env.step(action)
        if self.task.puzzle:
            info['success'] = not info['button_states'].any()
        return self._places(info), reward, False, truncated, info

    def _scramble(self) -> dict[str, Any]:
        """Press some buttons of a solved puzzle."""
        draw = self.world.np_random
        pressed = np.zeros(9, int)
        pressed[draw.permutation(9)[:draw.integers(1, MOST + 1)]] = 1
        self.world._cur_button_states[:] = NEIGHBOURS @ pressed % 2
        self.world._apply_button_states()
        self.world.pre_step()
        return self.world.get_reset_info()

    def button(self, number: int) -> np.ndarray:
        """Return float64[3]: where a button's top is, in m."""
        return self.world._data.site_xpos[self.world._button_site_ids[number]].copy()

    def _places(self, info: Info) -> dict[str, Any]:
        """Return the fields of the task's body, in m and rad."""
        hand, yaw = info['proprio/effector_pos'], info['proprio/effector_yaw'][0]
        if self.task.puzzle:
            return {'hand': hand, 'blue': info['button_states'].astype(np.int8)}
        if self.task.kind == 'button':
            return {'hand': hand, 'button': info['privileged/target_button_top_pos'] - hand}
        if self.task.kind == 'cube':
            mine = int(info['privileged/target_block'])
            cubes = [info[f'privileged/block_{i}_pos'] for i in range(self.world._num_cubes)]
            others = [cube - hand for i, cube in enumerate(cubes) if i != mine]
            return {'hand': hand, 'cube': cubes[mine] - hand,
                    'goal': info['privileged/target_block_pos'] - cubes[mine],
                    'turn': _turn(yaw, info[f'privileged/block_{mine}_yaw'][0], 4),
                    'touch': info['proprio/gripper_contact'],
                    **{f'other_{i + 1}': other for i, other in enumerate(others)}}
        kind = self.task.kind
        handle, lock = info[f'privileged/{kind}_handle_pos'], int(kind == 'window')
        way = info[f'privileged/target_{kind}_handle_pos'] - handle
        return {'hand': hand, 'handle': handle - hand, 'button': self.button(lock) - hand,
                'goal': way[[int(kind == 'drawer')]],  # one slides along y, one along x
                'turn': _turn(yaw, info[f'privileged/{kind}_handle_yaw'][0], 2),
                'locked': np.int64(info['button_states'][lock] == 0)}


def _turn(yaw: float, other: float, sides: int) -> np.ndarray:
    """Return float64[1]: by how much to turn to what looks alike from so many sides."""
    whole = 2 * np.pi / sides
    return np.array([(other - yaw + whole / 2) % whole - whole / 2])


def _neighbours(side: int) -> np.ndarray:
    """Return int[n, n]: which buttons of a square change when one is pressed."""
    places = np.array(list(product(range(side), repeat=2)))
    return (np.abs(places[:, None] - places).sum(2) <= 1).astype(int)


NEIGHBOURS = _neighbours(3)
PRESSES = {tuple(NEIGHBOURS @ presses % 2): np.array(presses)
           for presses in product((0, 1), repeat=9)}  # states of a puzzle -> what solves it


class OGBench(GymDomain):
    """Manipulation tasks of OGBench, judged by success."""

    name = 'ogbench'
    licence = 'MIT'
    version = f'ogbench {version("ogbench")}, mujoco {version("mujoco")}'
    success_key = 'success'
    undisturbed = frozenset({'gripper'})

    @cached_property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {name: TaskSpec(name, task.sentence, task.body, task.held_out)
                for name, task in TASKS.items()}

    def settings_of(self, task: str) -> BodySettings:
        fields = {name: FieldSettings(names)
                  for name, (names, _, _) in BODIES[TASKS[task].body].items()}
        return BodySettings(fields, {ACTION: FieldSettings((*_THREE, 'turn', 'gripper'))})

    def make(self, task: str) -> gymnasium.Env:
        row = TASKS[task]
        made = make_gym(f'task {task!r}', row.environment, {
            'max_episode_steps': row.longest, 'mode': 'data_collection',
            'terminate_at_goal': False})
        return Held(Places(made, row), 'success', HELD)

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, GymEnvironment), 'this domain made it'
        return Oracle(world)

    def fingerprint(self) -> list[bytes]:
        ours = __file__, gym_environment.__file__, gym_spaces.__file__
        return [*(Path(file).read_bytes() for file in ours), self.version.encode()]


class Oracle:
    """The package's Markov oracles; a locked handle's button comes first, a puzzle is solved."""

    def __init__(self, world: GymEnvironment) -> None:
        self._world = world
        places: Any = world.gym
        while not isinstance(places, Places):
            places = places.env
        self._places, self._task = places, places.task
        self._oracles: dict[str, Callable[[None, Info], np.ndarray]] = {}
        for kind, made in ORACLES.items():
            oracle = made(env=places.env)
            oracle._final_pos, oracle._final_yaw, oracle._step = HOME, 0.0, 0
            self._oracles[kind] = oracle.select_action

    def act(self, observation: Observation) -> Values:
        """Return the move of hand and gripper, in [-1, 1]."""
        info = dict(self._world.info)
        kind = self._task.kind
        if self._task.puzzle:
            kind = 'button'
            wanted = np.flatnonzero(PRESSES[tuple(info['button_states'].tolist())])
            hand = info['proprio/effector_pos']
            away = [np.linalg.norm(self._places.button(int(i))[:2] - hand[:2]) for i in wanted]
            self._press(info, int(wanted[np.argmin(away)]) if len(wanted) else None)
        elif kind == 'cube':  # its turn does not count, so it is left as it is
            block = int(info['privileged/target_block'])
            info['privileged/target_block_yaw'] = info[f'privileged/block_{block}_yaw']
        elif kind in ('drawer', 'window') and observation.proprioception['locked'][0]:
            self._press(info, int(kind == 'window'))
            kind = 'button'
        return {ACTION: self._oracles[kind](None, info).astype(np.float64)}

    def _press(self, info: dict[str, Any], number: int | None) -> None:
        """Make a button the oracle's; None: any one, which is as it should be."""
        button = number or 0
        state = info[f'privileged/button_{button}_state']
        info['privileged/target_button'] = button
        info['privileged/target_button_top_pos'] = self._places.button(button)
        info['privileged/target_button_state'] = state if number is None else 1 - state
