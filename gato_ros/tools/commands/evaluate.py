"""The command ``evaluate``: success rates, beside controls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.config import ConfigError
from gato_ros.tools.console import (
    Checkpoint,
    Json,
    Out,
    Ray,
    Robot,
    Workers,
    progress,
    say,
    warn,
    write_json,
)


def evaluate(
        checkpoint: Checkpoint = None,
        task: Annotated[list[str], typer.Option(
            help='DOMAIN/TASK, a task of stacking, or a domain: all of its suite; repeat it. '
                 'Without it stack_wide; on a board all that the checkpoint knows.')]
        = [],  # noqa: B006
        board: Annotated[bool, typer.Option(
            '--board', help='The policy in every task that it knows, by domain, as shares of the '
                            "expert's score.")]
        = False,
        suite: Annotated[str, typer.Option(
            help='stacking: its six tasks, narrow to unseen shapes; memory: what one timestep '
                 'does not show, and the same weights held to one timestep beside it.',
            show_default=False)] = '',
        disturb: Annotated[list[str], typer.Option(
            help='A disturbance of the world, untold, or all of them; beside the world as it is. '
                 'Repeat it.')] = [],  # noqa: B006
        randomisation: Annotated[str, typer.Option(
            '--randomisation', '--looks', help='nominal, randomised or both.')] = 'nominal',
        actor: Annotated[list[str], typer.Option(
            help='policy, expert, still, random, replay, no_image, stale_image, or worded: '
                 'the policy told in held-out wordings; repeat it. Without it: the first seven.')]
        = [],  # noqa: B006
        prompts: Annotated[bool, typer.Option(
            '--prompts', help='Instead the policy told, shown, not told, told and shown another '
                              'pair (policy, shown, untold, misled, misshown).')] = False,
        wordings: Annotated[bool, typer.Option(
            '--wordings', help='Instead, without rollouts: what it understands of held-out '
                               'wordings, and of sentences about nothing here.')] = False,
        episodes: Annotated[int | None, typer.Option(
            min=1, help='Seeds of the split, for each; without it 200, on a board 50.')] = None,
        split: Annotated[str, typer.Option(help='test, or validation to choose by.')] = 'test',
        window: Annotated[int | None, typer.Option(
            min=1, help='Timesteps that the policy sees; without it the checkpoint says.')] = None,
        temperature: Annotated[float | None, typer.Option(
            min=0, help='Of the tokens; without it the checkpoint says.')] = None,
        robot: Robot = '',
        out: Out = Path('out/evaluate'),
        workers: Workers = 0,
        ray: Ray = '',
        json_file: Json = None) -> None:
    """Roll out seeded episodes: rates with n and Wilson interval, beside controls; resumable.

    Finished episodes are kept in the folder, and the same command goes on with what is missing.
    """
    from gato_ros.domains.registry import DEFAULT, find_tasks
    if board:
        if suite or prompts or actor or robot or disturb or randomisation != 'nominal':
            raise ConfigError('--board is given beside --suite, --prompts, --actor, --robot, '
                              '--disturb or --randomisation, expected it alone: a board has the '
                              'policy in the nominal worlds')
        _board(checkpoint, task, episodes, split, temperature, out, workers, ray, json_file)
        return
    from gato_ros.evaluation.cast import ABLATION, MEMORY
    from gato_ros.evaluation.evaluate import evaluate
    from gato_ros.evaluation.report import report, show
    from gato_ros.evaluation.suite import (
        QUOTABLE,
        EvaluateSettings,
        controls,
        parse_randomisation,
    )
    from gato_ros.evaluation.tables import disturbed, memory
    from gato_ros.policy.checkpoint import SHIPPED
    if suite == 'memory':
        task = task or list(memory.tasks())
    elif suite:
        if suite != DEFAULT:
            raise ConfigError(f'--suite is {suite!r}, expected {DEFAULT} or memory')
        task = [DEFAULT]
    tasks = tuple(find_tasks(task or ('stack_wide',), robot))
    if wordings:
        _wordings(checkpoint or SHIPPED, tasks[0], episodes or QUOTABLE, split, robot, json_file)
        return
    conditions = parse_randomisation(randomisation)
    actors = ABLATION if prompts else MEMORY if suite == 'memory' else controls(tasks, robot)
    if disturb:
        if randomisation != 'nominal':
            raise ConfigError(f'--disturb is given beside --randomisation {randomisation}, '
                              'expected one of them: a disturbance is one thing that differs')
        conditions, actors = disturbed.parse_disturbances(disturb, tasks), ('policy',)
    settings = EvaluateSettings(
        checkpoint or SHIPPED, tasks, conditions, tuple(actor) or actors,
        episodes or QUOTABLE, split, robot, temperature, window, out=out, workers=workers, ray=ray)
    outcomes = list(progress(evaluate(settings), len(settings.jobs)))
    show(settings, outcomes)
    if suite == 'memory':
        print(memory.as_table(settings, outcomes))
    if disturb:
        rows = disturbed.rows_of(settings, outcomes)
        print(disturbed.as_table(rows))
        say(f'written: {disturbed.draw_plot(out / disturbed.PLOT, rows)}')
    write_json(report(settings, outcomes), json_file)


def _board(checkpoint: Path | None, tasks: list[str], episodes: int | None, split: str,
           temperature: float | None, out: Path, workers: int, ray: str,
           json_file: Path | None) -> None:
    """Print the board, and what is not on it; exit status 1 where a world broke its word."""
    from gato_ros.evaluation.board import (
        EPISODES,
        board,
        read_plan,
        reasons,
        settings_of,
        task_rows,
    )
    from gato_ros.evaluation.evaluate import evaluate
    from gato_ros.policy.checkpoint import SHIPPED
    from gato_ros.tools.reports.board import PUBLISHED, draw_files, show_board
    planned = read_plan(checkpoint or SHIPPED, tasks)
    settings = settings_of(planned, checkpoint or SHIPPED, episodes or EPISODES, split,
                           temperature, out, workers, ray)
    for sentence in (*planned.warnings, *reasons(planned.left_out)):
        warn(sentence)
    broken: dict[str, str] = {}
    outcomes = list(progress(evaluate(settings, broken), len(settings.jobs)))
    rows = task_rows(settings, outcomes)
    show_board(settings, rows)
    for file in draw_files(settings, rows, outcomes):
        say(f'written: {file}')
    write_json({**board(settings, planned, rows, broken), 'published': PUBLISHED}, json_file)
    for task, sentence in broken.items():
        warn(f'{task} is not on the board, its world broke: {sentence}')
    if broken:
        raise typer.Exit(1)


def _wordings(checkpoint: Path, task: str, count: int, split: str, robot: str,
              json_file: Path | None) -> None:
    """Tell the policy of a task's domain what people say, and show what it understood."""
    from gato_ros.domains.registry import find_task
    from gato_ros.evaluation.suite import name_in
    from gato_ros.evaluation.words.understood import GROUPS, hear, report, show
    from gato_ros.policy.checkpoint import load_checkpoint
    from gato_ros.policy.policy import GatoPolicy
    loaded = load_checkpoint(checkpoint)
    policy = GatoPolicy(loaded, name_in(loaded.config, *find_task(task, robot)))
    heard = list(progress(hear(policy, count, split), len(GROUPS) * count))
    show(heard)
    write_json(report(heard), json_file)
