"""The score board for people: tables, a picture as the paper's figure 5, what others published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.evaluation.board import (
    ALL,
    SHARES,
    Standing,
    TaskRow,
    counts_above,
    mean_of_domains,
    standings,
)
from gato_ros.evaluation.contact_sheet import draw_sheet
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.suite import EvaluateSettings

PICTURE = 'board.png'
WIDTH = 220  # characters of a table's line

# What others say of themselves; nothing of it was run here. Share of the expert -> tasks above it.
#   JAT: huggingface.co/blog/jat and the model card, 10 episodes a task; its one figure is the mean
#   of its four domains. Paper: Reed et al. 2022, section 4.1, 50 episodes a task.
PUBLISHED: tuple[dict[str, Any], ...] = (
    {'who': 'JAT 2024', 'domain': 'Atari', 'tasks': 57, 'iqm': 0.141},
    {'who': 'JAT 2024', 'domain': 'BabyAI', 'tasks': 39, 'iqm': 0.99},
    {'who': 'JAT 2024', 'domain': 'Meta-World', 'tasks': 50, 'iqm': 0.655},
    {'who': 'JAT 2024', 'domain': 'MuJoCo', 'tasks': 11, 'iqm': 0.848},
    {'who': 'JAT 2024', 'domain': ALL, 'tasks': 157, 'iqm': 0.658},
    {'who': 'Gato 2022', 'domain': 'Meta-World', 'tasks': 45, 'above': {0.5: '44', 0.9: '3'}},
    {'who': 'Gato 2022', 'domain': 'DM Control', 'tasks': 30, 'above': {0.5: '21'}},
    {'who': 'Gato 2022', 'domain': ALL, 'tasks': 604, 'above': {0.5: 'over 450'}},
)


def show_board(settings: EvaluateSettings, rows: Sequence[TaskRow]) -> None:
    """Print every task, then the board, as Markdown."""
    _print(('domain', 'task', 'n', 'score', 'random', 'expert', 'human, published', 'normalised',
            'success', '95 % interval'), [
        (row.domain, row.task + ' (held out)' * row.held_out, str(len(row.normalised)),
         f'{row.score:.4g}', f'{row.ends.random.mean:.4g}', f'{row.ends.expert.mean:.4g}',
         '-' if row.human is None else f'{row.human:g}', _percent(row.share),
         _percent(row.success.value) if row.success else '-',
         ' to '.join(f'{100 * end:.1f}' for end in row.success.interval) if row.success else '-')
        for row in rows])
    found = standings(rows)
    _print(('domain', 'tasks', *(f'above {100 * share:g} %' for share in SHARES), 'mean',
            'interquartile mean', '95 % interval', 'success'),
           [_line(standing) for standing in found] + [_published(line) for line in PUBLISHED])
    first, last = settings.seeds[0], settings.seeds[-1]
    print(f'{settings.episodes} episodes a task, {settings.split} seeds {first} to {last}. A '
          'score is normalised to 0 for chance and 100 % for the expert (config/scores.yaml), and '
          'not clipped. Above: tasks whose mean is there. Mean: of the tasks. Interquartile '
          'mean: of the middle half of all episodes, with a bootstrap within the tasks, as JAT '
          'has it by rliable. Success: mean of the tasks that can succeed, in brackets how many. '
          "JAT's and Gato's lines are as published, with their own tasks, experts and seeds; "
          "they were not run here. People's scores are of whole games, ours of as many timesteps "
          'as an episode has.')
    if any(not standing.held_out for standing in found):
        print(f'Mean of the domains: {_percent(mean_of_domains(found))} (interquartile means; '
              "JAT's 65.8 % is this)")


def draw_files(settings: EvaluateSettings, rows: Sequence[TaskRow], outcomes: Sequence[Outcome]
               ) -> list[Path]:
    """Draw the picture, and a contact sheet of failures for each domain; return the files."""
    by_domain: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_domain.setdefault(settings.find(outcome.task)[0].name, []).append(outcome)
    sheets = [draw_sheet(settings.out, found, f'failures-{name}.png')
              for name, found in by_domain.items()]
    return [draw_board(settings.out / PICTURE, rows), *(sheet for sheet in sheets if sheet)]


def draw_board(path: Path, rows: Sequence[TaskRow]) -> Path:
    """Draw how many tasks, by domain, reach each share of the expert's score."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    shares = np.linspace(0, 1, 101)
    counts = counts_above(rows, shares.tolist())
    figure = Figure(figsize=(8, 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.stackplot(100 * shares, list(counts.values()), labels=list(counts),
                   colors=[f'C{number}' for number in range(len(counts))])
    axes.set_xlim(0, 100)
    axes.set_ylim(0, None)
    axes.set_xlabel("share of the expert's score in %")
    axes.set_ylabel('tasks that reach it')
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc='center left', bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)
    return path


def _line(found: Standing) -> tuple[str, ...]:
    low, high = found.interval
    return (found.title, str(found.tasks), *(str(found.above[share]) for share in SHARES),
            _percent(found.mean), _percent(found.iqm), f'{100 * low:.1f} to {100 * high:.1f}',
            '-' if found.success is None else f'{_percent(found.success)} ({found.judged})')


def _published(line: dict[str, Any]) -> tuple[str, ...]:
    above = line.get('above', {})
    return (f'{line["who"]}, published: {line["domain"]}', str(line['tasks']),
            *(above.get(share, '-') for share in SHARES), '-',
            _percent(line['iqm']) if 'iqm' in line else '-', '-', '-')


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %'


def _print(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table
    table = Table(box=MARKDOWN)
    for title in titles:
        table.add_column(title, no_wrap=True)
    for line in lines:
        table.add_row(*line)
    Console(width=WIDTH).print(table)
