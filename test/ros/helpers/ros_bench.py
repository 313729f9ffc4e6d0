"""Helpers of the ROS tests: polling, nodes of this process, child processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from gato_ros.nodes import MODULES

ROOT = Path(__file__).resolve().parents[3]
# A busy machine is slow; GATO_PATIENCE=10 waits ten times as long, where no core is free.
PATIENCE = float(os.environ.get('GATO_PATIENCE', '1'))
TIMEOUT_S = 60.0 * PATIENCE  # for whatever should come
LEAVE_S = 20.0 * PATIENCE  # until a process has ended


def until(condition: Callable[[], Any], timeout_s: float = TIMEOUT_S, what: str = '') -> Any:
    """Poll until ``condition()`` is true and return its value; fail when it never is."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f'{what or condition} did not come true within {timeout_s} s')


def ended(said: list) -> list[dict[str, Any]]:
    """Return the episodes that have ended, from what was recorded of sim/episode."""
    found = [json.loads(msg.data) for _, msg in said]
    return [episode for episode in found if episode['status'] != 'running']


class Bench:
    """Nodes of this process in one executor on a thread of its own."""

    def __init__(self) -> None:
        self.executor = SingleThreadedExecutor()
        self.node = Node('bench')
        self.nodes = [self.node]
        self.executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            pass
        except Exception:
            if rclpy.ok():  # else the context ended while a wait began
                raise

    def add(self, node: Node) -> Node:
        """Spin ``node`` too, and close it at the end."""
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def publisher(self, kind: type, topic: str, profile: Any = 10) -> Any:
        return self.node.create_publisher(kind, topic, profile)

    def drop(self, publisher: Any) -> None:
        """Destroy a publisher, in the executor's thread: rclpy would trip over it in another."""
        until(self.executor.create_task(self.node.destroy_publisher, publisher).done,
              what='the end of a publisher')

    def record(self, kind: type, topic: str, profile: Any = 10) -> list:
        """Return a list that grows by (steady arrival time, message)."""
        rows: list = []
        self.node.create_subscription(
            kind, topic, lambda msg: rows.append((time.monotonic(), msg)), profile)
        return rows

    def found(self, *topics: str) -> bool:
        """Whether somebody publishes on every one of these topics, as far as we know."""
        return all(self.node.count_publishers(topic) for topic in topics)

    def close(self) -> None:
        rclpy.try_shutdown()
        self._thread.join(timeout=10)
        for node in reversed(self.nodes):
            getattr(node, 'close', lambda: None)()
            node.destroy_node()


class Processes:
    """Child processes that do not outlive their test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[subprocess.Popen] = []

    def start(self, *command: str, **parameters: Any) -> subprocess.Popen:
        """Start ``python <command> --ros-args -p name:=value``; its words go to a file."""
        args = [sys.executable, *command]
        if parameters:
            args.append('--ros-args')
        for name, value in parameters.items():
            args += ['-p', f'{name}:={value}']
        log = self.folder / f'{len(self._all)}.log'
        with log.open('w') as stream:
            process = subprocess.Popen(args, stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT)
        process.log = log  # type: ignore[attr-defined]
        self._all.append(process)
        return process

    def node(self, name: str, **parameters: Any) -> subprocess.Popen:
        """Start one of the package's nodes."""
        return self.start('-m', MODULES[name], **parameters)

    def close(self) -> None:
        """End all of them; whoever does not leave on SIGTERM fails the test."""
        for process in self._all:
            process.send_signal(signal.SIGTERM)
        stuck = []
        for process in self._all:
            try:
                process.wait(timeout=LEAVE_S)
            except subprocess.TimeoutExpired:
                stuck.append(' '.join(process.args))
                process.kill()
                process.wait()
        for process in self._all:  # shown when the test has failed
            print(f'--- {process.args[1:]} ended with {process.returncode}\n'
                  f'{process.log.read_text()}')
        assert not stuck, f'did not leave on SIGTERM: {stuck}'


def socket_at(address: str) -> tuple[str, dict[str, str]]:
    """Return where the page of a cockpit's address has its socket, and what it says of itself."""
    base, _, query = address.partition('/?')
    return f'{base}/socket?{query}', {'Origin': base}


async def come_true(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def page_of(teleop: Any) -> str:
    """Return the address that the node's process has printed."""
    return until(lambda: next((line.split()[1] for line in teleop.log.read_text().split('\n')
                               if line.startswith('cockpit: ')), None), what='the page')
