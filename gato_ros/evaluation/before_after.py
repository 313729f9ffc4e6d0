"""What a fine-tuning has taught and what was forgotten: the same seeds before and after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_ros.domains.domain import Domain
from gato_ros.domains.registry import find_task
from gato_ros.evaluation.evaluate import evaluate
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.statistics import Rate
from gato_ros.evaluation.suite import EvaluateSettings

Progress = Callable[[Iterator[Outcome], int], Iterable[Outcome]]


@dataclass(frozen=True)
class Change:
    """One task on validation seeds, in its sentence's words; ``taught`` by the demonstrations."""

    task: str
    sentence: str
    taught: bool
    before: Rate
    after: Rate


def known_task(domain: Domain, task: str, sentence: str) -> str:
    """Return the domain's name of what an episode shows, or '' when it knows none.

    task  such as stack_wide; a recording of teleoperation often has only its sentence
    """
    if task in domain.tasks:
        return task
    return next((name for name, found in reversed(list(domain.tasks.items()))
                 if found.sentence == sentence and not (found.alias_of or found.varied)), '')


def before_after(before: Path, after: Path, taught: Sequence[str], others: Sequence[str],
                 episodes: int, out: Path, robot: str, workers: int = 0,
                 progress: Progress = lambda outcomes, _: outcomes) -> list[Change]:
    """Roll out two checkpoints on the same validation seeds, each task once under its first name.

    out       finished episodes are kept there, so that an interrupted comparison goes on
    progress  passes outcomes on while they come

    Raises CheckpointError, EvaluationError or ConfigError.
    """
    tasks: dict[str, str] = {}  # what a name stands for -> name
    for name in (*taught, *others):
        domain, task = find_task(name, robot)
        tasks.setdefault(f'{domain.name}/{domain.full_name(task)}', name)
    rates: dict[str, list[Rate]] = {name: [] for name in tasks.values()}
    for checkpoint, folder in ((before, out / 'before'), (after, out / 'after')):
        settings = EvaluateSettings(
            checkpoint, tuple(rates), actors=('policy',), episodes=episodes, split='validation',
            robot=robot, out=folder, workers=workers)
        outcomes = list(progress(evaluate(settings), len(settings.jobs)))
        for name, found in rates.items():
            mine = [outcome.success is True for outcome in outcomes if outcome.task == name]
            found.append(Rate(sum(mine), len(mine)))
    return [Change(name, _sentence(name), name in taught, *found) for name, found in rates.items()]


def as_rows(changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return what ``--json`` writes: successes of n before and after, with their intervals."""
    return [{'task': change.task, 'sentence': change.sentence, 'taught': change.taught,
             **{when: {'successes': rate.successes, 'n': rate.n, 'success': rate.value,
                       'interval': list(rate.interval)}
                for when, rate in (('before', change.before), ('after', change.after))}}
            for change in changes]


def as_table(changes: Sequence[Change]) -> str:
    """Return a table in Markdown."""
    rows = [('task', '', 'before', 'after'), ('---',) * 4]
    rows += [(change.task, 'taught' if change.taught else 'known before',
              str(change.before), str(change.after)) for change in changes]
    return '\n'.join(f'| {" | ".join(row)} |' for row in rows)


def _sentence(reference: str) -> str:
    domain, task = find_task(reference)
    return domain.task(task).sentence
