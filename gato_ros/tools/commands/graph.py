"""The commands ``demo`` and ``teleop``: the whole graph, or a person in it."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gato_ros.tools.console import Checkpoint, Json, Out, Robot, Task, write_json


class Scheduling(str, Enum):
    """How the system treats the nodes."""

    ordinary, real_time = 'ordinary', 'real_time'


Scheduled = Annotated[Scheduling, typer.Option(
    help='real_time: before all other programs, where this user may; they keep one core.')]


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
            help='Address of the page, which is printed with its token.')] = '127.0.0.1',
        scheduling: Scheduled = Scheduling.ordinary,
        out: Out = Path('out/demo'),
        json_file: Json = None) -> None:
    """Run the whole ROS graph as processes: simulator, safety node, policy node, cockpit."""
    from gato_ros.tools.graph.demo import run_demo
    write_json(run_demo(episodes, seed or None, checkpoint, task, out, mode,
                        cockpit=host if cockpit and mode == 'real_time' else '',
                        scheduling=scheduling.value), json_file)


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
            help='Address of the page, which is printed with its token.')] = '127.0.0.1',
        port: Annotated[int, typer.Option(min=0, max=65535, help='Of the page; 0: any.')] = 8400,
        token: Annotated[str, typer.Option(help="That the page's address must carry.")] = '',
        gamepad: Annotated[str, typer.Option(help='A device such as /dev/input/js0.')] = '',
        speed: Annotated[float, typer.Option(min=0.05, max=1, help='Share of full speed.')] = 0.5,
        demos: Annotated[Path, typer.Option(
            help='Folder whose demonstrations the page offers as prompts; with --sim '
                 'recordings go there.')] = Path('demos'),
        scheduling: Annotated[Scheduling, typer.Option(
            help='With --sim: as of demo.')] = Scheduling.ordinary,
        robot: Robot = 'panda_sim') -> None:
    """Move the arm through the gate: by keyboard here, in a page, or by gamepad."""
    parameters: dict[str, object] = {
        'web': web, 'host': host, 'port': port, 'token': token, 'gamepad': gamepad,
        'speed': speed, 'folder': str(demos), 'robot': robot}
    if sim:
        from gato_ros.domains.stacking.tasks import load_task
        from gato_ros.tools.graph.simulate import simulate
        simulate(parameters, load_task(task).name, checkpoint, Path('out/teleop/log'),
                 scheduling.value)
    from gato_ros.nodes.teleoperation.teleoperate import teleoperate
    raise typer.Exit(teleoperate(not web and not gamepad and sys.stdin.isatty(), parameters))
