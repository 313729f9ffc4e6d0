"""The commands ``gato-ros export ...`` and ``gato-ros import ...``: other people's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

exports = typer.Typer(help='Write recordings as a dataset of another kind.', no_args_is_help=True,
                      rich_markup_mode=None)
imports = typer.Typer(help='Write a dataset of another kind as recordings (MCAP).',
                      no_args_is_help=True, rich_markup_mode=None)
Robot = Annotated[str, typer.Option(
    help='Name in config/robots, or a YAML file; its features say what is called how.')]
Out = Annotated[Path, typer.Option(help='Folder for the recordings.')]


@exports.command('lerobot')
def export_lerobot(
        demos: Annotated[Path, typer.Argument(help='MCAP file, or a folder of them.')],
        out: Annotated[Path, typer.Option(help='The new folder.')],
        failures: Annotated[bool, typer.Option(
            '--failures', help='Also those that are not marked as a success.')] = False,
        robot: Robot = 'panda_sim') -> None:
    """Write a LeRobotDataset v3: exact, with PNG pictures."""
    from gato_ros.episodes.exchange.lerobot import export_lerobot
    from gato_ros.robot import load_robot
    from gato_ros.tools.commands.record import files_of
    count, refused = export_lerobot(files_of(demos), out, load_robot(robot), failures)
    for why in refused.values():
        typer.echo(f'left out: {why}')
    typer.echo(f'{out}: {count} episodes')


@imports.command('lerobot')
def import_lerobot(
        dataset: Annotated[Path, typer.Argument(help='Folder of a LeRobotDataset v3.')],
        out: Out = Path('demos'),
        success: Annotated[bool | None, typer.Option(
            '--success/--failure', help='How all of them ended, unless the dataset says it.')]
        = None,
        robot: Robot = 'panda_sim') -> None:
    """Read a LeRobotDataset v3, with pictures or videos."""
    from gato_ros.episodes.exchange.lerobot import import_lerobot
    from gato_ros.robot import load_robot
    outcome = {None: '', True: 'success', False: 'failure'}[success]
    for file in import_lerobot(dataset, out, load_robot(robot), outcome):
        typer.echo(file)


@imports.command('robomimic')
def import_robomimic(
        file: Annotated[Path, typer.Argument(help='HDF5 file of robomimic.')],
        sentence: Annotated[str, typer.Option(help='What its demonstrations show.')],
        out: Out = Path('demos'),
        robot: Robot = 'panda_sim') -> None:
    """Read a robomimic HDF5 file whose actions are the robot's."""
    from gato_ros.episodes.exchange.robomimic import import_robomimic
    from gato_ros.robot import load_robot
    for made in import_robomimic(file, out, load_robot(robot), sentence):
        typer.echo(made)
