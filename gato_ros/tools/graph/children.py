"""Nodes as processes of their own, in a ROS domain that nobody else on this machine is in.

    with Children({'sim': {'task': 'stack_wide'}}, Path('out/log')) as children:
        children.start('sim')
        children.check()
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from gato_ros.nodes import MODULES

TIMELY = ('sim', 'safety', 'policy')  # nodes that a busy machine must not hold up
ONE_THREAD = dict.fromkeys(('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS'), '1')


class GraphError(RuntimeError):
    """The graph cannot go on; one sentence."""


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
                os.fchmod(log.fileno(), 0o600)  # the page's address carries its token
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

        Raises SystemExit or GraphError.
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
                raise GraphError(f'the {name} node ended with status {code}: {last}')

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
