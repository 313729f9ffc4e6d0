"""Demonstrations from a domain's expert, a scripted person or a random actor; or an expert's
labels for what a policy sees.

    gato-ros collect --out data/stack --episodes 1000
    gato-ros collect --out data/keys --episodes 1000 --actor person
    gato-ros collect --out data/stack-dagger --episodes 300 --policy runs/stack/checkpoint

With a policy the policy acts, in turn with the expert, and the expert labels every timestep
(dataset aggregation: taking turns brings a weak policy into every part of the task). One file
per episode, named by its seed: a finished one is never made again, so the command can be given
twice.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

import gato_ros
from gato_ros.cluster import Needs, crew
from gato_ros.config import ConfigError
from gato_ros.domains.domain import Demonstrator, Domain, DomainError, Environment, Values
from gato_ros.domains.registry import find_task
from gato_ros.domains.scores import scores_of
from gato_ros.domains.versions import versions
from gato_ros.domains.wrappers import Checked, fault_of
from gato_ros.episodes.episode import SUFFIX, EpisodeInfo, EpisodeWriter, Source, read_info
from gato_ros.spec import Observation, TimestepSpec
from gato_ros.training.disturbance import Disturbance
from gato_ros.workers import Overdue, WorkerError, here, time_limit

RANDOM = 'random'  # the actor that every domain has
SHARE = 16  # episodes of one task that a process makes in one world, at most
PATIENCE = 3  # episodes of a task that may break in a process before it leaves that task alone
SOURCES: dict[str, Source] = {'person': 'teleoperation', RANDOM: 'random'}  # else: expert


class CollectError(RuntimeError):
    """Collecting cannot go on; finished episodes are kept."""


@dataclass(frozen=True)
class CollectSettings:
    """What to collect.

    tasks       DOMAIN/TASK or tasks of stacking, of one domain; taken in turn by seed
    robot       another robot than the domain's own; '': that
    noise       largest deviation of the noise, share of full scale, drawn per episode
    delay_s     largest delay of a command, drawn per episode: a policy needs time to think
    disturbance  one of the domain's, such as rooms or damping_half: the world of all episodes
    actor       one of the domain's demonstrators, or random
    policy      checkpoint that acts while the expert labels; None: the actor acts
    policy_share  of the time in which the policy acts, by turns of 10 to 40 timesteps
    first_seed  None: the domain's first training seed
    longest_s   that an episode may take to make; beyond it its expert or world hangs
    workers     processes; 0: one per core
    ray         address of a Ray cluster whose nodes share the work; '': this machine alone
    """

    out: Path
    episodes: int
    tasks: tuple[str, ...] = ('stack_wide',)
    robot: str = ''
    first_seed: int | None = None
    noise: float = 0.2
    delay_s: float = 0.02
    randomise: bool = False
    disturbance: str = ''
    actor: str = 'expert'
    policy: Path | None = None
    policy_share: float = 0.7
    longest_s: float = 1800.0
    workers: int = 0
    ray: str = ''

    def __post_init__(self) -> None:
        domain = self.domain
        for reference in self.tasks:
            other, task = find_task(reference, self.robot)
            if other.name != domain.name:
                raise ConfigError(f'tasks are of the domains {domain.name!r} and {other.name!r}, '
                                  'expected one; collect each into a folder of its own')
            able = (*domain.demonstrators_of(task), RANDOM)
            if self.actor not in able:
                raise ConfigError(f'actor is {self.actor!r}, expected one of {", ".join(able)}, '
                                  f'who can do the task {reference!r}')
            if domain.task(task).held_out:
                raise ConfigError(f'task {reference!r} is held out for evaluation: its objects '
                                  'must never be seen in training')
        first = domain.seeds.first_training
        if self.seeds.start < first:
            raise ConfigError(f'first seed is {self.seeds.start}, expected at least {first}: '
                              'lower ones are for validation and test')
        if not 0 <= self.noise <= 1:
            raise ConfigError(f'noise is {self.noise}, expected a share of full scale in [0, 1]')
        if not self.longest_s > 0:
            raise ConfigError(f'longest_s is {self.longest_s}, expected seconds > 0')
        if not 0 < self.policy_share <= 1:
            raise ConfigError(f'policy_share is {self.policy_share}, expected a share in (0, 1]')
        if self.policy is not None and self.actor != 'expert':
            raise ConfigError(f'actor {self.actor!r} and a policy are both given, expected the '
                              'expert: only that one can label what a policy sees')
        if self.randomise and not domain.randomises:
            raise ConfigError(f'the domain {domain.name!r} has no randomisation, but it was asked '
                              'for; leave --randomise out')

        if self.disturbance and self.disturbance not in domain.disturbances:
            raise ConfigError(f'disturbance is {self.disturbance!r}, expected one of '
                              f'{", ".join(domain.disturbances) or "none"} in {domain.name!r}')

    @property
    def domain(self) -> Domain:
        """Of all the tasks."""
        return find_task(self.tasks[0], self.robot)[0]

    def find(self, seed: int) -> tuple[Domain, str]:
        """Return the domain and the task of a seed's episode."""
        return find_task(self.tasks[seed % len(self.tasks)], self.robot)

    @property
    def seeds(self) -> range:
        """Of the episodes."""
        first = self.domain.seeds.first_training if self.first_seed is None else self.first_seed
        return range(first, first + self.episodes)


