"""The command ``play``: one episode of any task, as a film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Checkpoint, Json, Out, Robot, write_json


def play(
        task: Annotated[str, typer.Argument(help='DOMAIN/TASK, or a task of stacking.')],
        checkpoint: Checkpoint = None,
        actor: Annotated[str, typer.Option(
            help='policy, expert, random, still, or another of `evaluate`.')] = 'policy',
        seed: Annotated[int, typer.Option(min=0, help='Of the episode.')] = 0,
        robot: Robot = '',
        out: Out = Path('out/play'),
        json_file: Json = None) -> None:
    """Film one episode of any domain's task, acted by the checkpoint or by a control."""
    from gato_ros.evaluation.play import play
    from gato_ros.policy.checkpoint import SHIPPED
    outcome, film = play(task, checkpoint or SHIPPED, out, actor, seed, robot)
    ended = outcome.failure or ('success' if outcome.success else 'no verdict')
    typer.echo(f'{task}, seed {seed}: {ended}, score {outcome.score:.4g} after {outcome.steps} '
               f'steps; written: {film}')
    write_json({'outcome': outcome, 'film': str(film)}, json_file)
