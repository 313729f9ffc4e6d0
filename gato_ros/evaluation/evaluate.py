"""Seeded rollouts in the simulator: rates with n, Wilson's interval and their controls.

    gato-ros evaluate --checkpoint runs/stack/checkpoint --task stack_wide --episodes 100

Test seeds are 0 to 9,999, validation seeds 10,000 to 19,999; training seeds begin at 100,000.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.evaluation.actors import CONTROLS, Actor, make_actor
from gato_ros.evaluation.statistics import Rate
from gato_ros.policy.checkpoint import SHIPPED
from gato_ros.safety import SafetyGate
from gato_ros.sim import StackingEnv, load_task
from gato_ros.spec import load_robot

TEST_SEEDS, VALIDATION_SEEDS = range(0, 10_000), range(10_000, 20_000)


@dataclass(frozen=True)
class EvaluateSettings:
    """What to roll out, and with whom."""

    checkpoint: Path = SHIPPED
    task: str = 'stack_wide'
    episodes: int = 100
    split: str = 'test'
    robot: str = 'panda_sim'
    randomise: bool = False
    controls: tuple[str, ...] = ('expert', 'random')
    temperature: float | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if self.split not in ('test', 'validation'):
            raise ConfigError(f'split is {self.split!r}, expected test or validation')
        if not 1 <= self.episodes <= len(TEST_SEEDS):
            raise ConfigError(f'episodes is {self.episodes}, expected 1 to {len(TEST_SEEDS)}')
        for name in self.controls:
            if name not in CONTROLS:
                raise ConfigError(f'control {name!r} is not known: {", ".join(CONTROLS)}')

    @property
    def seeds(self) -> Sequence[int]:
        seeds = TEST_SEEDS if self.split == 'test' else VALIDATION_SEEDS
        return seeds[:self.episodes]


@dataclass(frozen=True)
class Outcome:
    """How one episode ended; ``failure`` is empty on success."""

    actor: str
    seed: int
    success: bool
    steps: int
    failure: str


def rollout(env: StackingEnv, actor: Actor, name: str, seed: int) -> Outcome:
    """Run one episode; every torque passes the same gate as on the robot."""
    gate, period = SafetyGate(env.robot), 1.0 / env.robot.rate_hz
    observation = env.reset(seed)
    actor.reset(env, seed)
    sent: np.ndarray | None = None
    steps = 0
    while not env.success and env.time_s < env.time_limit_s:
        sent = gate.check(actor.act(observation, sent), period).effort
        observation = env.step(sent)
        steps += 1
    return Outcome(name, seed, env.success, steps, env.failure)


def evaluate(settings: EvaluateSettings) -> Iterator[Outcome]:
    """Yield the outcomes of the policy and of the controls as episodes end."""
    load_task(settings.task)
    jobs = [(name, seed) for name in ('policy', *settings.controls) for seed in settings.seeds]
    context = multiprocessing.get_context('spawn')
    workers = settings.workers or os.cpu_count() or 1
    with context.Pool(workers, _start_worker, (settings,)) as pool:
        yield from pool.imap_unordered(_run, jobs)


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one row per actor: rate, n, interval, mean steps of successes, failures by kind."""
    rows = []
    for name in dict.fromkeys(sorted((o.actor for o in outcomes), key=_actor_order)):
        mine = [o for o in outcomes if o.actor == name]
        won = [o for o in mine if o.success]
        rate = Rate(len(won), len(mine))
        rows.append({'actor': name, 'success': rate.value, 'n': rate.n,
                     'interval': list(rate.interval),
                     'steps': float(np.mean([o.steps for o in won])) if won else None,
                     'failures': dict(Counter(o.failure for o in mine if not o.success))})
    return rows


def report(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that ``--json`` writes."""
    return {'task': settings.task, 'split': settings.split, 'randomise': settings.randomise,
            'checkpoint': settings.checkpoint.name, 'seeds': list(settings.seeds),
            'summary': summarise(outcomes),
            'episodes': [asdict(o) for o in sorted(outcomes, key=lambda o: (o.actor, o.seed))]}


def show(outcomes: Sequence[Outcome], task: str) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table
    table = Table(title=task)
    for title in ('actor', 'success', 'n', '95 % interval', 'steps', 'failures'):
        table.add_column(title)
    for row in summarise(outcomes):
        low, high = row['interval']
        table.add_row(row['actor'], f'{100 * row["success"]:.1f} %', str(row['n']),
                      f'{100 * low:.1f} to {100 * high:.1f}',
                      '-' if row['steps'] is None else f'{row["steps"]:.0f}',
                      ', '.join(f'{kind} {count}' for kind, count in row['failures'].items()))
    Console().print(table)


def _actor_order(name: str) -> int:
    return ('policy', *CONTROLS).index(name)


class _Worker:
    def __init__(self, settings: EvaluateSettings) -> None:
        import torch
        torch.set_num_threads(1)  # one process per core does better than threads that fight
        self._settings = settings
        self._env = StackingEnv(load_robot(settings.robot), load_task(settings.task),
                                randomise=settings.randomise)
        self._actors: dict[str, Actor] = {}

    def run(self, name: str, seed: int) -> Outcome:
        if name not in self._actors:
            self._actors[name] = make_actor(name, self._env, self._settings.checkpoint,
                                            self._settings.temperature)
        return rollout(self._env, self._actors[name], name, seed)


_worker: _Worker


def _start_worker(settings: EvaluateSettings) -> None:
    global _worker
    _worker = _Worker(settings)


def _run(job: tuple[str, int]) -> Outcome:
    return _worker.run(*job)
