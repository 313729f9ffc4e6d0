"""What an evaluation found: rows with rates and intervals, a table, JSON, a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.domains.stacking.judge import FAILURES
from gato_ros.evaluation.cast import ACTORS
from gato_ros.evaluation.contact_sheet import draw_sheet
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.statistics import Rate
from gato_ros.evaluation.suite import QUOTABLE, EvaluateSettings

PLOT = 'rates.png'


def summarise(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return a row per task, looks and actor, in the order of the jobs.

    A row holds the rate, n, its interval, the mean steps of successes and failures by kind.
    """
    rows = []
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.task, outcome.looks, outcome.actor), []).append(outcome)
    for (task, looks, actor), mine in groups.items():
        won = [o for o in mine if o.success]
        lost = Counter(o.failure for o in mine if not o.success)
        rate = Rate(len(won), len(mine))
        rows.append({'task': task, 'looks': looks, 'actor': actor, 'success': rate.value,
                     'n': rate.n, 'interval': list(rate.interval),
                     'steps': float(np.mean([o.steps for o in won])) if won else None,
                     'failures': {kind: lost[kind] for kind in FAILURES if lost[kind]}})
    return rows


def report(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that ``--json`` writes; the same outcomes give the same report."""
    ordered = _in_order(settings, outcomes)
    return {'checkpoint': settings.checkpoint.name, 'split': settings.split,
            'seeds': [settings.seeds[0], settings.seeds[-1]], 'robot': settings.robot,
            'temperature': settings.temperature,
            'summary': summarise(ordered), 'episodes': [asdict(o) for o in ordered]}


def show(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> None:
    """Print the table as Markdown; draw the plot and the contact sheet into the folder."""
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table
    ordered = _in_order(settings, outcomes)
    rows = summarise(ordered)
    table = Table(box=MARKDOWN)
    for title in ('task', 'looks', 'actor', 'success', 'n', '95 % interval', 'steps', 'failures'):
        table.add_column(title, no_wrap=True)
    for row in rows:
        low, high = row['interval']
        table.add_row(row['task'], row['looks'], row['actor'], f'{100 * row["success"]:.1f} %',
                      str(row['n']), f'{100 * low:.1f} to {100 * high:.1f}',
                      '-' if row['steps'] is None else f'{row["steps"]:.0f}',
                      ', '.join(f'{kind} {count}' for kind, count in row['failures'].items()))
    Console(width=200).print(table)
    if settings.episodes < QUOTABLE:
        print(f'n is {settings.episodes}: a first look; a rate to quote needs {QUOTABLE}')
    files = [draw_plot(settings.out / PLOT, rows), draw_sheet(settings.out, ordered)]
    print('written:', ', '.join(str(file) for file in files if file is not None))


def draw_plot(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Draw each row's rate with its interval, grouped by task and looks."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    groups = list(dict.fromkeys((row['task'], row['looks']) for row in rows))
    actors = [actor for actor in ACTORS if any(row['actor'] == actor for row in rows)]
    figure = Figure(figsize=(3 + 1.4 * len(groups), 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, actor in enumerate(actors):
        mine = [row for row in rows if row['actor'] == actor]
        x = [groups.index((row['task'], row['looks'])) + (place + 0.5) / len(actors) * 0.8 - 0.4
             for row in mine]
        y = np.array([row['success'] for row in mine])
        ends = np.array([row['interval'] for row in mine])
        axes.errorbar(x, 100 * y, 100 * np.abs(ends.T - y), fmt='o', capsize=3, label=actor,
                      color=f'C{ACTORS.index(actor)}')
    axes.set_xticks(range(len(groups)), [f'{task}\n{looks}' for task, looks in groups])
    axes.set_ylabel('success in %, with the 95 % interval')
    axes.set_ylim(-3, 103)
    axes.grid(axis='y', alpha=0.3)
    axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)
    return path


def _in_order(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return outcomes in the order of the jobs, however they were finished."""
    place = {(j.task, j.looks, j.actor, j.seed): i for i, j in enumerate(settings.jobs)}
    return sorted(outcomes, key=lambda o: place[o.task, o.looks, o.actor, o.seed])
