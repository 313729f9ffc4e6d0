"""A running graph with a random fault every ten seconds: nothing leaks, nothing wedges.

    python test/ros/graph/soak.py --seconds 3600 --out soak.csv

The shipped policy works at 20 Hz while a simple one moves the arm, and a recorder begins and
discards a recording again and again. Each fault must be named in diagnostics and be recovered from
by clearing it, without a restart; the memory of each process may then grow by 2 % at most over
what it was after five minutes. GATO_SLOW=5 gives every age five times as long on a busy machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gato_ros.tools.graph.children import free_domain

os.environ.setdefault('GATO_SLOW', '1')
os.environ.setdefault('ROS_DOMAIN_ID', str(free_domain()))
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ['PYTHONPATH'] = str(Path(__file__).resolve().parents[3])
sys.path.append(str(Path(__file__).resolve().parents[1] / 'helpers'))

import numpy as np
import psutil
import rclpy
from plant import ARM, SLOW, WAVING, WRIST, Plant
from ros_bench import Bench, Processes, until
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from test_faults import INPUT_FAULTS

from gato_ros.nodes.common import qos

LEAK = 0.02  # share by which a process may grow after the first five minutes
TRIALS = 3  # of a fault: one that only motion shows is not seen where the arm has just stopped
RECORDING = 6  # faults from the begin of a recording to the next one
# Which process stands still, and the words that name it.
STILL = {
    'policy stands still': ('policy', 'policy/heartbeat: nothing new'),
    'simulator stands still': ('simulator', 'joint_states: '),
    'camera source stands still': ('camera', WRIST),
    'gate stands still': ('safety', 'the gate itself stood still'),
}
SECOND = 'second publisher'
FAULTS = (*INPUT_FAULTS, *STILL, SECOND)


class Soak:
    """The graph, and what has been seen of it."""

    def __init__(self, bench: Bench, processes: Processes) -> None:
        self._bench = bench
        recorder = processes.node('recorder_node', folder=processes.folder / 'demos',
                                  min_free_mb=100)
        self.plant = Plant(bench, processes, (WAVING, '--think'), driver=True)
        self._processes = {name: psutil.Process(process.pid) for name, process in (
            ('policy', self.plant.policy), ('safety', self.plant.safety),
            ('simulator', self.plant.simulator), ('camera', self.plant.camera),
            ('recorder', recorder))}
        self._recorder = {name: bench.node.create_client(Trigger, f'recorder/{name}')
                          for name in ('start', 'discard')}

    def memory_mb(self) -> dict[str, float]:
        """Return the resident memory of each process."""
        return {name: p.memory_info().rss / 2**20 for name, p in self._processes.items()}

    def files(self) -> dict[str, int]:
        """Return how many files and threads each process has."""
        return {name: p.num_fds() + p.num_threads() for name, p in self._processes.items()}

    def record(self, name: str) -> None:
        """Begin or discard a recording; one whose clock went back has been saved already."""
        until(self._recorder[name].call_async(Trigger.Request()).done, what=f'recorder/{name}')

    def cause(self, name: str) -> tuple[float, float]:
        """Cause a fault and end it; return seconds until it was named and until the arm stood."""
        plant, moment, publisher = self.plant, time.monotonic(), None
        words: str
        try:
            if name in STILL:
                process, words = STILL[name]
                plant.kill(getattr(plant, process), signal.SIGSTOP)
                if process == 'safety':  # it can say so only afterwards
                    time.sleep(0.5 * SLOW)
                    plant.kill(plant.safety, signal.SIGCONT)
            elif name == SECOND:
                words = f'2 nodes publish on {ARM}'
                publisher = self._bench.publisher(Float64MultiArray, ARM, qos.COMMAND)
            else:
                topic, make, words = INPUT_FAULTS[name]
                plant.spoil[topic] = make()
            return plant.named(words, moment), plant.stopped(moment)
        finally:
            plant.spoil.clear()
            if publisher is not None:
                self._bench.drop(publisher)
            if name in STILL:
                plant.kill(getattr(plant, STILL[name][0]), signal.SIGCONT)


def run(soak: Soak, args: argparse.Namespace, writer: Any) -> bool:
    """Cause faults for ``args.seconds``; return whether all was as it should be."""
    draw, start = random.Random(args.seed), time.monotonic()
    settle_s = min(300.0, args.seconds / 4)
    early: dict[str, float] = {}
    early_files: dict[str, int] = {}
    most: dict[str, float] = {}
    named_s: list[float] = []
    wrong: list[str] = []
    strays = 0
    while (now := time.monotonic()) < start + args.seconds:
        if soak.plant.state() != 'enabled':  # for reasons of its own, as on a busy machine
            strays += 1
            soak.plant.recover()  # if it cannot, the soak has failed and ends here
        count = len(named_s) + len(wrong)
        name = draw.choice(FAULTS)
        named = stopped = float('nan')
        for trial in range(TRIALS):
            try:
                named, stopped = soak.cause(name)
                soak.plant.recover()
                named_s.append(named)
                break
            except AssertionError as error:
                print(f'{name}, trial {trial + 1}: {error}; the gate says '
                      f'{soak.plant.value("safety", "fault")!r}', flush=True)
                if trial + 1 == TRIALS:
                    wrong.append(f'{name}: {error}')
                strays += 1
                soak.plant.recover()
        soak.plant.within_limits()
        soak.plant.forget()
        if count % RECORDING in (0, RECORDING - 1):
            soak.record('discard' if count % RECORDING else 'start')
        memory = soak.memory_mb()
        if time.monotonic() > start + settle_s:
            early = early or memory
            early_files = early_files or soak.files()
            most = {n: max(most.get(n, 0.0), value) for n, value in memory.items()}
        row = {'seconds': round(now - start), 'fault': name, 'named_ms': round(1e3 * named, 1),
               'stopped_ms': round(1e3 * stopped, 1), 'strays': strays,
               **{n: round(value, 2) for n, value in memory.items()}}
        writer(row)
        time.sleep(max(0.0, now + args.every_s - time.monotonic()))
    growth = {n: most[n] / early[n] - 1 for n in most}
    print(f'{len(named_s) + len(wrong)} faults, {len(named_s)} named, stopped and recovered from; '
          f'named after p50 {np.median(named_s):.2f} s, p100 {max(named_s):.2f} s; '
          f'{strays} stops of other reasons')
    for line in wrong:
        print(f'  not so: {line}')
    final, files = soak.memory_mb(), soak.files()
    for n in growth:
        print(f'{n}: {early[n]:.1f} MB after {settle_s:.0f} s, at most {most[n]:.1f} MB since '
              f'({100 * growth[n]:+.2f} %), {final[n]:.1f} MB at the end; files and threads '
              f'{early_files[n]} and {files[n]}')
    return not wrong and bool(growth) and max(growth.values()) <= LEAK


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=3600.0)
    parser.add_argument('--every-s', type=float, default=10.0)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', type=Path, default=Path(os.devnull), help='a row for each fault')
    args = parser.parse_args()
    rclpy.init()
    folder = tempfile.TemporaryDirectory()
    bench, processes = Bench(), Processes(Path(folder.name))
    try:
        with args.out.open('w', newline='') as file:
            table = csv.writer(file)

            def writer(row: dict[str, Any]) -> None:
                if file.tell() == 0:
                    table.writerow(row)
                table.writerow(row.values())
                file.flush()
                print(row, flush=True)

            soak = Soak(bench, processes)
            soak.plant.recover()
            return int(not run(soak, args, writer))
    finally:
        bench.close()
        processes.close()
        folder.cleanup()


if __name__ == '__main__':
    sys.exit(main())