@dataclass(frozen=True)
class _Broken:
    """An episode that could not be made, and why."""

    task: str
    sentence: str


def collect(settings: CollectSettings, broken: dict[str, str] | None = None
            ) -> Iterator[tuple[int, bool]]:
    """Write the missing episodes; yield (seed, usable) of those that were there, then of each.

    broken  gets the tasks whose world or expert breaks its word or hangs, with what went wrong,
            and the others go on; None: the first of them ends the collecting

    Raises CollectError when a worker dies or the folder holds other episodes, ClusterError when
    the Ray cluster cannot be used, EpisodeError when an episode cannot be written, DomainError
    when a world breaks its word, ActionError when an expert says what is not allowed; finished
    episodes are kept.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    missing = [seed for seed in settings.seeds if not _file(settings, seed).exists()]
    for seed in sorted(set(settings.seeds) - set(missing)):
        info, (domain, task) = read_info(_file(settings, seed)), settings.find(seed)
        same = domain.full_name(info.task) == domain.full_name(task)
        if info.domain not in ('', domain.name) or not same:
            raise CollectError(
                f'{_file(settings, seed)} holds an episode of {info.domain or domain.name}/'
                f'{info.task}, expected {domain.name}/{task}; give another --out, or the tasks '
                'that it was begun with')
        yield seed, domain.usable(info.success, info.normalised)
    if not missing:
        return
    work: Callable[[tuple[int, ...]], Sequence[tuple[int, bool] | _Broken]] = (
        _collect_some if broken is None else _try_some)
    needs = Needs(settings.out, (settings.policy,) if settings.policy else (), versions,
                  (settings.tasks, settings.robot))
    try:
        with crew(settings.ray, settings.workers, needs) as hands:
            for done in chain.from_iterable(hands.run(
                    work, shares_of(settings, missing, hands.size), _start_worker, (settings,))):
                if isinstance(done, _Broken):
                    assert broken is not None
                    broken.setdefault(done.task, done.sentence)
                    continue
                yield done
    except WorkerError as error:
        raise CollectError(f'{error}; finished episodes are kept in {settings.out}, so give the '
                           'command again, or with fewer --workers') from error


def shares_of(settings: CollectSettings, missing: Sequence[int], workers: int
              ) -> list[tuple[int, ...]]:
    """Return seeds as jobs of one task each, so that a world serves several episodes.

    The tasks take turns, so that what is there after an interruption has something of each.
    """
    by_task: dict[str, list[int]] = {}
    for seed in missing:
        by_task.setdefault(settings.find(seed)[1], []).append(seed)
    cut = []
    for seeds in by_task.values():
        size = max(1, min(SHARE, len(seeds) // (2 * workers)))
        cut.append([tuple(seeds[i:i + size]) for i in range(0, len(seeds), size)])
    return [share for turn in zip_longest(*cut) for share in turn if share is not None]


class RandomDemonstrator:
    """Draws every value alike from its range."""

    def __init__(self, spec: TimestepSpec, rng: np.random.Generator) -> None:
        self._spec, self._rng = spec, rng

    def act(self, observation: Observation) -> Values:
        values: dict[str, np.ndarray] = {field.name: self._rng.uniform(field.low, field.high)
                                         for field in self._spec.continuous_actions}
        return values | {field.name: self._rng.integers(0, field.count, field.size)
                         for field in self._spec.discrete_actions}


class _Worker:
    """One process: environment and policy of the task that it is at.

    A world may take a hundred megabytes, so that one for each of fifty tasks is too much.
    """

    def __init__(self, settings: CollectSettings) -> None:
        self.settings, self.domain = settings, settings.domain
        self._task = self._known = ''
        self._environment: Checked | None = None
        self._gato: Any = None
        self.source: Source = SOURCES.get(settings.actor, 'expert')
        self.faults: Counter[str] = Counter()  # of each task
        self.provenance: dict[str, object] = {}
        if settings.policy is not None:
            import torch

            from gato_ros.policy.checkpoint import checkpoint_hash, load_checkpoint
            torch.set_num_threads(1)
            self.source = 'policy'
            self._checkpoint = load_checkpoint(here(settings.policy))
            self.provenance = {'policy': str(settings.policy),
                               'policy_hash': checkpoint_hash(here(settings.policy)),
                               'policy_share': settings.policy_share}

    def environment(self, task: str) -> Checked:
        if self._environment is None or self._task != task:
            self.leave()
            self._environment, self._task = Checked(self.domain.environment()), task
            self._environment.randomise = self.settings.randomise
            self._environment.disturbance = self.settings.disturbance
        return self._environment

    def leave(self) -> None:
        """Close the environment: the next episode gets a new one."""
        environment, self._environment = self._environment, None
        if environment is not None:
            environment.close()

    def policy(self, task: str) -> Any:
        """Return the GatoPolicy for a task; None where no policy acts."""
        if self.settings.policy is None:
            return None
        name = self._checkpoint.config.name_of(self.domain.source(task),
                                               self.domain.specification(task))
        if self._known != name:
            from gato_ros.policy.policy import GatoPolicy
            self._gato = (self._gato.beside(name) if self._gato is not None
                          else GatoPolicy(self._checkpoint, name))
            self._known = name
        return self._gato

    def demonstrator(self, environment: Environment, rng: np.random.Generator) -> Demonstrator:
        if self.settings.actor == RANDOM:
            return RandomDemonstrator(environment.spec, rng)
        return self.domain.demonstrator(environment, self.settings.actor, rng)

    def collect(self, seed: int) -> tuple[int, bool]:
        settings, domain = self.settings, self.domain
        rng = np.random.default_rng((seed, 1))
        task = settings.find(seed)[1]
        environment = self.environment(task)
        deviation = float(rng.uniform(0, settings.noise))
        environment.delay_s = float(rng.uniform(0, settings.delay_s))
        observation, writer = environment.reset(task, seed), EpisodeWriter()
        disturbance = Disturbance(rng, deviation, environment.spec, domain)
        demonstrator = self.demonstrator(environment, rng)
        policy = self.policy(task)
        if policy is not None:
            policy.reset(environment.sentence, seed, literal=True)
        sent: Values | None = None
        turn, policy_acts = 0, False
        while not environment.ended:
            label = demonstrator.act(observation)
            environment.check(label)
            if policy is not None and turn == 0:
                turn = int(rng.integers(10, 41))
                policy_acts = bool(rng.random() < settings.policy_share)
            turn -= 1
            # The policy answers even when the expert acts: its context must not have gaps.
            answer = None if policy is None else policy.act(observation, sent).values
            sent = disturbance.apply(answer if answer is not None and policy_acts else label)
            writer.add(observation, label, sent, environment.targets())
            observation = environment.step(sent)
        scores = scores_of(domain, task)
        normalised = scores.normalised(environment.score) if scores else None
        writer.save(_file(settings, seed), EpisodeInfo(
            robot=domain.robot.name if domain.robot else '', spec_hash=environment.spec.hash,
            task=task, sentence=environment.sentence, seed=seed, source=self.source,
            success=environment.success, noise=deviation, randomised=settings.randomise,
            version=gato_ros.__version__, domain=domain.name, specification=environment.spec,
            score=environment.score, normalised=normalised,
            extra={**({'delay_s': environment.delay_s} if domain.robot else {}),
                   **({'disturbance': settings.disturbance} if settings.disturbance else {}),
                   **self.provenance}))
        return seed, domain.usable(environment.success, normalised)


_worker: _Worker


def _start_worker(settings: CollectSettings) -> None:
    global _worker
    with contextlib.suppress(OSError):
        os.nice(5)  # collecting never starves what a person is doing
    _worker = _Worker(settings)


def _collect_some(seeds: Sequence[int]) -> list[tuple[int, bool]]:
    return [_collect_one(seed) for seed in seeds]


def _try_some(seeds: Sequence[int]) -> list[tuple[int, bool] | _Broken]:
    return [_try(seed) for seed in seeds]


def _collect_one(seed: int) -> tuple[int, bool]:
    try:
        with time_limit(_worker.settings.longest_s):
            return _worker.collect(seed)
    except Overdue as error:
        raise DomainError(f'{_worker.settings.find(seed)[1]}, seed {seed}: {error}') from error


def _try(seed: int) -> tuple[int, bool] | _Broken:
    task = _worker.settings.find(seed)[1]
    if _worker.faults[task] >= PATIENCE:
        return _Broken(task, f'it broke {PATIENCE} times')
    try:
        return _collect_one(seed)
    except Exception as error:
        sentence = fault_of(error)
        if sentence is None:
            raise
        _worker.faults[task] += 1
        _worker.leave()
        return _Broken(task, f'seed {seed}: {sentence}')


def _file(settings: CollectSettings, seed: int) -> Path:
    return here(settings.out) / f'{seed:08d}{SUFFIX}'
