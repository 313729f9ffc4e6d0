"""The whole graph at work: simulator, safety node and policy node as processes of their own.

    run_demo(episodes=3)       # table on the screen, out/demo/summary.json, out/demo/demo.mp4

In real time the cockpit comes along, a page in which a person may watch and take over. The demo
itself is one more node, which only watches. The video is drawn when everything is over, from what
was received, so that it takes no time from the control loop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gato_ros.config import ConfigError
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.evaluation.statistics import Rate
from gato_ros.robot import load_robot
from gato_ros.tools.graph.children import TIMELY, Children
from gato_ros.tools.graph.video import draw_video
from gato_ros.tools.graph.watch import Episode, watch

ROBOT = 'panda_sim'


def run_demo(episodes: int = 3, seeds: Sequence[int] | None = None,
             checkpoint: str | Path | None = None, task: str = 'stack_wide',
             out: str | Path = 'out/demo', mode: str = 'real_time',
             time_limit_s: float = 0.0, cockpit: str = '',
             scheduling: str = 'ordinary') -> dict[str, Any]:
    """Run ``episodes`` (or one for each of ``seeds``), and return what summary.json holds.

    checkpoint    folder; None: the shipped one
    mode          'real_time', or 'lock_step': physics waits for each answer
    time_limit_s  of an episode; 0: the task's
    scheduling    of the nodes, ordinary or real_time
    cockpit       address at which the page is served, such as 127.0.0.1; '': no page

    Raises GraphError when a process ends too early or nothing happens for two minutes.
    """
    seeds = list(range(episodes)) if seeds is None else list(seeds)
    if not seeds or mode not in ('real_time', 'lock_step'):
        raise ConfigError(f'{len(seeds)} episodes in mode {mode!r}, expected at least one, in '
                          'real_time or lock_step')
    if cockpit and mode != 'real_time':
        raise ConfigError(f'the cockpit in mode {mode!r}, expected real_time: physics does not '
                          'wait for people (--no-cockpit leaves it out)')
    prompt = load_task(task).sentence
    out, robot = Path(out), load_robot(ROBOT)
    lock_step = 'true' if mode == 'lock_step' else 'false'
    nodes: dict[str, dict[str, object]] = {
        'sim': {'task': task, 'seeds': json.dumps(seeds), 'mode': mode, 'exit_when_done': 'true',
                'time_limit_s': float(time_limit_s)},
        # As often as the simulated robot needs it; a real robot's gate is enabled by a person.
        'safety': {'lock_step': lock_step, 'simulation': 'true', 'publish_hz': 100.0},
        'policy': {'lock_step': lock_step, 'autostart': 'true', 'prompt': json.dumps(prompt)}}
    for name in TIMELY:
        nodes[name]['scheduling'] = scheduling
    if checkpoint is not None:
        nodes['policy']['checkpoint'] = json.dumps(str(checkpoint))
    remap = {'policy': {'proposed_effort': 'policy_effort'}} if cockpit else {}
    if cockpit:  # the policy's proposals go through it, while nobody holds its button
        nodes['teleop'] = {'web': 'true', 'host': json.dumps(cockpit), 'port': 0}
    with Children(nodes, out / 'log', remap) as children:
        def begin() -> None:
            if cockpit:
                print(children.said('teleop', 'cockpit: '), flush=True)
            children.start('safety')  # without it no episode begins, so none is missed

        children.start(*(name for name in nodes if name != 'safety'))
        seen = watch(robot, len(seeds), begin, children.check, prompt)
    summary = summarise(seen, children.memory_mb, task, mode)
    (out / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n', encoding='utf-8')
    show(summary)
    draw_video(out / 'demo.mp4', seen, robot)
    print(f'written: {out / "summary.json"}, {out / "demo.mp4"}')
    return summary


def summarise(seen: Sequence[Episode], memory_mb: dict[str, int], task: str,
              mode: str) -> dict[str, Any]:
    """Return the figures of all episodes, with n, Wilson's interval and each process's memory."""
    rows = [episode.figures() for episode in seen]
    # What a person has helped with is no success of the policy's.
    rate = Rate(sum(row['status'] == 'success' and not row['assisted'] for row in rows), len(rows))
    return {'task': task, 'mode': mode, 'success': rate.value, 'n': rate.n,
            'interval_95': rate.interval, 'episodes': rows, 'memory_mb': memory_mb,
            'largest_process': max(memory_mb, key=lambda name: memory_mb[name])}


def show(summary: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f'{summary["task"]}, {summary["mode"]}')
    for title in ('seed', 'result', 'steps', 'time s', 'rate Hz', 'p50 ms', 'p99 ms'):
        table.add_column(title, justify='left' if title == 'result' else 'right')
    for row in summary['episodes']:
        table.add_row(str(row['seed']), (row['failure'] or row['status'])
                      + (', assisted' if row['assisted'] else ''), str(row['steps']),
                      f'{row["sim_s"]:.2f}', f'{row["rate_hz"]:.1f}',
                      f'{row["latency_ms_p50"]:.1f}', f'{row["latency_ms_p99"]:.1f}')
    console = Console()
    console.print(table)
    low, high = summary['interval_95']
    largest = summary['largest_process']
    console.print(f'success {100 * summary["success"]:.0f} % (n = {summary["n"]}, 95 % interval '
                  f'{100 * low:.0f} to {100 * high:.0f}); the largest process, {largest}, took '
                  f'{summary["memory_mb"][largest]} MB')
