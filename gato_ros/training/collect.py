"""Demonstrations from the scripted expert or person, or labels for what a policy sees.

    gato-ros collect --out data/stack --episodes 1000
    gato-ros collect --out data/keys --episodes 1000 --person
    gato-ros collect --out data/stack-dagger --episodes 300 --policy runs/stack/checkpoint

With a policy the policy acts, in turn with the expert, and the expert labels every timestep
(dataset aggregation: taking turns brings a weak policy into every part of the task). One file
per episode, named by its seed: a finished one is never made again, so the command can be given
twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gato_ros
from gato_ros.config import ConfigError
from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.expert import Expert
from gato_ros.domains.stacking.person import Person
from gato_ros.domains.stacking.tasks import load_task, load_training_task
from gato_ros.episodes.episode import SUFFIX, EpisodeInfo, EpisodeWriter, Source, read_info
from gato_ros.robot import TORQUES, RobotSpec, load_robot
from gato_ros.spec import Action, Observation
from gato_ros.workers import WorkerError, run_jobs

FIRST_TRAINING_SEED = 100_000  # seeds below are for validation and test, never for training


class CollectError(RuntimeError):
    """Collecting was interrupted; finished episodes are kept."""


@dataclass(frozen=True)
class CollectSettings:
    """What to collect.

    tasks       names, taken in turn by seed
    noise       largest deviation of the torque noise, share of full scale, drawn per episode
    delay_s     largest delay of a command, drawn per episode: a policy needs time to think
    policy      checkpoint that acts while the expert labels; None: the expert acts
    policy_share  of the time in which the policy acts, by turns of 10 to 40 timesteps
    person      whether a scripted person at the keyboard acts in the expert's place
    """

    out: Path
    episodes: int
    tasks: tuple[str, ...] = ('stack_wide',)
    robot: str = 'panda_sim'
    first_seed: int = FIRST_TRAINING_SEED
    noise: float = 0.2
    delay_s: float = 0.02
    randomise: bool = False
    policy: Path | None = None
    policy_share: float = 0.7
    person: bool = False
    workers: int = 0

    def __post_init__(self) -> None:
        for task in self.tasks:
            load_training_task(task)
        if self.first_seed < FIRST_TRAINING_SEED:
            raise ConfigError(f'first seed is {self.first_seed}, expected at least '
                              f'{FIRST_TRAINING_SEED}: lower ones are for validation and test')
        if not 0 <= self.noise <= 1:
            raise ConfigError(f'noise is {self.noise}, expected a share of full scale in [0, 1]')
        if not 0 < self.policy_share <= 1:
            raise ConfigError(f'policy_share is {self.policy_share}, expected a share in (0, 1]')
        if self.person and self.policy is not None:
            raise ConfigError('person and policy are both given, expected one: a person follows a '
                              'plan and cannot label what a policy sees')
        tasks = map(load_task, self.tasks)
        if self.person and any((t.kind, t.shapes) != ('stack', 'cubes') for t in tasks):
            raise ConfigError(f'tasks are {", ".join(self.tasks)}, expected stacks of two cubes: '
                              'the scripted person can do nothing else (option --task)')


def collect(settings: CollectSettings) -> Iterator[tuple[int, bool]]:
    """Write the missing episodes; yield (seed, success) of those that were there, then of each.

    Raises CollectError when a worker dies, EpisodeError when an episode cannot be written.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    seeds = range(settings.first_seed, settings.first_seed + settings.episodes)
    missing = [seed for seed in seeds if not _file(settings, seed).exists()]
    for seed in sorted(set(seeds) - set(missing)):
        yield seed, read_info(_file(settings, seed)).success
    try:
        yield from run_jobs(_collect_one, missing, settings.workers, _start_worker, (settings,))
    except WorkerError as error:
        raise CollectError(f'{error}; finished episodes are kept in {settings.out}, so give the '
                           'command again, or with fewer --workers') from error


