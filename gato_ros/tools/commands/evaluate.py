"""The command ``evaluate``: success rates, beside controls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Checkpoint, Json, Out, Robot, Workers, progress, write_json


def evaluate(
        checkpoint: Checkpoint = None,
        task: Annotated[list[str], typer.Option(
            help='DOMAIN/TASK, a task of stacking, or a domain: all of its suite; repeat it.')]
        = ['stack_wide'],  # noqa: B006
        suite: Annotated[bool, typer.Option(
            '--suite', help='All six tasks of stacking instead: narrow to unseen shapes.')]
        = False,
        randomisation: Annotated[str, typer.Option(
            '--randomisation', '--looks', help='nominal, randomised or both.')] = 'nominal',
        actor: Annotated[list[str], typer.Option(
            help='policy, expert, still, random, replay, no_image or stale_image; repeat it. '
                 'Without it: all of them.')] = [],  # noqa: B006
        prompts: Annotated[bool, typer.Option(
            '--prompts', help='Instead the policy told, shown, not told, told and shown another '
                              'pair (policy, shown, untold, misled, misshown).')] = False,
        episodes: Annotated[int, typer.Option(min=1, help='Seeds of the split, for each.')] = 200,
        split: Annotated[str, typer.Option(help='test, or validation to choose by.')] = 'test',
        temperature: Annotated[float | None, typer.Option(
            min=0, help='Of the tokens; without it the checkpoint says.')] = None,
        robot: Robot = '',
        out: Out = Path('out/evaluate'),
        workers: Workers = 0,
        json_file: Json = None) -> None:
    """Roll out seeded episodes: rates with n and Wilson interval, beside controls; resumable.

    Finished episodes are kept in the folder, and the same command goes on with what is missing.
    """
    from gato_ros.domains.registry import DEFAULT, find_tasks
    from gato_ros.evaluation.cast import ABLATION
    from gato_ros.evaluation.evaluate import evaluate
    from gato_ros.evaluation.report import report, show
    from gato_ros.evaluation.suite import EvaluateSettings, controls, parse_randomisation
    from gato_ros.policy.checkpoint import SHIPPED
    tasks = tuple(find_tasks((DEFAULT,) if suite else task, robot))
    settings = EvaluateSettings(
        checkpoint or SHIPPED, tasks,
        parse_randomisation(randomisation),
        tuple(actor) or (ABLATION if prompts else controls(tasks, robot)), episodes, split, robot,
        temperature, out, workers)
    outcomes = list(progress(evaluate(settings), len(settings.jobs)))
    show(settings, outcomes)
    write_json(report(settings, outcomes), json_file)
