"""What a policy makes of tasks that need memory, beside itself without any.

    gato-ros evaluate --suite memory --checkpoint runs/history/checkpoint
"""

from __future__ import annotations

from collections.abc import Sequence

from gato_ros.domains.registry import DEFAULT, load_domain
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.statistics import Rate
from gato_ros.evaluation.suite import EvaluateSettings

TASKS = ('stacking', 'minigrid')  # the domains that have some


def tasks() -> tuple[str, ...]:
    """Return every task that needs memory; those of our arm by their bare names."""
    found = []
    for name in TASKS:
        head = '' if name == DEFAULT else f'{name}/'
        found += [f'{head}{task}' for task in load_domain(name).memory]
    return tuple(found)


def as_table(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> str:
    """Return a table in Markdown: a task a row, an actor a column, and what chance is at most."""
    lines = [('task', 'chance', *settings.actors), ('---',) * (2 + len(settings.actors))]
    for task in settings.tasks:
        domain, name = settings.find(task)
        rates = []
        for actor in settings.actors:
            mine = [o for o in outcomes if (o.task, o.actor) == (task, actor)]
            rates.append(str(Rate(sum(o.success is True for o in mine), len(mine))))
        chance = domain.task(name).chance
        lines.append((task, '-' if chance is None else f'{100 * chance:.1f} %', *rates))
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)
