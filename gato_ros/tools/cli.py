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
Task = Annotated[str, typer.Option(help='Such as stack_wide, lift_red_narrow, tower_wide.')]
Checkpoint = Annotated[Path | None, typer.Option(help='Folder; none: the one that ships.')]
Episodes = Annotated[int, typer.Option(min=1, help='How many.')]
Randomise = Annotated[bool, typer.Option('--randomise', help='Vary colours, light, friction.')]
Workers = Annotated[int, typer.Option(min=0, help='Processes; 0: one per core.')]
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


def _progress(episodes: Iterable[T], total: int) -> Iterator[T]:
    """Pass episodes through, behind a progress bar on stderr."""
    from rich.console import Console
    from rich.progress import track
    yield from track(episodes, 'episodes', total, console=Console(stderr=True))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f'gato-ros {__version__}')
        raise typer.Exit


@app.callback()
def _program(version: Annotated[bool, typer.Option(
        '--version', callback=_version, is_eager=True, help='Show the version.')] = False) -> None:
    pass


@app.command()
def demo(
        episodes: Annotated[int, typer.Option(min=1, help='How many, with seeds 0, 1, 2 ...')] = 3,
        seed: Annotated[list[int], typer.Option(help='These seeds instead; repeat it.')] = [],  # noqa: B006
        task: Task = 'stack_wide',
        checkpoint: Checkpoint = None,
        mode: Annotated[str, typer.Option(
            help='real_time, or lock_step: physics waits for each answer.')] = 'real_time',
        out: Out = Path('out/demo'),
        json_file: Json = None) -> None:
    """Run the whole ROS graph as processes: simulator, safety node, policy node."""
    from gato_ros.tools.demo import run_demo
    write_json(run_demo(episodes, seed or None, checkpoint, task, out, mode), json_file)


@app.command()
def collect(
        out: Out,
        episodes: Episodes = 100,
        task: Annotated[list[str], typer.Option(help='May be repeated; taken in turn.')] = [  # noqa: B006
            'stack_wide'],
        robot: Robot = 'panda_sim',
        first_seed: Annotated[int, typer.Option(min=100_000, help='Lower ones are for tests.')]
        = 100_000,
        noise: Annotated[float, typer.Option(
            min=0, max=1, help='Largest torque noise, share of full scale.')] = 0.2,
        randomise: Randomise = False,
        policy: Annotated[Path | None, typer.Option(
            help='Checkpoint that acts while the expert labels.')] = None,
        workers: Workers = 0,
        json_file: Json = None) -> None:
    """Record episodes of the scripted expert in the simulator; finished ones are kept."""
    from gato_ros.training.collect import CollectSettings, collect
    settings = CollectSettings(out, episodes, tuple(task), robot, first_seed, noise,
                               randomise=randomise, policy=policy, workers=workers)
    done = dict(_progress(collect(settings), episodes))
    typer.echo(f'{len(done)} episodes in {out}, {sum(done.values())} of them successful')
    write_json({'episodes': len(done), 'successes': sum(done.values())}, json_file)


@app.command('import-bag')
def import_bag(
        bag: Annotated[Path, typer.Argument(help='MCAP file, or the folder that holds it.')],
        out: Out,
        success: Annotated[bool, typer.Option('--success/--failure', help='How it ended.')],
        task: Task = 'stack_wide',
        robot: Robot = 'panda_sim',
        source: Annotated[str, typer.Option(
            help='Who acted: teleoperation, expert or policy.')] = 'teleoperation',
        namespace: Annotated[str, typer.Option(help="Of the robot's recorded topics.")] = '',
        json_file: Json = None) -> None:
    """Turn a recorded demonstration (rosbag2, MCAP) into an episode for training."""
    from gato_ros.episodes.bag import import_bag
    from gato_ros.spec import load_robot
    done = import_bag(bag, out, load_robot(robot), task, success, source, namespace)
    typer.echo(f'{done.file}: {done.steps} steps, at most {done.longest_s:.3f} s apart; left out: '
               f'{done.incomplete} actions without an observation, {done.unanswered} pictures '
               'after the last action')
    write_json({**to_dict(done), 'file': str(done.file)}, json_file)


@app.command()
def train(
        settings: Annotated[str, typer.Argument(help='Name in config/training, or a YAML file.')],
        out: Out,
        change: Annotated[list[str], typer.Option(
            '--set', metavar='KEY=VALUE', help='Change one setting, such as data.timesteps=6.')]
        = [],  # noqa: B006
        start_from: Annotated[Path | None, typer.Option(help='Checkpoint to begin with.')] = None,
        device: Device = 'auto') -> None:
    """Train a model, or go on with the run in the folder."""
    from gato_ros.training.settings import load_settings, parse_changes
    read = load_settings(settings, parse_changes(change))
    from gato_ros.training.train import train
    typer.echo(train(read, out, device, start_from))


@app.command()
def evaluate(
        checkpoint: Checkpoint = None,
        task: Task = 'stack_wide',
        episodes: Annotated[int, typer.Option(min=1, help='Seeds in the split.')] = 100,
        split: Annotated[str, typer.Option(help='test, or validation to choose by.')] = 'test',
        control: Annotated[list[str], typer.Option(
            help='expert, random or still; repeat it.')] = ['expert', 'random'],  # noqa: B006
        randomise: Randomise = False,
        temperature: Annotated[float | None, typer.Option(
            min=0, help='Of the tokens; without it the checkpoint says.')] = None,
        robot: Robot = 'panda_sim',
        workers: Workers = 0,
        json_file: Json = None) -> None:
    """Roll out seeded episodes: rate, n, Wilson interval, beside the controls."""
    from gato_ros.evaluation.evaluate import EvaluateSettings, evaluate, report, show
    from gato_ros.policy.checkpoint import SHIPPED
    settings = EvaluateSettings(checkpoint or SHIPPED, task, episodes, split, robot, randomise,
                                tuple(control), temperature, workers)
    outcomes = list(_progress(evaluate(settings), episodes * (1 + len(control))))
    show(outcomes, task)
    write_json(report(settings, outcomes), json_file)


@app.command()
def tokens(
        robot: Robot = 'panda_sim',
        episode: Annotated[Path | None, typer.Option(
            help='Recorded episode; without it a random valid timestep.')] = None,
        timestep: Annotated[int, typer.Option(min=0, help='Of the episode.')] = 0,
        text: Annotated[str, typer.Option(help='Words in front of a random timestep.')] = '',
        json_file: Json = None) -> None:
    """Print one timestep as a table: slot, name, kind, id, decoded value, unit, loss."""
    from gato_ros.spec import load_robot
    from gato_ros.tools import token_table
    chosen = load_robot(robot)
    rows = token_table.table(*(token_table.recorded(chosen, episode, timestep) if episode
                               else token_table.example(chosen, text)))
    typer.echo(f'{"slot":>4}  {"name":36} {"kind":10} {"id":>5}  {"value":>28}  unit    loss')
    for row in rows:
        number = '-' if row.id is None else row.id
        typer.echo(f'{row.slot:4}  {row.name:36} {row.kind:10} {number:>5}  {row.value:>28}  '
                   f'{row.unit:6}  {"yes" if row.loss else ""}'.rstrip())
    write_json({'spec': chosen.timestep().hash, 'tokens': rows}, json_file)


if __name__ == '__main__':
    main()
