"""What the gate's process hears and speaks through."""

from __future__ import annotations

from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from ros_bench import Bench, Processes, until

from gato_ros.nodes.common import qos

fast_dds = pytest.mark.skipif(rclpy.get_rmw_implementation_identifier() != 'rmw_fastrtps_cpp',
                              reason='the middleware is not Fast DDS')


@fast_dds
@pytest.mark.parametrize('reach', ['LOCALHOST', 'SUBNET'])
def test_the_gate_is_heard_and_no_lock_of_a_dead_process_can_hold_it_up(
        bench: Bench, processes: Processes, monkeypatch: pytest.MonkeyPatch, reach: str) -> None:
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', reach)
    said = bench.record(DiagnosticArray, '/diagnostics', qos.EVENTS)
    gate = processes.node('safety_node')
    until(lambda: said, what='the gate')
    threads = {(thread / 'comm').read_text().strip()
               for thread in Path(f'/proc/{gate.pid}/task').iterdir()}
    assert any(name.startswith('dds.udp') for name in threads)
    assert not any(name.startswith('dds.shm') for name in threads), threads


@fast_dds
def test_alone_on_this_computer_it_listens_at_no_address_of_a_network(
        bench: Bench, processes: Processes) -> None:
    said = bench.record(DiagnosticArray, '/diagnostics', qos.EVENTS)
    gate = processes.node('safety_node')
    until(lambda: said, what='the gate')
    sockets = {link.readlink().name for link in Path(f'/proc/{gate.pid}/fd').iterdir()
               if link.is_symlink()}
    rows = [line.split() for line in Path(f'/proc/{gate.pid}/net/udp').read_text().splitlines()]
    # Local address and inode of each; 0100007F is 127.0.0.1. A port of 0 only sends.
    bound = [row[1] for row in rows[1:] if f'socket:[{row[9]}]' in sockets]
    assert bound and all(address.startswith('0100007F:') for address in bound), bound
