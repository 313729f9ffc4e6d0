"""The commands ``gato-ros export ...`` and ``gato-ros import ...``: other people's formats."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gato_ros.episodes.exchange.recording import Made

exports = typer.Typer(help='Write recordings as a dataset of another kind.', no_args_is_help=True,
                      rich_markup_mode=None)
imports = typer.Typer(help='Write a dataset of another kind as recordings (MCAP).',
                      no_args_is_help=True, rich_markup_mode=None)
Robot = Annotated[str, typer.Option(
    help='Name in config/robots, or a YAML file; its features say what is called how.')]
OUTCOMES = {None: '', True: 'success', False: 'failure'}
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
    from gato_ros.tools.console import say
    count, refused = export_lerobot(files_of(demos), out, load_robot(robot), failures)
    for why in refused.values():
        say(f'left out: {why}')
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
    from gato_ros.tools.console import warn
    _show(import_lerobot(dataset, out, load_robot(robot), OUTCOMES[success], warn))


@imports.command('robomimic')
def import_robomimic(
        file: Annotated[Path, typer.Argument(help='HDF5 file of robomimic.')],
        sentence: Annotated[str, typer.Option(help='What its demonstrations show.')],
        out: Out = Path('demos'),
        success: Annotated[bool | None, typer.Option(
            '--success/--failure', help='How all of them ended, unless the rewards say it.')]
        = None,
        robot: Robot = 'panda_sim') -> None:
    """Read a robomimic HDF5 file whose actions are the robot's."""
    from gato_ros.episodes.exchange.robomimic import import_robomimic
    from gato_ros.robot import load_robot
    from gato_ros.tools.console import warn
    _show(import_robomimic(file, out, load_robot(robot), sentence, OUTCOMES[success], warn))


def _show(recordings: Iterable[Made]) -> None:
    from gato_ros.tools.console import say
    for made in recordings:
        say(f'{made.file}: kept, from a former import of the same data' if made.kept
            else made.file)
