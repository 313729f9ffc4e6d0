"""Collecting over two Ray nodes beside one, each held to one core of this machine.

    pip install 'gato_ros[cluster]'
    python benchmarks/cluster.py --episodes 60 --json out/cluster.json

One node, then two, then one again, so that a change of the machine's own speed shows; and whether
the episodes are the same bytes. The time that a process takes to start is left out of no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gato_ros.training.collect import CollectSettings, collect

PORT = 6399


def ray(*arguments: str, core: int) -> None:
    """Run ray's own program on one core; what it starts stays there."""
    subprocess.run(['taskset', '-c', str(core), sys.executable, '-m', 'ray.scripts.scripts',
                    *arguments], check=True, stdout=subprocess.DEVNULL)


def measure(nodes: int, settings: CollectSettings) -> float:
    """Start a cluster of so many nodes, collect there, stop it; return the seconds."""
    cores = sorted(os.sched_getaffinity(0))
    ray('start', '--head', f'--port={PORT}', '--num-cpus=1', '--include-dashboard=false',
        '--disable-usage-stats', core=cores[0])
    try:
        for core in cores[1:nodes]:
            ray('start', f'--address=127.0.0.1:{PORT}', '--num-cpus=1', '--disable-usage-stats',
                core=core)
        start = time.perf_counter()
        for _ in collect(settings):
            pass
        return time.perf_counter() - start
    finally:
        ray('stop', core=cores[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--episodes', type=int, default=60)
    parser.add_argument('--task', default='stack_wide')
    parser.add_argument('--json', type=Path)
    chosen = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit('one core is here, expected two: each node is held to one of its own')
    result: dict[str, Any] = {'episodes': chosen.episodes, 'task': chosen.task,
                              'load_before': os.getloadavg()[0]}
    seconds, folders = [], []
    with tempfile.TemporaryDirectory() as root:
        for number, nodes in enumerate((1, 2, 1)):
            out = Path(root, str(number))
            seconds.append(measure(nodes, CollectSettings(
                out, chosen.episodes, (chosen.task,), ray=f'127.0.0.1:{PORT}')))
            folders.append({file.name: file.read_bytes() for file in out.iterdir()})
    result |= {'seconds': {'one': seconds[0], 'two': seconds[1], 'one again': seconds[2]},
               'times_faster': (seconds[0] + seconds[2]) / 2 / seconds[1],
               'bytes_equal': folders[0] == folders[1] == folders[2]}
    print(json.dumps(result, indent=1))
    if chosen.json:
        chosen.json.parent.mkdir(parents=True, exist_ok=True)
        chosen.json.write_text(json.dumps(result, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
