"""What a policy makes of each disturbance: one table, one plot.

    gato-ros evaluate --disturb all --task stack_wide
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gato_ros.domains.registry import find_task
from gato_ros.evaluation.report import summarise
from gato_ros.evaluation.rollout import NOMINAL, Outcome
from gato_ros.evaluation.statistics import Rate
from gato_ros.evaluation.suite import EvaluateSettings

ALL = 'all'
PLOT = 'disturbed.png'
Row = tuple[str, str, str, str, Rate, str]  # task, actor, name, in words, rate, failures


def parse_disturbances(names: Sequence[str], tasks: Sequence[str]) -> tuple[str, ...]:
    """Return the conditions of an evaluation: the world as it is, then the disturbances.

    names  of disturbances of the tasks' domains, or all: every one that they share
    """
    known = [find_task(task)[0].disturbances for task in tasks]
    every = [name for name in known[0] if all(name in other for other in known)]
    found = [n for name in names for n in (every if name == ALL else (name,))]
    return tuple(dict.fromkeys((NOMINAL, *found)))


def rows_of(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> list[Row]:
    """Return a row for each task, actor and condition, in the order of the conditions."""
    place = {name: i for i, name in enumerate(settings.randomisations)}
    rows = []
    for row in summarise(settings, outcomes):
        words = settings.find(row['task'])[0].disturbances.get(row['randomisation'], '')
        failures = ', '.join(f'{kind} {count}' for kind, count in row['failures'].items())
        rows.append((row['task'], row['actor'], row['randomisation'], words,
                     Rate(round((row['success'] or 0.0) * row['n']), row['n']), failures))
    return sorted(rows, key=lambda row: (
        settings.tasks.index(row[0]), settings.actors.index(row[1]), place[row[2]]))


def as_table(rows: Sequence[Row]) -> str:
    """Return a table in Markdown."""
    lines = [('task', 'actor', 'disturbance', 'success', 'failures'), ('---',) * 5]
    lines += [(task, actor, f'{name}: {words}' if words else name, str(rate), failures)
              for task, actor, name, words, rate, failures in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def draw_plot(path: Path, rows: Sequence[Row]) -> Path:
    """Draw each rate with its interval, one line for each disturbance."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    names = list(dict.fromkeys((name, words) for _, _, name, words, _, _ in rows))
    series = list(dict.fromkeys((task, actor) for task, actor, *_ in rows))
    figure = Figure(figsize=(8, 1.5 + 0.24 * len(names)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for shift, (task, actor) in enumerate(series):
        mine = [row for row in rows if row[:2] == (task, actor)]
        y = [names.index((row[2], row[3])) + 0.15 * shift for row in mine]
        rates = [row[4] for row in mine]
        spans = [[100 * abs(end - rate.value) for rate, end in zip(
            rates, (r.interval[side] for r in rates), strict=True)] for side in (0, 1)]
        axes.errorbar([100 * rate.value for rate in rates], y, xerr=spans, fmt='o', capsize=2,
                      label=f'{task}, {actor}')
    axes.set_yticks(range(len(names)), [words or name for name, words in names], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(-3, 103)
    axes.set_xlabel('success in % (95 % interval)')
    axes.grid(axis='x', alpha=0.3)
    axes.legend(loc='lower left', fontsize=8)
    figure.savefig(path, dpi=120)
    return path
