"""The score board: every task that a checkpoint knows, and what share of it is done, by domain.

    gato-ros evaluate --board --checkpoint runs/all/checkpoint --out out/board

A task's score is normalised by the published scores: 0 for the random actor's mean, 1 for the
expert's. Nothing is clipped. A task is at a share of the expert where the mean of its episodes
reaches it; the interquartile mean is that of all single episodes of some tasks (statistics.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.domains.domain import DomainError, Scores
from gato_ros.domains.registry import domain_names, find_task, find_tasks
from gato_ros.domains.scores import other_version, scores_of
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.statistics import (
    Rate,
    interquartile_interval,
    interquartile_mean,
)
from gato_ros.evaluation.suite import EvaluateSettings, EvaluationError, name_in
from gato_ros.policy.checkpoint import SHIPPED, CheckpointConfig, CheckpointError, load_checkpoint

EPISODES = 50  # of each task, as in the paper
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)  # of the expert's score
PICTURED = 4  # episodes of a task that may leave pictures of their failure
EXACT = 1e-9  # so much a mean may lack of a share by rounding
ALL, HELD_OUT = 'all', 'held out: '  # titles beside the domains' names
UNKNOWN, UNSCORED = 'not known to the checkpoint', 'no published scores'


@dataclass(frozen=True)
class Plan:
    """What is rolled out, and what is not.

    tasks    DOMAIN/TASK
    left_out  a domain, or DOMAIN/TASK -> why it is on no board
    warnings  one sentence each
    """

    tasks: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TaskRow:
    """How one task went.

    held_out    whether it is one that may never be trained on
    normalised  float64[n], of its episodes in the order of their seeds
    success     None where the domain knows scores alone
    ends        the published scores by which it is normalised
    human       a person's published score; None: nobody published one
    """

    domain: str
    task: str
    held_out: bool
    score: float
    normalised: np.ndarray
    success: Rate | None
    ends: Scores
    human: float | None = None

    @property
    def share(self) -> float:
        """The mean of the normalised scores."""
        return float(self.normalised.mean())


@dataclass(frozen=True)
class Standing:
    """What some tasks come to.

    above     SHARES -> how many tasks reach it
    mean      of the tasks' mean normalised scores
    iqm, interval  interquartile mean of all their episodes, and its 95 % interval
    success   mean of the rates of those that can succeed;  judged: how many can
    """

    title: str
    tasks: int
    above: dict[float, int]
    mean: float
    iqm: float
    interval: tuple[float, float]
    success: float | None
    judged: int

    @property
    def held_out(self) -> bool:
        return self.title.startswith(HELD_OUT)


def plan(config: CheckpointConfig, references: Sequence[str] = ()) -> Plan:
    """Return the tasks for a board: those of ``references``, else every installed domain's suite.

    Raises ConfigError for a reference that is unknown, DomainError for one that does not load.
    """
    tasks: list[str] = []
    warnings: list[str] = []
    left_out: dict[str, str] = {}
    met: set[str] = set()
    for reference in find_tasks(references) if references else _suites(left_out):
        domain, name = find_task(reference)
        try:
            met.add(name_in(config, domain, name))
            known = scores_of(domain, name)
        except (CheckpointError, ConfigError) as error:
            left_out[f'{domain.name}/{name}'] = (
                UNKNOWN if isinstance(error, CheckpointError) else str(error))
            continue
        if known is None:
            left_out[f'{domain.name}/{name}'] = UNSCORED
            continue
        tasks.append(reference)
        warnings.append(other_version(domain, name))
    if not references:
        left_out |= {name: 'the checkpoint knows it, but no domain that is installed here is it'
                     for name, known in config.domains.items()
                     if known.timestep.actions and name not in met}
    return Plan(tuple(tasks), left_out, tuple(dict.fromkeys(filter(None, warnings))))


def settings_of(planned: Plan, checkpoint: Path = SHIPPED, episodes: int = EPISODES,
                split: str = 'test', temperature: float | None = None,
                out: Path = Path('out/evaluate'), workers: int = 0, ray: str = ''
                ) -> EvaluateSettings:
    """Return what is rolled out for a plan; EvaluationError where that is nothing."""
    if not planned.tasks:
        raise EvaluationError(f'{checkpoint} knows no task that could be on a board, expected one '
                              'at least: ' + '; '.join(reasons(planned.left_out)))
    return EvaluateSettings(checkpoint, planned.tasks, actors=('policy',), episodes=episodes,
                            split=split, temperature=temperature, pictured=PICTURED, out=out,
                            workers=workers, ray=ray)


def read_plan(checkpoint: Path, references: Sequence[str] = ()) -> Plan:
    """Return the plan for a checkpoint's folder; CheckpointError when it is damaged."""
    return plan(load_checkpoint(checkpoint).config, references)


