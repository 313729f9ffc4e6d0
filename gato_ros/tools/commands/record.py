"""The commands ``gato-ros record ...``: look at recordings, repair, replay and trim them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gato_ros.tools.console import Json, Robot, say, write_json

app = typer.Typer(help='Recorded demonstrations (MCAP); recorder_node writes them.',
                  no_args_is_help=True, rich_markup_mode=None)
File = Annotated[Path, typer.Argument(help='MCAP file.')]
Folder = Annotated[Path, typer.Argument(help='MCAP file, or a folder of them.')]


def files_of(place: Path) -> list[Path]:
    """Return the recordings at a place; BagError for a folder without one."""
    from gato_ros.episodes.recordings.mcap_file import BagError
    if not place.is_dir():
        return [place]
    found = sorted(place.glob('*.mcap'))
    if not found:
        raise BagError(f'{place} holds no .mcap file, expected recordings (recorder_node)')
    return found


@app.command()
def info(place: Folder) -> None:
    """Show what a recording holds: task, outcome, length, messages by topic, what was lost."""
    from gato_ros.episodes.recordings.actors import read_remarks
    from gato_ros.episodes.recordings.inspect import contents
    for file in files_of(place):
        found = contents(file)
        about = found.about
        say(f'{file}: {found.seconds:.1f} s, {about.get("sentence") or "no task"}, '
                   f'{about.get("outcome") or "not marked"}, '
                   f'robot {about.get("robot", "unknown")}')
        for key in ('began', 'source', 'version', 'note', 'recovered', 'trimmed'):
            if about.get(key):
                say(f'  {key}: {about[key]}')
        for words in read_remarks(file):
            say(f'  remark: {words}')
        for topic, count in found.topics.items():
            lost = found.lost.get(topic.strip('/'), 0)
            say(f'  {count:7} {topic}' + (f', {lost} lost' if lost else ''))


@app.command()
def check(place: Folder, robot: Robot = 'panda_sim', json_file: Json = None) -> None:
    """Say of each recording whether it may become training data, and why not; status 1 if any."""
    from gato_ros.config import to_dict
    from gato_ros.episodes.recordings.inspect import inspect
    from gato_ros.episodes.recordings.mcap_file import BagError
    from gato_ros.robot import load_robot
    rows: list[dict[str, Any]] = []
    for file in files_of(place):
        try:
            verdict = inspect(file, load_robot(robot))
        except BagError as error:
            rows.append({'file': str(file), 'refusal': str(error)})
            say(f'no   {error}')
            continue
        rows.append({'file': str(file), 'refusal': verdict.refusal, 'steps': verdict.steps,
                     'blind': verdict.blind,
                     'skew': to_dict(verdict.skew), 'refused': dict(verdict.refused)})
        named = '' if str(file) in verdict.refusal else f'{file}: '
        say(f'no   {named}{verdict.refusal}' if verdict.refusal else
                   f'yes  {file}: {verdict.steps} steps, {100 * verdict.blind:.0f} % of the '
                   'time without an observation, skew p95 '
                   f'{1e3 * verdict.skew.p95_s:.0f} ms, max {1e3 * verdict.skew.max_s:.0f} ms')
    write_json({'recordings': rows}, json_file)
    if any(row['refusal'] for row in rows):
        raise typer.Exit(1)


@app.command()
def repair(place: Folder) -> None:
    """Recover what a crash left open (.mcap.part), or what is whole of a damaged file."""
    from gato_ros.episodes.recordings.recover import recover, recover_folder
    done = recover_folder(place) if place.is_dir() else [recover(place)]
    for one in done:
        say(f'{one.source}: {one.messages} messages in {one.file or "nothing"}, '
                   f'{one.lost} bytes lost')
    if not done:
        say(f'{place}: nothing was left open')


@app.command()
def trim(file: File, out: Annotated[Path, typer.Option(help='The new file.')],
         start: Annotated[float, typer.Option(min=0, help='Seconds after the first message.')]
         = 0.0,
         stop: Annotated[float, typer.Option(min=0, help='Seconds after the first message.')]
         = 1e9) -> None:
    """Cut the ends off; the original stays as it is."""
    from gato_ros.episodes.recordings.inspect import trim
    say(f'{out}: {trim(file, out, start, stop)} messages')


@app.command()
def bag(file: File, out: Annotated[Path, typer.Option(help='The new folder.')]) -> None:
    """Make a folder as `ros2 bag record` leaves one, with metadata.yaml; the file stays."""
    from gato_ros.episodes.recordings.rosbag2 import write_folder
    say(f'written: {write_folder(file, out)}')


@app.command()
def replay(file: File,
           what: Annotated[str, typer.Option(
               help='sensors: as the robot published them. actions: what was sent, as proposals '
               'to the gate, which moves a robot.')] = 'sensors',
           speed: Annotated[float, typer.Option(min=0.01, max=100, help='Times as fast.')] = 1.0,
           wait: Annotated[float, typer.Option(
               min=0, help='Seconds, at most, until somebody listens to each topic.')] = 5.0,
           robot: Robot = 'panda_sim') -> None:
    """Publish a recording again, in its own time."""
    from gato_ros.nodes.recorder.replay import replay
    from gato_ros.robot import load_robot
    say(f'{replay(file, load_robot(robot), what, speed, wait)} messages published')


@app.command()
def report(place: Folder,
           out: Annotated[Path, typer.Option(help='The page.')] = Path('report.html'),
           robot: Robot = 'panda_sim') -> None:
    """Write one HTML page about a folder: thumbnails, lengths, skews, refusals, verdicts."""
    from gato_ros.robot import load_robot
    from gato_ros.tools.reports.recordings import write_report
    write_report(files_of(place), load_robot(robot), out)
    say(f'written: {out}')
