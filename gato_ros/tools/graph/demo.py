"""The whole graph at work: simulator, safety node and policy node as processes of their own.

    run_demo(episodes=3)       # table on the screen, out/demo/summary.json, out/demo/demo.mp4

In real time the cockpit comes along, a page in which a person may watch and take over. The demo
itself is one more node, which only watches. The video is drawn when everything is over, from what
was received, so that it takes no time from the control loop.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.actors import PERSON, read_mark
from gato_ros.episodes.recordings.topics import EPISODE, MARK, PROMPT
from gato_ros.evaluation.statistics import Rate
from gato_ros.nodes import MODULES
from gato_ros.robot import RobotSpec, load_robot

ROBOT = 'panda_sim'
LINGER_S = 0.5
TIMELY = ('sim', 'safety', 'policy')  # nodes that a busy machine must not hold up
SILENCE_S = 120.0  # so long may nothing happen: a slow machine loads torch in half a minute
ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1')


class DemoError(RuntimeError):
    """The demo cannot go on; one sentence."""


@dataclass(frozen=True)
class Episode:
    """What was received during one episode, by the stamp of the observation in ns.

    images   camera -> stamp -> uint8[H, W, 3]
    efforts  stamp -> float64[N] that was sent
    steps    stamp -> the policy node's timing message
    ends     steady time of each answer's arrival
    result   the simulator's last word: seed, status, failure, steps, sim_s, wall_s; assisted:
             whether a person has acted
    """

    images: dict[str, dict[int, np.ndarray]]
    efforts: dict[int, np.ndarray]
    steps: dict[int, dict[str, Any]]
    ends: tuple[float, ...]
    result: dict[str, Any]

    def figures(self) -> dict[str, Any]:
        """Return the row of the table."""
        latencies = [step['latency_ms'] for step in self.steps.values()] or [0.0]
        ends = self.ends[1:]  # the first answer may wait for the episode to begin
        rate = (len(ends) - 1) / (ends[-1] - ends[0]) if ends[1:] else 0.0
        return {**self.result, 'answers': len(self.steps), 'rate_hz': round(rate, 2),
                'latency_ms_p50': round(float(np.percentile(latencies, 50)), 1),
                'latency_ms_p99': round(float(np.percentile(latencies, 99)), 1)}


def run_demo(episodes: int = 3, seeds: Sequence[int] | None = None,
             checkpoint: str | Path | None = None, task: str = 'stack_wide',
             out: str | Path = 'out/demo', mode: str = 'real_time',
             time_limit_s: float = 0.0, cockpit: str = '') -> dict[str, Any]:
    """Run ``episodes`` (or one for each of ``seeds``), and return what summary.json holds.

    checkpoint    folder; None: the shipped one
    mode          'real_time', or 'lock_step': physics waits for each answer
    time_limit_s  of an episode; 0: the task's
    cockpit       address at which the page is served, such as 127.0.0.1; '': no page

    Raises DemoError when a process ends too early or nothing happens for two minutes.
    """
    from gato_ros.domains.stacking.tasks import load_task
    from gato_ros.tools.graph.video import draw_video

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
        nodes[name]['scheduling'] = 'real_time'
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


def free_domain() -> int:
    """Return a ROS domain, drawn by chance, that nobody on this machine is in.

    Two graphs in one domain hear each other: the arm of one takes the commands of the other.
    """
    domains = random.SystemRandom().sample(range(1, 101), 100)  # 0 to 101 are safe everywhere
    return next(filter(is_free, domains), domains[0])


def is_free(domain: int) -> bool:
    """Whether none of the domain's first ten participants listens at its port (DDSI, 9.6.1)."""
    try:
        for port in range(7410 + 250 * domain, 7430 + 250 * domain, 2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(('', port))
    except OSError:
        return False
    return True


class Children:
    """The nodes' processes, each in a group of its own; none outlives the ``with`` block.

    nodes      node -> its parameters;  remap  node -> topic -> the name that it takes instead
    memory_mb  process -> largest resident size so far
    """

    def __init__(self, nodes: dict[str, dict[str, object]], logs: Path,
                 remap: dict[str, dict[str, str]] | None = None) -> None:
        self.memory_mb: dict[str, int] = {}
        self._nodes, self._logs, self._remap = nodes, logs, remap or {}
        self._processes: dict[str, subprocess.Popen] = {}
        self._signal = 0

    def __enter__(self) -> Children:
        self._logs.mkdir(parents=True, exist_ok=True)
        self._environment = dict(os.environ)
        os.environ.update(ROS_DOMAIN_ID=str(free_domain()), ROS_LOG_DIR=str(self._logs.resolve()),
                          ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
        # Signals only leave a note: one that came between a child's start and its entry in the
        # list would leave an orphan.
        self._former = {number: signal.signal(number, self._on_signal)
                        for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def start(self, *names: str) -> None:
        """Start these nodes."""
        for name in names:
            args = [sys.executable, '-m', MODULES[f'{name}_node'], '--ros-args']
            for key, value in self._nodes[name].items():
                args += ['-p', f'{key}:={value}']
            for topic, other in self._remap.get(name, {}).items():
                args += ['-r', f'{topic}:={other}']
            with (self._logs / f'{name}.log').open('w') as log:
                self._processes[name] = subprocess.Popen(
                    args, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD},
                    start_new_session=True)

    def said(self, name: str, start: str) -> str:
        """Wait for a line of this node that begins so, and return it; raises as ``check``."""
        log = self._logs / f'{name}.log'
        while not (lines := [line for line in log.read_text(errors='replace').split('\n')
                             if line.startswith(start)]):
            self.check()
            time.sleep(0.05)
        return lines[0]

    def _on_signal(self, number: int, _: object) -> None:
        self._signal = number

    def check(self) -> None:
        """Note memory; leave on a signal, or with the last words of a child that ended badly.

        Raises SystemExit or DemoError.
        """
        if self._signal:
            sys.exit(128 + self._signal)
        for name, process in self._processes.items():
            code = process.poll()
            if code is None:
                with suppress(OSError, StopIteration):
                    lines = Path(f'/proc/{process.pid}/status').read_text().splitlines()
                    line = next(line for line in lines if line.startswith('VmHWM:'))
                    self.memory_mb[name] = int(line.split()[1]) // 1024
            elif code != 0 or name != 'sim':  # the simulator leaves when its seeds are over
                words = (self._logs / f'{name}.log').read_text(errors='replace').split('\n')
                last = next((line for line in reversed(words) if line.strip()), 'it said nothing')
                raise DemoError(f'the {name} node ended with status {code}: {last}')

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5)
        for kind, former in self._former.items():
            signal.signal(kind, former)
        os.environ.clear()
        os.environ.update(self._environment)


class _Stamped(Protocol):
    header: Any


class Track:
    """The messages of one topic, cut into episodes where stamps jump back."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self.parts: list[dict[int, Any]] = []
        self.ends: list[list[float]] = []
        self._read, self._last = read, 0

    def add(self, msg: Any, stamp_ns: int) -> None:
        """Store one message; a message that comes again counts once."""
        if not self.parts or stamp_ns < self._last:
            self.parts.append({})
            self.ends.append([])
        if stamp_ns not in self.parts[-1]:
            self.parts[-1][stamp_ns] = self._read(msg)
            self.ends[-1].append(time.monotonic())
        self._last = stamp_ns

    def part(self, index: int) -> dict[int, Any]:
        return self.parts[index] if index < len(self.parts) else {}


def watch(robot: RobotSpec, episodes: int, begin: Callable[[], None],
          check: Callable[[], None], prompt: str) -> list[Episode]:
    """Record ``episodes`` from the running graph.

    ``begin`` is called once the simulator is there and the policy reports, ``check`` twice a
    second. An episode with another sentence than ``prompt``, which the policy has, is announced.
    """
    import rclpy
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions
    from sensor_msgs.msg import Image, JointState
    from std_msgs.msg import String

    from gato_ros.nodes.common import convert, qos

    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node('demo', context=context)
        cameras = {c.name: Track(partial(convert.to_image, camera=c)) for c in robot.cameras}
        efforts = Track(lambda m: convert.to_effort(m, robot, 'sent_effort'))
        steps = Track(lambda m: m)
        results: list[dict[str, Any]] = []
        said, told = prompt, prompt  # the running episode's sentence, and the policy's prompt
        assisted: set[int] = set()
        heard: set[str] = set()  # a node that reports has loaded what it needs

        def on_stamped(track: Track) -> Callable[[_Stamped], None]:
            return lambda msg: track.add(msg, convert.to_ns(msg.header.stamp))

        def on_timing(msg: String) -> None:
            step = json.loads(msg.data)
            steps.add(step, step['stamp_ns'])

        def on_episode(msg: String) -> None:
            nonlocal said
            result = json.loads(msg.data)
            said = result['sentence']
            if result['status'] != 'running':
                results.append({**result, 'assisted': len(results) in assisted})
                print(f'seed {result["seed"]}: {result["failure"] or result["status"]} after '
                      f'{result["sim_s"]:.2f} s', flush=True)

        def on_mark(msg: String) -> None:
            if (read_mark(msg.data) or (0, ''))[1] == PERSON:
                assisted.add(len(results))

        prompts = node.create_publisher(String, PROMPT, qos.PROMPT)
        for camera in robot.cameras:
            node.create_subscription(Image, camera.topic, on_stamped(cameras[camera.name]),
                                     qos.RECORD)
        node.create_subscription(JointState, 'sent_effort', on_stamped(efforts), qos.RECORD)
        node.create_subscription(String, 'policy/timing', on_timing, qos.RECORD)
        node.create_subscription(String, EPISODE, on_episode, qos.EPISODES)
        node.create_subscription(String, MARK, on_mark, qos.EVENTS)
        node.create_subscription(DiagnosticArray, '/diagnostics', lambda msg: heard.update(
            status.name for status in msg.status), qos.EVENTS)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        checked = moved = time.monotonic()
        known, begun = 0, False
        while len(results) < episodes:
            executor.spin_once(timeout_sec=0.1)
            now = time.monotonic()
            if said != told and prompts.get_subscription_count():
                told = said
                prompts.publish(String(data=told))
            if not begun and 'policy' in heard and all(map(node.count_publishers, (
                    EPISODE, 'proposed_effort'))):
                begun = True
                begin()
            if now - checked > 0.5:
                check()
                count = sum(map(len, steps.parts)) + len(results)
                checked, moved, known = now, now if count > known else moved, count
                if now - moved > SILENCE_S:
                    raise DemoError(f'no observation was answered for {SILENCE_S:g} s; the logs '
                                    'of the nodes say more')
        check()
        # Topics have no order among each other: the last answers may come after the last word.
        quiet = time.monotonic() + LINGER_S
        while time.monotonic() < quiet:
            executor.spin_once(timeout_sec=0.05)
        node.destroy_node()
    finally:
        rclpy.try_shutdown(context=context)
    return [Episode({name: track.part(i) for name, track in cameras.items()}, efforts.part(i),
                    steps.part(i), tuple(steps.ends[i]) if i < len(steps.ends) else (), result)
            for i, result in enumerate(results)]