def task_rows(settings: EvaluateSettings, outcomes: Iterable[Outcome]) -> list[TaskRow]:
    """Return a row for every task all of whose episodes came to an end."""
    mine: dict[str, list[Outcome]] = {task: [] for task in settings.tasks}
    for outcome in sorted(outcomes, key=lambda o: o.seed):
        mine[outcome.task].append(outcome)
    rows = []
    for task, found in mine.items():
        domain, name = settings.find(task)
        scores = scores_of(domain, name)
        if len(found) < settings.episodes or scores is None:
            continue
        judged = all(outcome.success is not None for outcome in found)
        rows.append(TaskRow(
            domain.name, name, domain.task(name).held_out,
            float(np.mean([outcome.score for outcome in found])),
            np.array([scores.normalised(outcome.score) for outcome in found]),
            Rate(sum(bool(o.success) for o in found), len(found)) if judged else None,
            scores, domain.human(name)))
    return rows


def standings(rows: Sequence[TaskRow]) -> list[Standing]:
    """Return a line for each domain, for all tasks, and for the held-out ones, which no other has.

    Empty where there are no rows.
    """
    parts: dict[str, list[TaskRow]] = {}
    for row in rows:
        if not row.held_out:
            parts.setdefault(row.domain, []).append(row)
    if parts:
        parts[ALL] = [row for row in rows if not row.held_out]
    for row in rows:
        if row.held_out:
            parts.setdefault(HELD_OUT + row.domain, []).append(row)
    return [_standing(title, part) for title, part in parts.items()]


def counts_above(rows: Sequence[TaskRow], shares: Sequence[float]) -> dict[str, list[int]]:
    """Return how many tasks of each domain reach each share; held-out ones do not count."""
    seen = [row for row in rows if not row.held_out]
    return {name: [_above([row for row in seen if row.domain == name], share) for share in shares]
            for name in dict.fromkeys(row.domain for row in seen)}


def mean_of_domains(found: Sequence[Standing]) -> float:
    """Return the mean of the domains' interquartile means, as JAT's one figure is."""
    return float(np.mean([s.iqm for s in found if s.title != ALL and not s.held_out]))


def reasons(left_out: Mapping[str, str]) -> list[str]:
    """Return a sentence for each reason, with all that it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, why in left_out.items():
        by_reason.setdefault(why, []).append(name)
    return [f'{why}: {", ".join(names)}' for why, names in by_reason.items()]


def board(settings: EvaluateSettings, planned: Plan, rows: Sequence[TaskRow],
          broken: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that ``--json`` writes."""
    found = standings(rows)
    return {
        'checkpoint': settings.checkpoint.name, 'split': settings.split,
        'seeds': [settings.seeds[0], settings.seeds[-1]], 'episodes': settings.episodes,
        'temperature': settings.temperature,
        'domains': [{'title': s.title, 'tasks': s.tasks,
                     'above': {f'{share:g}': count for share, count in s.above.items()},
                     'mean': s.mean, 'iqm': s.iqm, 'interval': list(s.interval),
                     'success': s.success, 'judged': s.judged} for s in found],
        'mean_of_domains': mean_of_domains(found) if found else None,
        'tasks': [{'domain': row.domain, 'task': row.task, 'held_out': row.held_out,
                   'n': len(row.normalised), 'score': row.score, 'normalised': row.share,
                   'random': row.ends.random.mean, 'expert': row.ends.expert.mean,
                   'human': row.human,
                   'success': row.success.value if row.success else None,
                   'interval': list(row.success.interval) if row.success else None}
                  for row in rows],
        'left_out': planned.left_out, 'broken': dict(broken),
        'warnings': list(planned.warnings)}


def _suites(left_out: dict[str, str]) -> Iterator[str]:
    """Yield every task of every domain that loads; name the others."""
    for name in domain_names():
        try:
            yield from find_tasks((name,))
        except (DomainError, ConfigError) as error:
            left_out[name] = str(error)


def _standing(title: str, rows: Sequence[TaskRow]) -> Standing:
    scores = np.stack([row.normalised for row in rows])
    rates = [row.success.value for row in rows if row.success]
    return Standing(title, len(rows), {share: _above(rows, share) for share in SHARES},
                    float(scores.mean()), interquartile_mean(scores),
                    interquartile_interval(scores),
                    float(np.mean(rates)) if rates else None, len(rates))


def _above(rows: Sequence[TaskRow], share: float) -> int:
    return sum(row.share >= share - EXACT for row in rows)
