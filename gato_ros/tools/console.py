"""What the commands share: options, the progress bar, and figures as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gato_ros.config import ConfigError, to_dict
from gato_ros.untrusted import plain

LINE = 2000  # characters that a command prints on one
T = TypeVar('T')

Robot = Annotated[str, typer.Option(help='Name in config/robots, or a YAML file.',
                                    show_default=False)]
Task = Annotated[str, typer.Option(help='Such as stack_wide, lift_red_narrow, tower_wide.')]
Checkpoint = Annotated[Path | None, typer.Option(help='Folder; none: the one that ships.')]
Episodes = Annotated[int, typer.Option(min=1, help='How many.')]
Randomise = Annotated[bool, typer.Option('--randomise', help='Vary colours, light, friction.')]
Workers = Annotated[int, typer.Option(min=0, help='Processes; 0: one per core.')]
Ray = Annotated[str, typer.Option(
    metavar='HOST:PORT', help='Ray cluster whose nodes share the work; none: this machine alone.',
    show_default=False)]
Device = Annotated[str, typer.Option(help='cpu, cuda, or auto: the fastest that is here.')]
Out = Annotated[Path, typer.Option(help='Folder to write into.')]
Json = Annotated[Path | None, typer.Option('--json', metavar='FILE',
                                           help='Also write the figures to FILE.')]


def write_json(figures: Any, file: Path | None) -> None:
    """Write figures (dataclasses too) to ``file``, if one was asked for.

    Raises ConfigError when the file cannot be written.
    """
    if file is None:
        return
    try:
        file.write_text(json.dumps(to_dict(figures), indent=2) + '\n', encoding='utf-8')
    except OSError as error:
        raise ConfigError(f'--json {file} cannot be written: {error.strerror}') from error


def progress(episodes: Iterable[T], total: int) -> Iterator[T]:
    """Pass episodes through, behind a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track
    yield from track(episodes, 'episodes', total, console=Console(stderr=True))


def say(text: object) -> None:
    """Print one line without escape sequences."""
    typer.echo(plain(str(text), LINE))


def warn(text: object) -> None:
    """Print one line on stderr: what a person must know beside the result."""
    typer.secho(plain(str(text), LINE), err=True)


def any_terminal() -> None:
    """Replace characters that the terminal's encoding does not have, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors='backslashreplace')  # type: ignore[union-attr]
