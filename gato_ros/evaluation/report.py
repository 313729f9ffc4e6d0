"""What an evaluation found: rows with rates, scores and intervals, a table, JSON, a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gato_ros.domains.domain import Score, Scores
from gato_ros.domains.scores import other_version, scores_of
from gato_ros.evaluation.cast import ACTORS
from gato_ros.evaluation.contact_sheet import draw_sheet
from gato_ros.evaluation.rollout import Outcome
from gato_ros.evaluation.statistics import Rate
from gato_ros.evaluation.suite import QUOTABLE, EvaluateSettings

PLOT = 'rates.png'


def summarise(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return a row per task, randomisation and actor, in the order of the jobs.

    A row holds the success rate, n and its interval, the mean score and its deviation, the
    normalised score, the mean steps of successes (of all where there are none) and failures by
    kind. Rate and interval are None where a domain knows scores alone; the normalised score is
    None where neither the published file nor this run says what random and expert reach.
    """
    rows = []
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.task, outcome.randomisation, outcome.actor), []).append(outcome)
    for (task, randomisation, actor), mine in groups.items():
        judged = all(o.success is not None for o in mine)
        won = [o for o in mine if o.success]
        lost = Counter(o.failure for o in mine if o.failure)
        rate = Rate(len(won), len(mine))
        score = score_of(mine)
        scores = scores_of(*settings.find(task)) or _own_scores(groups, task, randomisation)
        counted = won if judged else mine
        rows.append({'task': task, 'randomisation': randomisation, 'actor': actor,
                     'success': rate.value if judged else None, 'n': rate.n,
                     'interval': list(rate.interval) if judged else None,
                     'score': score.mean, 'deviation': score.deviation,
                     'normalised': scores.normalised(score.mean) if scores else None,
                     'steps': float(np.mean([o.steps for o in counted])) if counted else None,
                     'failures': dict(lost.most_common())})
    return rows


def score_of(outcomes: Sequence[Outcome]) -> Score:
    """Return mean and standard deviation of some episodes' scores."""
    found = np.array([outcome.score for outcome in outcomes])
    return Score(float(found.mean()), float(found.std()), len(found))


def _own_scores(groups: dict[tuple[str, str, str], list[Outcome]], task: str,
                randomisation: str) -> Scores | None:
    """Return the two ends of the score as this run's own controls reached them."""
    ends = [groups.get((task, randomisation, actor)) for actor in ('random', 'expert')]
    if not all(ends):
        return None
    chance, expert = (score_of(end) for end in ends if end)
    return Scores(chance, expert) if expert.mean > chance.mean else None


def report(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return everything that ``--json`` writes; the same outcomes give the same report."""
    ordered = _in_order(settings, outcomes)
    return {'checkpoint': settings.checkpoint.name, 'split': settings.split,
            'seeds': [settings.seeds[0], settings.seeds[-1]],
            'robot': settings.robot or None, 'temperature': settings.temperature,
            'warnings': warnings(settings), 'summary': summarise(settings, ordered),
            'episodes': [asdict(o) for o in ordered]}


def warnings(settings: EvaluateSettings) -> list[str]:
    """Return a sentence for each domain whose published scores are another version's."""
    found = (other_version(*settings.find(task)) for task in settings.tasks)
    return list(dict.fromkeys(filter(None, found)))


def show(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> None:
    """Print the table as Markdown; draw the plot and the contact sheet into the folder."""
    from rich.box import MARKDOWN
    from rich.console import Console
    from rich.table import Table
    ordered = _in_order(settings, outcomes)
    rows = summarise(settings, ordered)
    table = Table(box=MARKDOWN)
    for title in ('task', 'randomisation', 'actor', 'success', 'n', '95 % interval', 'score',
                  'normalised', 'steps', 'failures'):
        table.add_column(title, no_wrap=True)
    for row in rows:
        ends = row['interval'] and [f'{100 * end:.1f}' for end in row['interval']]
        table.add_row(row['task'], row['randomisation'], row['actor'],
                      '-' if row['success'] is None else f'{100 * row["success"]:.1f} %',
                      str(row['n']),
                      ' to '.join(ends) if ends else '-',
                      f'{row["score"]:.4g}',
                      '-' if row['normalised'] is None else f'{100 * row["normalised"]:.1f} %',
                      '-' if row['steps'] is None else f'{row["steps"]:.0f}',
                      ', '.join(f'{kind} {count}' for kind, count in row['failures'].items()))
    Console(width=220).print(table)
    for sentence in warnings(settings):
        print('warning:', sentence)
    if settings.episodes < QUOTABLE:
        print(f'n is {settings.episodes}: a first look; a rate to quote needs {QUOTABLE}')
    files = [draw_plot(settings.out / PLOT, rows), draw_sheet(settings.out, ordered)]
    print('written:', ', '.join(str(file) for file in files if file is not None))


def draw_plot(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Draw each row's rate with its interval, or its normalised score, by task and condition."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    groups = list(dict.fromkeys((row['task'], row['randomisation']) for row in rows))
    actors = [actor for actor in ACTORS if any(row['actor'] == actor for row in rows)]
    figure = Figure(figsize=(3 + 1.4 * len(groups), 4.5), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, actor in enumerate(actors):
        mine = [row for row in rows if row['actor'] == actor]
        x = [groups.index((row['task'], row['randomisation']))
             + (place + 0.5) / len(actors) * 0.8 - 0.4 for row in mine]
        y = np.array([_height(row) for row in mine], float)
        ends = np.array([row['interval'] or (height, height)
                         for row, height in zip(mine, y, strict=True)])
        axes.errorbar(x, 100 * y, 100 * np.abs(ends.T - y), fmt='o', capsize=3, label=actor,
                      color=f'C{ACTORS.index(actor)}')
    axes.set_xticks(range(len(groups)), [
        f'{"/".join(task.split("/")[-2:])}\n{word}' for task, word in groups])
    axes.set_ylabel('success (95 % interval) or normalised score in %')
    axes.grid(axis='y', alpha=0.3)
    axes.legend(loc='center left', bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)
    return path


def _height(row: dict[str, Any]) -> float:
    found = row['normalised'] if row['success'] is None else row['success']
    return float('nan') if found is None else found


def _in_order(settings: EvaluateSettings, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return outcomes in the order of the jobs, however they were finished."""
    place = {(j.task, j.randomisation, j.actor, j.seed): i for i, j in enumerate(settings.jobs)}
    return sorted(outcomes, key=lambda o: place[o.task, o.randomisation, o.actor, o.seed])
