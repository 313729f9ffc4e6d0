"""The command ``train``: from nothing, from a checkpoint, or on demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.config import ConfigError
from gato_ros.tools.console import Device, Json, progress, write_json


def train(
        settings: Annotated[str | None, typer.Argument(
            help='Name in config/training, or a YAML file; with --demos: finetune.',
            show_default=False)] = None,
        out: Annotated[Path | None, typer.Option(
            help='Folder to write into; without it runs/SETTINGS.')] = None,
        start_from: Annotated[Path | None, typer.Option(
            '--from', '--start-from', help='Checkpoint to begin with. Without it random weights; '
            'with --demos the one that ships.')] = None,
        demos: Annotated[Path | None, typer.Option(
            help='Fine-tune on the recordings (MCAP) in this folder.')] = None,
        robot: Annotated[str | None, typer.Option(
            help='Name in config/robots, or a YAML file; none: the settings say it.',
            show_default=False)] = None,
        episodes: Annotated[int, typer.Option(
            min=0, help='Validation seeds of each task before and after a fine-tuning; 0: none.')]
        = 50,
        task: Annotated[list[str], typer.Option(
            help='To look at for what a fine-tuning made forgotten; repeat it. Without it: what '
                 'the checkpoint was trained on.')] = [],  # noqa: B006
        as_sent: Annotated[bool, typer.Option(
            '--as-sent', help="Fine-tune on a person's torques, not on where the hand went.")]
        = False,
        keep: Annotated[bool, typer.Option(
            '--keep/--no-keep', help='Rehearse what the checkpoint knows in a fine-tuning.')]
        = True,
        change: Annotated[list[str], typer.Option(
            '--set', metavar='KEY=VALUE', help='Change one setting, such as data.timesteps=6.')]
        = [],  # noqa: B006
        device: Device = 'auto',
        json_file: Json = None) -> None:
    """Train a model, or go on with the run in the folder; or fine-tune on demonstrations."""
    from gato_ros.training.settings import load_settings, parse_changes
    name = settings or ('finetune' if demos else None)
    if name is None:
        raise ConfigError('neither settings nor --demos are given, expected a name in '
                          'config/training such as stack_small, or a folder of recordings')
    changes, out = parse_changes(change), out or Path('runs') / Path(name).stem
    if robot is not None:
        changes['robot'] = robot
    if demos is not None:
        from gato_ros.policy.checkpoint import SHIPPED
        from gato_ros.tools.commands.finetune import finetune
        write_json(finetune(demos, out, start_from or SHIPPED, name, changes, device, episodes,
                            tuple(task), progress, as_sent, keep), json_file)
        return
    from gato_ros.evaluation.evaluate import validation_score
    from gato_ros.training.train import train
    read = load_settings(name, changes)

    def validate(checkpoint: Path) -> float:
        return validation_score(checkpoint, read.validate_tasks, read.validate_episodes,
                                read.validate_workers)
    typer.echo(train(read, out, device, start_from, validate))
