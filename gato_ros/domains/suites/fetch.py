"""Fetch's arm from gymnasium-robotics: it reaches, pushes and places, by short scripts.

What is seen are places: of the hand, and of object and goal from there. Velocities are left out,
as former timesteps show them, and so are the object's turn and, where they are blocked, the
fingers. An episode is won once the goal has been held for HELD timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from io import StringIO
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
with redirect_stderr(StringIO()):  # it has news of tasks that are not here
    import gymnasium_robotics
gymnasium.register_envs(gymnasium_robotics)

HELD = 5  # timesteps of 40 ms
REACH = 0.05  # m, that the hand moves at most in a timestep
SPAN = np.array([[1.0, 0.35, 0.35], [1.6, 1.15, 1.0]])  # m, where hand and object can be


@dataclass(frozen=True)
class FetchTask:
    """One task: the environment, its words, what is seen, and how many of four values act."""

    environment: str
    sentence: str
    block: bool
    fingers: bool
    longest: int
    held_out: bool = False


TASKS = {
    'reach': FetchTask('FetchReach-v4', 'move the hand to the mark', False, False, 50),
    'push': FetchTask('FetchPush-v4', 'push the block to the mark', True, False, 100),
    'pick_and_place': FetchTask('FetchPickAndPlace-v4', 'bring the block to the mark', True, True,
                                100)}


class Places(gymnasium.Wrapper):
    """What is seen and done, without what is redundant; see the module."""

    def __init__(self, env: gymnasium.Env, task: FetchTask) -> None:
        super().__init__(env)
        self.task = task
        self.action_space = spaces.Box(-1.0, 1.0, (3 + task.fingers,), np.float32)
        seen: dict[str, spaces.Space] = {
            'hand': spaces.Box(SPAN[0], SPAN[1], dtype=np.float64),
            'goal': spaces.Box(-0.6, 0.6, (3,), np.float64)}
        if task.block:
            seen['block'] = spaces.Box(-0.4, 0.4, (3,), np.float64)
        if task.fingers:
            seen['fingers'] = spaces.Box(0.0, 0.11, (1,), np.float64)
        self.observation_space = spaces.Dict(seen)

    def reset(self, **options: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Begin an episode."""
        seen, info = self.env.reset(**options)
        return self._places(seen), info

    def step(self, action: np.ndarray
             ) -> tuple[dict[str, np.ndarray], Any, bool, bool, dict[str, Any]]:
        """Do one timestep; the fingers stay where no action moves them."""
        whole = np.append(action, np.zeros(4 - len(action), np.float32))
        seen, reward, terminated, truncated, info = self.env.step(whole)
        return self._places(seen), reward, terminated, truncated, info

    def _places(self, seen: Any) -> dict[str, np.ndarray]:
        """Return places in m: the hand's, the block's from there, and the goal's from that."""
        state, hand = seen['observation'], seen['observation'][:3]
        places = {'hand': hand, 'goal': seen['desired_goal'] - seen['achieved_goal']}
        if self.task.block:
            places['block'] = state[3:6] - hand
        if self.task.fingers:
            places['fingers'] = state[9:11].sum(keepdims=True)
        return places


class Fetch(GymDomain):
    """Three tasks of Fetch's arm, judged by success."""

    name = 'fetch'
    licence = 'MIT'
    version = f'gymnasium-robotics {version("gymnasium-robotics")}, mujoco {version("mujoco")}'
    success_key = 'success'
    undisturbed = frozenset({'fingers'})

    @cached_property
    def tasks(self) -> Mapping[str, TaskSpec]:
        return {name: TaskSpec(name, task.sentence, name, task.held_out)
                for name, task in TASKS.items()}

    def settings_of(self, task: str) -> BodySettings:
        row, xyz = TASKS[task], ('x', 'y', 'z')
        seen = {'hand': xyz, 'goal': xyz} | ({'block': xyz} if row.block else {}) | (
            {'fingers': ('opening',)} if row.fingers else {})
        done = (*xyz, 'fingers') if row.fingers else xyz
        return BodySettings({name: FieldSettings(names, ('m',) * len(names))
                             for name, names in seen.items()}, {ACTION: FieldSettings(done)})

    def make(self, task: str) -> gymnasium.Env:
        row = TASKS[task]
        made = make_gym(f'task {task!r}', row.environment, {'max_episode_steps': row.longest})
        return Held(Places(made, row), 'is_success', HELD)

    def demonstrator(self, environment: Environment, kind: str,
                     rng: np.random.Generator) -> Demonstrator:
        world = environment.world
        assert isinstance(world, GymEnvironment), 'this domain made it'
        return Script(world.task)

    def fingerprint(self) -> list[bytes]:
        ours = __file__, gym_environment.__file__, gym_spaces.__file__
        return [*(Path(file).read_bytes() for file in ours), self.version.encode()]


class Script:
    """Answers what is seen; it remembers nothing, so it labels any state."""

    def __init__(self, task: str) -> None:
        rules: dict[str, Callable[..., np.ndarray]] = {
            'reach': reach, 'push': push, 'pick_and_place': pick_and_place}
        self._rule = rules[task]

    def act(self, observation: Observation) -> Values:
        """Return where the hand goes, and what the fingers do, in [-1, 1]."""
        return {ACTION: np.clip(self._rule(**observation.proprioception), -1, 1)}


def reach(hand: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Go straight to the goal."""
    return goal / REACH


HIGH, LOW = 0.51, 0.425  # m, heights of the hand above the block and beside it
BEHIND = 0.075  # m, from the block's middle, where a push begins


def push(hand: np.ndarray, goal: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Go behind the block, seen from the goal, and push; rise and come again when it slips off."""
    far = np.linalg.norm(goal[:2])
    way = goal[:2] / max(far, 1e-6)
    behind = block[:2] @ way
    beside = block[:2] - behind * way
    if far < 0.015:
        return np.zeros(3)
    lined_up = 0 < behind < BEHIND + 0.03 and np.linalg.norm(beside) < 0.015
    if hand[2] < LOW + 0.02 and lined_up:
        speed = min(far * 4, 0.4)
        return np.array([*(speed * way + beside / REACH), (LOW - hand[2]) / REACH])
    start = block[:2] - BEHIND * way
    if np.linalg.norm(start) > 0.012:  # over there, above the block
        rises = hand[2] < HIGH - 0.02
        near = np.linalg.norm(block[:2]) < 0.12
        sideways = np.zeros(2) if rises and near else start / REACH
        return np.array([*sideways, (HIGH - hand[2]) / REACH])
    return np.array([*(start / REACH), (LOW - hand[2]) / REACH])


def pick_and_place(hand: np.ndarray, goal: np.ndarray, block: np.ndarray, fingers: np.ndarray
                   ) -> np.ndarray:
    """Above the block with open fingers, down, close, and go to the goal with it."""
    aside = np.linalg.norm(block[:2])
    if aside > 0.02 and block[2] > -0.05:  # too low to go there
        return np.array([*(block[:2] / REACH * (block[2] < -0.03)), 0.6, 1.0])
    if aside > 0.008 and block[2] < -0.02:
        return np.array([*(block[:2] / REACH), (block[2] + 0.08) / REACH, 1.0])
    if np.linalg.norm(block) > 0.02:
        return np.array([*(block / REACH), 1.0])
    if fingers[0] > 0.053:  # the block is 0.05 m wide
        return np.array([*(block / REACH), -1.0])
    return np.array([*(goal / REACH), -1.0])
