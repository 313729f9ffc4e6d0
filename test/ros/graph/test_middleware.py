"""Fast DDS's one process of its own, the discovery server: killed and started again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plant import Plant
from ros_bench import Bench, Processes

pytestmark = pytest.mark.sim
PROGRAM = Path(sys.prefix, 'bin', 'fast-discovery-server')


class Server:
    """Without it nobody finds anybody: every process asks it who else there is."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [PROGRAM, '-i', '0', '-l', '127.0.0.1', '-p', str(self._port)],
            stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    if not PROGRAM.exists():
        pytest.skip('fast-discovery-server is not installed beside this Python')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    monkeypatch.setenv('ROS_DISCOVERY_SERVER', f'127.0.0.1:{port}')
    server = Server(port)
    yield server
    server.kill()


def test_fast_dds_restarted_is_recovered_from(server: Server, bench: Bench,
                                              processes: Processes) -> None:
    """Who has been found goes on without it; who comes later is found when it is back."""
    plant = Plant(bench, processes, relay=False)
    plant.recover()
    server.kill()
    time.sleep(25.0)  # Fast DDS takes a server for alive for 20 s, and a new one for the same
    plant.recover()
    moment = plant.kill(plant.policy)
    plant.policy.wait()
    plant.stopped(moment)  # without it, too
    server.start()
    plant.start_policy()
    plant.recover()
    plant.within_limits()