class Disturbance:
    """Torque noise: white, and now and then a push of a few steps that moves the arm away."""

    def __init__(self, rng: np.random.Generator, deviation: float, joints: int) -> None:
        self._rng, self._deviation = rng, deviation
        self._push, self._left = np.zeros(joints), 0

    def draw(self) -> np.ndarray:
        """Return float64[N], as a share of full scale; the gripper, last, is left alone."""
        if self._left == 0:
            self._push[:] = 0
            if self._rng.random() < 0.04:
                self._left = int(self._rng.integers(3, 9))
                self._push = self._rng.normal(0, 2 * self._deviation, len(self._push))
        else:
            self._left -= 1
        noise = self._push + self._rng.normal(0, self._deviation, len(self._push))
        noise[-1] = 0
        return noise


class _Worker:
    """One process's environments, and its policy."""

    def __init__(self, settings: CollectSettings) -> None:
        self.settings = settings
        self.robot: RobotSpec = load_robot(settings.robot)
        self.hash = self.robot.timestep().hash
        self._envs: dict[str, StackingEnv] = {}
        self.policy = None
        self.source: Source = 'teleoperation' if settings.person else 'expert'
        self.actor: dict[str, object] = {}  # provenance
        if settings.policy is not None:
            import torch

            from gato_ros.policy.checkpoint import checkpoint_hash, load_checkpoint
            from gato_ros.policy.policy import GatoPolicy
            torch.set_num_threads(1)
            self.source = 'policy'
            self.policy = GatoPolicy(load_checkpoint(settings.policy), self.robot.timestep())
            self.actor = {'policy': str(settings.policy),
                          'policy_hash': checkpoint_hash(settings.policy),
                          'policy_share': settings.policy_share}

    def env(self, task: str) -> StackingEnv:
        if task not in self._envs:
            self._envs[task] = StackingEnv(self.robot, load_task(task),
                                           randomise=self.settings.randomise)
        return self._envs[task]

    def collect(self, seed: int) -> tuple[int, bool]:
        settings, scale = self.settings, self.robot.scale
        rng = np.random.default_rng((seed, 1))
        env = self.env(settings.tasks[seed % len(settings.tasks)])
        deviation = float(rng.uniform(0, settings.noise))
        delay_s = float(rng.uniform(0, settings.delay_s))
        disturbance = Disturbance(rng, deviation, len(scale))
        observation, writer = env.reset(seed), EpisodeWriter()
        demonstrator = Person(env, rng) if settings.person else Expert(env)
        if self.policy is not None:
            self.policy.reset(env.task.sentence, seed)
        sent: np.ndarray | None = None
        turn, policy_acts = 0, False
        while not env.success and env.time_s < env.time_limit_s:
            label = demonstrator.act()
            if self.policy is not None and turn == 0:
                turn = int(rng.integers(10, 41))
                policy_acts = bool(rng.random() < settings.policy_share)
            turn -= 1
            # The policy answers even when the expert acts: its context must not have gaps.
            answer = None if self.policy is None else self._answer(observation, sent)
            wish = answer if answer is not None and policy_acts else label
            sent = np.clip(wish + disturbance.draw() * scale, -scale, scale)
            writer.add(observation, {TORQUES: label}, {TORQUES: sent}, env.targets())
            observation = env.step(sent, delay_s)
        writer.save(_file(settings, seed), EpisodeInfo(
            robot=self.robot.name, spec_hash=self.hash, task=env.task.name,
            sentence=env.task.sentence, seed=seed,
            source=self.source, success=env.success,
            noise=deviation, randomised=settings.randomise, version=gato_ros.__version__,
            extra={'delay_s': delay_s, **self.actor}))
        return seed, env.success

    def _answer(self, observation: Observation, sent: np.ndarray | None) -> np.ndarray:
        assert self.policy is not None
        action: Action = self.policy.act(observation, None if sent is None else {TORQUES: sent})
        return action.values[TORQUES]


_worker: _Worker


def _start_worker(settings: CollectSettings) -> None:
    global _worker
    with contextlib.suppress(OSError):
        os.nice(5)  # collecting never starves what a person is doing
    _worker = _Worker(settings)


def _collect_one(seed: int) -> tuple[int, bool]:
    return _worker.collect(seed)


def _file(settings: CollectSettings, seed: int) -> Path:
    return settings.out / f'{seed:08d}{SUFFIX}'
