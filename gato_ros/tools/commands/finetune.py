"""``gato-ros train --demos``: recordings in, a checkpoint and a table of before and after out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from gato_ros.domains.domain import Domain
from gato_ros.domains.registry import DEFAULT, domain_of, load_domain
from gato_ros.evaluation.before_after import (
    Progress,
    as_rows,
    as_table,
    before_after,
    known_task,
)
from gato_ros.policy.checkpoint import load_checkpoint
from gato_ros.robot import load_robot
from gato_ros.training.finetuning.finetune import prepare
from gato_ros.training.settings import load_settings
from gato_ros.training.train import train

REPORT = 'report.json'


def finetune(demos: Path, out: Path, start_from: Path, settings: str, changes: Mapping[str, Any],
             device: str, episodes: int, tasks: tuple[str, ...],
             progress: Progress, as_sent: bool = False, keep: bool = True) -> dict[str, Any]:
    """Fine-tune, compare, and return the report, which ``out``/report.json holds too.

    episodes  validation seeds of each task; 0: no comparison
    tasks     to compare on beside those that are taught; (): those the checkpoint says it knew
    as_sent, keep  see training/finetuning/finetune.py
    """
    given = load_settings(settings, changes).robot
    robot, changes = load_robot(given), {**changes, 'robot': given}
    prepared = prepare(demos, out, robot, start_from, settings, changes, as_sent, keep, typer.echo)
    for bag, why in prepared.refused.items():
        typer.echo(f'left out: {bag.name}: {why}')
    chosen, infos = prepared.settings, prepared.episodes.values()
    typer.echo(f'{len(infos)} demonstrations, {sum(info.length for info in infos)} timesteps, '
               f'{chosen.steps} steps, ' + (f'changes of rank {chosen.low_rank}' if chosen.low_rank
                                            else 'all weights')
               + f', {len(prepared.rehearsed)} sentences rehearsed')
    began = time.monotonic()
    after = train(chosen, out, device, start_from)
    report: dict[str, Any] = {
        'checkpoint': str(after), 'start_from': str(start_from), 'demonstrations': len(infos),
        'timesteps': sum(info.length for info in infos), 'steps': chosen.steps,
        'seconds': round(time.monotonic() - began, 1),
        'rehearsed': list(prepared.rehearsed),
        'left_out': {bag.name: why for bag, why in prepared.refused.items()}, 'tasks': []}
    domain, body = load_domain(DEFAULT), given if robot.simulation else robot.name
    simulated = domain_of(body) == DEFAULT
    taught = sorted({name for info in infos if simulated
                     and (name := known_task(domain, info.task, info.sentence))})
    if episodes and not taught:
        typer.echo('no comparison: the simulator knows none of the demonstrated tasks')
    elif episodes:
        typer.echo(f'before and after, {episodes} validation seeds of each task')
        changed = before_after(start_from, after, taught, tasks or _known(domain, start_from),
                               episodes, out, body, progress=progress)
        report['tasks'] = as_rows(changed)
        typer.echo(as_table(changed))
    (out / REPORT).write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    typer.echo(f'written: {after}, {out / REPORT}')
    return report


def _known(domain: Domain, checkpoint: Path) -> tuple[str, ...]:
    """Return the simulator's tasks that a checkpoint was trained on, as far as it says."""
    config = load_checkpoint(checkpoint).config
    said = [task for known in config.domains.values() for task in known.tasks]
    said = said or config.provenance.get('settings', {}).get('validate_tasks', ())
    return tuple(sorted({name for words in said if (name := known_task(domain, words, words))}))
