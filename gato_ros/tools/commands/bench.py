"""The command ``bench``: how long a control step takes here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Checkpoint, Device, Json, Out, Robot, write_json


def bench(
        part: Annotated[list[str], typer.Option(
            help='stages, versus, growth, long, agreement or graph; repeat it. None: all.')] = [],  # noqa: B006
        checkpoint: Checkpoint = None,
        model: Annotated[list[str], typer.Option(
            help='Presets of random weights to compare, beside the checkpoint.')] = ['79m'],  # noqa: B006
        steps: Annotated[int, typer.Option(min=10, help='Of each measurement.')] = 200,
        long_steps: Annotated[int, typer.Option(min=100, help='Of the long run.')] = 20_000,
        minutes: Annotated[float, typer.Option(min=0.05, help='Of the graph, in real time.')]
        = 1.0,
        threads: Annotated[int, typer.Option(min=1, help='That compute.')] = 1,
        recorded: Annotated[Path | None, typer.Option(
            help='Folder of episodes for the agreement; none: record some first.')] = None,
        out: Out = Path('out/bench'),
        robot: Robot = 'panda_sim',
        task: Annotated[str, typer.Option(
            help="DOMAIN/TASK in the robot's place; then the parts are stages and long.")] = '',
        device: Device = 'auto',
        scheduling: Annotated[str, typer.Option(
            help="Of the graph's nodes: real_time or ordinary.")] = 'real_time',
        json_file: Json = None) -> None:
    """Measure a control step here: its stages, beside other ways, as it grows, in the graph."""
    from gato_ros.policy.checkpoint import SHIPPED
    from gato_ros.tools.bench.bench import run_bench
    from gato_ros.tools.bench.settings import PARTS, TASK_PARTS, BenchSettings
    parts = tuple(part) or (TASK_PARTS if task else PARTS)
    settings = BenchSettings(out, checkpoint or SHIPPED, parts, tuple(model), steps, long_steps,
                             minutes, threads, recorded, robot, task, device, scheduling)
    write_json(run_bench(settings), json_file)
    typer.echo(f'written: {out / "bench.json"}')
