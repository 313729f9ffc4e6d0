"""The program ``gato-ros``: its commands by name, and the border where errors become sentences.

Each command (in ``commands/``) imports what it needs when it runs: ``--help`` stays quick, and a
command that has no use for torch, MuJoCo or ROS works without them.
"""

from __future__ import annotations

import errno
import sys
from typing import Annotated

import typer

from gato_ros import __version__
from gato_ros.tools import robot
from gato_ros.tools.commands import domains, episodes, exchange, prompts, record
from gato_ros.tools.commands.bench import bench
from gato_ros.tools.commands.episodes import collect, import_bag
from gato_ros.tools.commands.evaluate import evaluate
from gato_ros.tools.commands.graph import demo, teleop
from gato_ros.tools.commands.play import play
from gato_ros.tools.commands.tokens import tokens
from gato_ros.tools.commands.train import train
from gato_ros.tools.commands.words import caption, chat, evaluate_words, scenes
from gato_ros.tools.console import LINE, any_terminal
from gato_ros.untrusted import plain

# What folders and names of the machine can be wrong in; anything else is a fault of ours.
REFUSED_BY_SYSTEM = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOENT,
                     errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO)

app = typer.Typer(help='One transformer for cameras, joints and words, in a ROS 2 package.',
                  no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,  # plain text costs a third of the start-up time
                  context_settings={'help_option_names': ['-h', '--help']})

for command in (demo, collect, import_bag, scenes, train, evaluate, evaluate_words, play, caption,
                chat, teleop, tokens, bench):
    app.command(command.__name__.replace('_', '-'))(command)
app.add_typer(domains.app, name='domains')
app.add_typer(episodes.data, name='data')
app.add_typer(record.app, name='record')
app.add_typer(prompts.app, name='prompts')
app.add_typer(robot.app, name='robot')
app.add_typer(exchange.exports, name='export')
app.add_typer(exchange.imports, name='import')


def main() -> None:
    """Run the program: an error made for people becomes one sentence and exit status 2."""
    any_terminal()
    try:
        app(prog_name='gato-ros')
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        typer.secho(plain(sentence, LINE), fg=typer.colors.RED, err=True)
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
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (f'{error.filename or "a file"} cannot be written: {error.strerror}; what is '
                'finished is kept, so make room and give the command again')
    if isinstance(error, OSError) and error.filename and error.errno in REFUSED_BY_SYSTEM:
        return f'{error.filename} cannot be used: {error.strerror}'
    return None


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f'gato-ros {__version__}')
        raise typer.Exit


@app.callback()
def _program(version: Annotated[bool, typer.Option(
        '--version', callback=_version, is_eager=True, help='Show the version.')] = False) -> None:
    pass


if __name__ == '__main__':
    main()
