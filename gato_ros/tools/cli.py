"""The program ``gato-ros``.

Each command imports what it needs when it runs: ``--help`` stays quick, and a command that has no
use for torch, MuJoCo or ROS works without them.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from gato_ros import __version__
from gato_ros.config import ConfigError, to_dict
from gato_ros.tools.commands import exchange, prompts, record

T = TypeVar('T')
app = typer.Typer(help='One transformer for cameras, joints and words, in a ROS 2 package.',
                  no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  rich_markup_mode=None,  # plain text costs a third of the start-up time
                  context_settings={'help_option_names': ['-h', '--help']})

app.add_typer(record.app, name='record')
app.add_typer(prompts.app, name='prompts')
app.add_typer(exchange.exports, name='export')
app.add_typer(exchange.imports, name='import')

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
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (f'{error.filename or "a file"} cannot be written: {error.strerror}; what is '
                'finished is kept, so make room and give the command again')
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
        cockpit: Annotated[bool, typer.Option(
            '--cockpit/--no-cockpit', help='Print the link of a page in which to watch and take '
            'over; real_time only.')] = True,
        host: Annotated[str, typer.Option(
            help='Address of the page; any but this machine asks for a token.')] = '127.0.0.1',
        out: Out = Path('out/demo'),
        json_file: Json = None) -> None:
    """Run the whole ROS graph as processes: simulator, safety node, policy node, cockpit."""
    from gato_ros.tools.graph.demo import run_demo
    write_json(run_demo(episodes, seed or None, checkpoint, task, out, mode,
                        cockpit=host if cockpit and mode == 'real_time' else ''), json_file)


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
    done = dict(_progress(collect(settings), episodes))
    typer.echo(f'{len(done)} episodes in {out}, {sum(done.values())} of them successful')
    write_json({'episodes': len(done), 'successes': sum(done.values())}, json_file)


@app.command('import-bag')
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
    from gato_ros.episodes.recordings.bag import import_bag
    from gato_ros.robot import load_robot
    done = import_bag(bag, out, load_robot(robot), task, success, source, namespace)
    typer.echo(f'{done.file}: {done.steps} steps, at most {done.longest_s:.3f} s apart; left out: '
               f'{done.incomplete} actions without an observation, {done.unanswered} pictures '
               f'after the last action, {done.others} steps beside those of a person')
    write_json({**to_dict(done), 'file': str(done.file)}, json_file)


@app.command()
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
    if demos is not None:
        from gato_ros.policy.checkpoint import SHIPPED
        from gato_ros.tools.commands.finetune import finetune
        write_json(finetune(demos, out, start_from or SHIPPED, name, changes, device, episodes,
                            tuple(task), _progress, as_sent, keep), json_file)
        return
    from gato_ros.evaluation.evaluate import success_rate
    from gato_ros.training.train import train
    read = load_settings(name, changes)

    def validate(checkpoint: Path) -> float:
        return success_rate(checkpoint, read.validate_tasks, read.validate_episodes,
                            read.validate_workers)
    typer.echo(train(read, out, device, start_from, validate))


@app.command()
def evaluate(
        checkpoint: Checkpoint = None,
        task: Annotated[list[str], typer.Option(help='May be repeated.')] = ['stack_wide'],  # noqa: B006
        suite: Annotated[bool, typer.Option(
            '--suite', help='All six tasks of the suite instead: narrow to unseen shapes.')]
        = False,
        looks: Annotated[str, typer.Option(help='nominal, randomised or both.')] = 'nominal',
        actor: Annotated[list[str], typer.Option(
            help='policy, expert, still, random, replay, no_image or stale_image; repeat it. '
                 'Without it: all of them.')] = [],  # noqa: B006
        prompts: Annotated[bool, typer.Option(
            '--prompts', help='Instead the policy told, shown, not told, told and shown another '
                              'pair (policy, shown, untold, misled, misshown).')] = False,
        episodes: Annotated[int, typer.Option(min=1, help='Seeds of the split, for each.')] = 200,
        split: Annotated[str, typer.Option(help='test, or validation to choose by.')] = 'test',
        temperature: Annotated[float | None, typer.Option(
            min=0, help='Of the tokens; without it the checkpoint says.')] = None,
        robot: Robot = 'panda_sim',
        out: Out = Path('out/evaluate'),
        workers: Workers = 0,
        json_file: Json = None) -> None:
    """Roll out seeded episodes: rates with n and Wilson interval, beside controls; resumable.

    Finished episodes are kept in the folder, and the same command goes on with what is missing.
    """
    from gato_ros.evaluation.cast import ABLATION, CONTROLS
    from gato_ros.evaluation.evaluate import evaluate
    from gato_ros.evaluation.report import report, show
    from gato_ros.evaluation.suite import SUITE, EvaluateSettings, parse_looks
    from gato_ros.policy.checkpoint import SHIPPED
    settings = EvaluateSettings(
        checkpoint or SHIPPED, SUITE if suite else tuple(task), parse_looks(looks),
        tuple(actor) or (ABLATION if prompts else CONTROLS), episodes, split, robot, temperature,
        out, workers)
    outcomes = list(_progress(evaluate(settings), len(settings.jobs)))
    show(settings, outcomes)
    write_json(report(settings, outcomes), json_file)


@app.command()
def teleop(
        web: Annotated[bool, typer.Option('--web', help='Serve the cockpit, a page with cameras, '
                                          'plots and buttons, instead of the keyboard.')] = False,
        sim: Annotated[bool, typer.Option('--sim', help='Start the simulator, gate, recorder and '
                                          'policy too, with the cockpit: nothing else runs.')]
        = False,
        task: Annotated[str, typer.Option(help='With --sim: as of demo.')] = 'stack_wide',
        checkpoint: Annotated[Path | None, typer.Option(
            help='With --sim: of the policy that may be let to act; none: the one that ships.')]
        = None,
        host: Annotated[str, typer.Option(
            help='Address of the page; any but this machine asks for a token.')] = '127.0.0.1',
        port: Annotated[int, typer.Option(min=0, max=65535, help='Of the page; 0: any.')] = 8400,
        token: Annotated[str, typer.Option(help="That the page's address must carry.")] = '',
        gamepad: Annotated[str, typer.Option(help='A device such as /dev/input/js0.')] = '',
        speed: Annotated[float, typer.Option(min=0.05, max=1, help='Share of full speed.')] = 0.5,
        demos: Annotated[Path, typer.Option(
            help='Folder whose demonstrations the page offers as prompts; with --sim '
                 'recordings go there.')] = Path('demos'),
        robot: Robot = 'panda_sim') -> None:
    """Move the arm through the gate: by keyboard here, in a page, or by gamepad."""
    parameters: dict[str, object] = {
        'web': web, 'host': host, 'port': port, 'token': token, 'gamepad': gamepad,
        'speed': speed, 'folder': str(demos), 'robot': robot}
    if sim:
        from gato_ros.domains.stacking.tasks import load_task
        from gato_ros.tools.graph.simulate import simulate
        simulate(parameters, load_task(task).name, checkpoint, Path('out/teleop/log'))
    from gato_ros.nodes.teleoperation.teleoperate import teleoperate
    raise typer.Exit(teleoperate(not web and not gamepad and sys.stdin.isatty(), parameters))


@app.command()
def tokens(
        robot: Robot = 'panda_sim',
        episode: Annotated[Path | None, typer.Option(
            help='Recorded episode; without it a random valid timestep.')] = None,
        timestep: Annotated[int, typer.Option(min=0, help='Of the episode.')] = 0,
        text: Annotated[str, typer.Option(help='Words in front of a random timestep.')] = '',
        json_file: Json = None) -> None:
    """Print one timestep as a table: slot, name, kind, id, decoded value, unit, loss."""
    from gato_ros.robot import load_robot
    from gato_ros.tools.commands import token_table
    chosen = load_robot(robot)
    rows = token_table.table(*(token_table.recorded(chosen, episode, timestep) if episode
                               else token_table.example(chosen, text)))
    typer.echo(f'{"slot":>4}  {"name":36} {"kind":10} {"id":>5}  {"value":>28}  unit    loss')
    for row in rows:
        number = '-' if row.id is None else row.id
        typer.echo(f'{row.slot:4}  {row.name:36} {row.kind:10} {number:>5}  {row.value:>28}  '
                   f'{row.unit:6}  {"yes" if row.loss else ""}'.rstrip())
    write_json({'spec': chosen.timestep().hash, 'tokens': rows}, json_file)


@app.command()
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
        device: Device = 'auto',
        scheduling: Annotated[str, typer.Option(
            help="Of the graph's nodes: real_time or ordinary.")] = 'real_time',
        json_file: Json = None) -> None:
    """Measure a control step here: its stages, beside other ways, as it grows, in the graph."""
    from gato_ros.policy.checkpoint import SHIPPED
    from gato_ros.tools.bench.bench import PARTS, BenchSettings, run_bench
    settings = BenchSettings(out, checkpoint or SHIPPED, tuple(part) or PARTS, tuple(model), steps,
                             long_steps, minutes, threads, recorded, robot, device, scheduling)
    write_json(run_bench(settings), json_file)
    typer.echo(f'written: {out / "bench.json"}')


if __name__ == '__main__':
    main()
