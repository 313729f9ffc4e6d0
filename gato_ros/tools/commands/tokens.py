"""The command ``tokens``: one timestep, slot by slot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Json, Robot, write_json


def tokens(
        robot: Robot = '',
        task: Annotated[str, typer.Option(
            help='DOMAIN/TASK, such as cartpole/balance; without it a robot.')] = '',
        episode: Annotated[Path | None, typer.Option(
            help='Recorded one, with its own specification unless a task or a robot is given; '
                 'without it a random valid timestep.')] = None,
        timestep: Annotated[int, typer.Option(min=0, help='Of the episode.')] = 0,
        text: Annotated[str, typer.Option(help='Words in front of a random timestep.')] = '',
        json_file: Json = None) -> None:
    """Print one timestep as a table: slot, name, kind, id, decoded value, unit, loss."""
    from gato_ros.episodes.episode import read_info
    from gato_ros.robot import load_robot
    from gato_ros.tools.reports import tokens as token_table
    own = read_info(episode).specification if episode else None
    if task:
        from gato_ros.domains.registry import find_task
        domain, name = find_task(task, robot)
        spec = domain.specification(name)
    else:
        spec = own if own and not robot else load_robot(robot or 'panda_sim').timestep()
    rows = token_table.table(*(token_table.recorded(spec, episode, timestep) if episode
                               else token_table.example(spec, text)))
    typer.echo(f'{"slot":>4}  {"name":36} {"kind":10} {"id":>5}  {"value":>28}  unit    loss')
    for row in rows:
        number = '-' if row.id is None else row.id
        typer.echo(f'{row.slot:4}  {row.name:36} {row.kind:10} {number:>5}  {row.value:>28}  '
                   f'{row.unit:6}  {"yes" if row.loss else ""}'.rstrip())
    write_json({'spec': spec.hash, 'tokens': rows}, json_file)
