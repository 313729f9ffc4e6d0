"""The commands ``collect`` and ``import-bag``: both make episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gato_ros.config import to_dict
from gato_ros.tools.console import (
    Episodes,
    Json,
    Out,
    Randomise,
    Robot,
    Workers,
    progress,
    write_json,
)


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
        policy_share: Annotated[float, typer.Option(
            min=0.05, max=1, help='Of the time in which the policy acts, not the expert.')] = 0.7,
        person: Annotated[bool, typer.Option(
            '--person', help="A scripted person at the keyboard in the expert's place.")] = False,
        workers: Workers = 0,
        json_file: Json = None) -> None:
    """Record episodes of a scripted expert or person in simulation; finished ones are kept."""
    from gato_ros.training.collect import CollectSettings, collect
    settings = CollectSettings(out, episodes, tuple(task), robot, first_seed, noise,
                               randomise=randomise, policy=policy, policy_share=policy_share,
                               person=person, workers=workers)
    done = dict(progress(collect(settings), episodes))
    typer.echo(f'{len(done)} episodes in {out}, {sum(done.values())} of them successful')
    write_json({'episodes': len(done), 'successes': sum(done.values())}, json_file)


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
    typer.echo(f'{done.file}: {done.steps} steps, at most {done.longest_s:.3f} s apart; left out: '
               f'{done.incomplete} actions without an observation, {done.unanswered} pictures '
               f'after the last action, {done.others} steps beside those of a person')
    write_json({**to_dict(done), 'file': str(done.file)}, json_file)
