"""Measures the two ends of every task's normalised score: a random actor and the expert."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from gato_ros.config import ConfigError, read_yaml, to_dict
from gato_ros.domains.registry import find_task
from gato_ros.domains.scores import Published
from gato_ros.evaluation.evaluate import evaluate
from gato_ros.evaluation.report import score_of
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.suite import EvaluateSettings
from gato_ros.files import whole

ERRORS = 3.0  # standard errors by which an expert must be above chance
HEAD = ('# The two ends of the normalised score, as measured; written by:\n'
        '#   gato-ros domains score DOMAIN/TASK\n')


def measure(tasks: Sequence[str], episodes: int, out: Path, workers: int,
            progress: Callable[[Iterator[Outcome], int], Iterable[Outcome]]
            ) -> tuple[dict[str, Published], dict[str, str]]:
    """Return the scores by DOMAIN/TASK, and the tasks whose expert is no expert, with the reason.

    out  finished episodes are kept there
    """
    for task in tasks:
        domain = find_task(task)[0]
        if not domain.demonstrators:
            raise ConfigError(f'the domain {domain.name!r} has no expert, so {task!r} cannot be '
                              'scored; its scores may stand in its own file')
    settings = EvaluateSettings(tasks=tuple(tasks), actors=('random', 'expert'),
                                episodes=episodes, out=out, workers=workers)
    outcomes = list(progress(evaluate(settings), len(settings.jobs)))
    found, refused = {}, {}
    for task in tasks:
        domain, name = settings.find(task)
        chance, expert = (score_of([o for o in outcomes if (o.task, o.actor) == (task, actor)])
                          for actor in ('random', 'expert'))
        title = f'{domain.name}/{domain.full_name(name)}'
        error = ((chance.deviation**2 + expert.deviation**2) / episodes) ** 0.5
        if expert.mean - chance.mean <= max(ERRORS * error, 1e-9):
            refused[title] = (f'the expert reaches {expert.mean:.4g}, chance {chance.mean:.4g}: '
                              f'not {ERRORS:g} standard errors ({error:.4g}) apart')
            continue
        found[title] = Published(chance, expert, domain.version,
                                 (settings.seeds[0], settings.seeds[-1]))
    return found, refused


def publish(file: Path, found: dict[str, Published]) -> None:
    """Add scores to the published file; others that stand there stay."""
    lines: dict[str, Any] = read_yaml(file) if file.exists() else {}
    lines |= {name: to_dict(line) for name, line in found.items()}
    text = ''.join(yaml.safe_dump({name: lines[name]}, sort_keys=False, default_flow_style=None,
                                  width=110) for name in sorted(lines))
    with whole(file) as aside:
        aside.write_text(HEAD + text, encoding='utf-8')
