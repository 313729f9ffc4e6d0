"""The program ``gato-ros``.

Each command imports what it needs when it runs: ``--help`` stays quick, and a command that has no
use for torch, MuJoCo or ROS works without them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gato_ros import __version__
from gato_ros.config import ConfigError, to_dict

T = TypeVar('T')
app = typer.Typer(help='One transformer for cameras, joints and words, in a ROS 2 package.',
                  no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,  # plain text costs a third of the start-up time
                  context_settings={'help_option_names': ['-h', '--help']})

Robot = Annotated[str, typer.Option(help='Name in config/robots, or a YAML file.')]
Device = Annotated[str, typer.Option(help='cpu, cuda, or auto: the fastest that is here.')]
Out = Annotated[Path, typer.Option(help='Folder to write into.')]
Json = Annotated[Path | None, typer.Option('--json', metavar='FILE',
                                           help='Also write the figures to FILE.')]


def main() -> None:
    """Run the program: an error made for people becomes one sentence and exit status 2."""
    try:
        app(prog_name='gato-ros')
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        typer.secho(sentence, fg=typer.colors.RED, err=True)
        sys.exit(2)


def _sentence(error: Exception) -> str | None:
    """Return what to tell people, or None for a fault of ours, which keeps its traceback.

    Every exception class that this package defines is made for people.
    """
    if type(error).__module__.startswith('gato_ros.'):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith('gato_ros'):
        return (f'{error.name} is not installed: `make setup` brings it, or source ROS 2 where '
                'it belongs to ROS')
    return None


def write_json(figures: Any, file: Path | None) -> None:
    """Write figures (dataclasses too) to ``file``, if one was asked for."""
    if file is None:
        return
    try:
        file.write_text(json.dumps(to_dict(figures), indent=2) + '\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'--json {file} cannot be written: {error.strerror}') from error


def _progress(work: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Pass items through, behind a progress bar."""
    from rich.progress import track
    yield from track(work, what, total)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f'gato-ros {__version__}')
        raise typer.Exit


@app.callback()
def _program(version: Annotated[bool, typer.Option(
        '--version', callback=_version, is_eager=True, help='Show the version.')] = False) -> None:
    pass


@app.command()
def collect(
        out: Out,
        episodes: Annotated[int, typer.Option(min=1, help='How many, one file each.')] = 100,
        task: Annotated[list[str], typer.Option(help='May be repeated; taken in turn.')] = [  # noqa: B006
            'stack_wide'],
        robot: Robot = 'panda_sim',
        policy: Annotated[Path | None, typer.Option(
            help='Checkpoint that acts while the expert labels.')] = None,
        workers: Annotated[int, typer.Option(min=0, help='Processes; 0: one per core.')] = 0,
        json_file: Json = None) -> None:
    """Record episodes of the scripted expert in the simulator."""
    from gato_ros.training.collect import CollectSettings, collect
    settings = CollectSettings(out, episodes, tuple(task), robot, policy=policy, workers=workers)
    done = dict(_progress(collect(settings), 'episodes', episodes))
    write_json({'episodes': len(done), 'successes': sum(done.values())}, json_file)


@app.command()
def train(
        settings: Annotated[str, typer.Argument(help='Name in config/training, or a YAML file.')],
        out: Out,
        start_from: Annotated[Path | None, typer.Option(help='Checkpoint to begin with.')] = None,
        device: Device = 'auto') -> None:
    """Train a model, or go on with the run in the folder."""
    from gato_ros.training.settings import load_settings
    read = load_settings(settings)
    from gato_ros.training.train import train
    typer.echo(train(read, out, device, start_from))


@app.command()
def tokens(robot: Robot = 'panda_sim', json_file: Json = None) -> None:
    """Show what one timestep of a robot becomes: every token, its kind and its range of ids."""
    from gato_ros.spec import load_robot
    from gato_ros.tokens.sequence import Kind, TimestepTokenizer
    spec = load_robot(robot).timestep()
    layout = TimestepTokenizer(spec).layout()
    rows = [{'name': name, 'kind': Kind(kind).name.lower(), 'low': int(low), 'high': int(high)}
            for name, kind, low, high in zip(layout.names, layout.kind, layout.low, layout.high,
                                             strict=True)]
    for index, row in enumerate(rows):
        typer.echo('{:4d}  {name:36} {kind:12} [{low}, {high})'.format(index, **row))
    write_json({'spec': spec.hash, 'tokens': rows}, json_file)


if __name__ == '__main__':
    main()
