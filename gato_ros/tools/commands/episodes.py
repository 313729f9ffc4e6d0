"""The commands ``collect``, ``import-bag`` and ``data``: episodes made, and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.config import ConfigError, to_dict
from gato_ros.tools.console import (
    Episodes,
    Json,
    Out,
    Randomise,
    Ray,
    Robot,
    Workers,
    progress,
    say,
    warn,
    write_json,
)

data = typer.Typer(help='What there is to learn from.', no_args_is_help=True,
                   rich_markup_mode=None)


@data.command('report')
def report_data(
        folder: Annotated[list[Path], typer.Argument(
            help='Folders of episodes.', show_default=False)] = [],  # noqa: B006
        mixture: Annotated[str | None, typer.Option(
            help='Name in config/mixtures, or a YAML file: all of its sources.',
            show_default=False)] = None,
        json_file: Json = None) -> None:
    """Count timesteps, tokens, returns, successes, pictures and bytes by task and by domain."""
    from gato_ros.tools.reports.data import show_stock, take_stock
    from gato_ros.training.settings import load_sources
    if not folder and mixture is None:
        raise ConfigError('neither a folder nor --mixture is given, expected one of them')
    found = take_stock(folder, load_sources(mixture) if mixture else ())
    show_stock(found)
    for problem in found.problems:
        warn(problem)
    write_json(found.figures(), json_file)
    if found.problems:
        raise typer.Exit(1)


def collect(
        out: Annotated[Path | None, typer.Option(
            help="Folder to write into; of a mixture, in place of its lines' `data`.",
            show_default=False)] = None,
        mixture: Annotated[str | None, typer.Option(
            help='Name in config/mixtures, or a YAML file: all data that its lines say how to '
                 'make; beside it --out, --workers, --ray and --json mean something.',
            show_default=False)]
        = None,
        episodes: Episodes = 100,
        task: Annotated[list[str], typer.Option(
            help='DOMAIN/TASK, a task of stacking, or a domain: all of its suite; repeat it, and '
                 'they are taken in turn.')] = ['stack_wide'],  # noqa: B006
        robot: Robot = '',
        first_seed: Annotated[int | None, typer.Option(
            help='Lower ones than 100000 are for tests.', show_default=False)] = None,
        noise: Annotated[float, typer.Option(
            min=0, max=1, help='Largest noise of the action, share of full scale.')] = 0.2,
        randomise: Randomise = False,
        disturb: Annotated[str, typer.Option(
            help='The world of all episodes: rooms (tables, light, sizes as in real rooms), '
                 'damping_half, or another disturbance of the domain.', show_default=False)] = '',
        policy: Annotated[Path | None, typer.Option(
            help='Checkpoint that acts while the expert labels.')] = None,
        policy_share: Annotated[float, typer.Option(
            min=0.05, max=1, help='Of the time in which the policy acts, not the expert.')] = 0.7,
        actor: Annotated[str, typer.Option(
            help='expert, person (a scripted one at the keyboard) or random.')] = 'expert',
        person: Annotated[bool, typer.Option('--person', help='Short for --actor person.')]
        = False,
        workers: Workers = 0,
        ray: Ray = '',
        json_file: Json = None) -> None:
    """Record episodes of a domain's expert, a person or chance; finished ones are kept."""
    if mixture is not None:
        _collect_mixture(mixture, out, workers, ray, json_file)
        return
    if out is None:
        raise ConfigError('--out is missing, expected the folder to write into; or --mixture')
    from gato_ros.domains.registry import find_tasks
    from gato_ros.training.collect import CollectSettings, collect
    settings = CollectSettings(out, episodes, tuple(find_tasks(task, robot)), robot, first_seed,
                               noise, randomise=randomise, disturbance=disturb,
                               actor='person' if person else actor,
                               policy=policy, policy_share=policy_share, workers=workers,
                               ray=ray)
    done = dict(progress(collect(settings), episodes))
    typer.echo(f'{len(done)} episodes in {out}, {sum(done.values())} of them usable')
    write_json({'episodes': len(done), 'usable': sum(done.values())}, json_file)


def _collect_mixture(mixture: str, out: Path | None, workers: int, ray: str,
                     json_file: Path | None) -> None:
    """Make all of a mixture's data; exit status 1 where something could not be made."""
    from gato_ros.training.recipes import make_all, read_parts
    done = []
    for made in make_all(read_parts(mixture, out), workers, progress, ray):
        say(f'{made.folder}: {made.count}, {made.usable} of them usable')
        for name, sentence in made.faults.items():
            warn(f'{made.folder}: {name}: {sentence}' if name != str(made.folder)
                 else f'{made.folder}: {sentence}')
        done.append(made)
    write_json([{'folder': str(m.folder), 'count': m.count, 'usable': m.usable,
                 'faults': m.faults} for m in done], json_file)
    if any(made.faults for made in done):
        raise typer.Exit(1)


def import_bag(
        bag: Annotated[Path, typer.Argument(help='MCAP file, or the folder that holds it.')],
        out: Out,
        success: Annotated[bool | None, typer.Option(
            '--success/--failure', help='How it ended; needless where the file says it.')] = None,
        task: Annotated[str, typer.Option(
            help='Such as stack_wide; needless where the file says it.')] = '',
        robot: Robot = 'panda_sim',
        source: Annotated[str, typer.Option(
            help='Who acted: teleoperation, expert or policy.')] = '',
        namespace: Annotated[str, typer.Option(help="Of the robot's recorded topics.")] = '',
        json_file: Json = None) -> None:
    """Turn a recorded demonstration (rosbag2, MCAP) into an episode for training."""
    from gato_ros.domains.stacking.tasks import load_training_task
    from gato_ros.episodes.recordings.bag import import_bag
    from gato_ros.robot import load_robot
    sentence = load_training_task(task).sentence if task else ''
    done = import_bag(bag, out, load_robot(robot), task, sentence, success, source, namespace)
    say(f'{done.file}: {done.steps} steps, at most {done.longest_s:.3f} s apart, '
        f'{100 * done.blind:.0f} % of the time without an observation; left out: '
        f'{done.incomplete} actions without an observation, {done.unanswered} pictures '
        f'after the last action, {done.others} steps beside those of a person')
    write_json({**to_dict(done), 'file': str(done.file)}, json_file)
