"""What the gate costs: its rate on the wire, its share of a core, what it adds to a command.

    python test/ros/safety/bench_gate.py --seconds 30 --publish-hz 200

A process that sends what a robot and a policy send (joint states at 100 Hz, heartbeats at 50 Hz,
proposals at 20 Hz) feeds a safety node, which is enabled and follows. Its age limits are long, so
that a busy machine does not make it stop, which costs less.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gato_ros.tools.graph.children import free_domain

os.environ.setdefault('ROS_DOMAIN_ID', str(free_domain()))
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

import numpy as np
import psutil
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from gato_ros.config import data_path, read_yaml
from gato_ros.nodes.common import convert, heartbeat, qos
from gato_ros.robot import load_robot

HOME = np.array([0.0, -0.275, 0.0, -2.59, 0.0, 2.314, 0.785, 0.03])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--publish-hz', type=float, default=200.0)
    args = parser.parse_args()
    robot = load_robot('panda_sim')
    patient = Path(tempfile.mkdtemp()) / 'panda_sim.yaml'
    patient.write_text(yaml.safe_dump({**read_yaml(data_path(
        'config', 'robots', 'panda_sim.yaml')), 'joint_states_max_age_s': 2.0}))
    gate = subprocess.Popen([
        sys.executable, '-m', 'gato_ros.nodes.safety.safety_node', '--ros-args', '-p',
        f'publish_hz:={args.publish_hz}', '-p', f'robot:={patient}', '-p',
        'stale_periods:=20.0', '-p', 'deadline_s:=2.0', '-p', 'heartbeat_max_age_s:=2.0'])
    rclpy.init()
    node = rclpy.create_node('feeder')
    joints = node.create_publisher(JointState, 'joint_states', qos.SENSORS)
    beats = node.create_publisher(DiagnosticStatus, heartbeat.TOPIC, qos.NEWEST)
    proposals = node.create_publisher(JointState, 'proposed_effort', qos.COMMAND)
    wire: list[float] = []
    said: list[DiagnosticArray] = []
    node.create_subscription(Float64MultiArray, 'effort_controller/commands',
                             lambda msg: wire.append(time.monotonic()), qos.RECORD)
    node.create_subscription(DiagnosticArray, '/diagnostics', said.append, qos.EVENTS)
    enable = node.create_client(SetBool, 'safety/enable')
    clear = node.create_client(Trigger, 'safety/clear_fault')
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        due, ticks, asked, first, followed = time.monotonic(), 0, 0.0, 0, 0
        state, begun, cpu = '', 0.0, 0.0
        process = psutil.Process(gate.pid)
        while not begun or time.monotonic() < begun + args.seconds:
            due, ticks = due + 0.01, ticks + 1
            stamp_ns = time.monotonic_ns()
            joints.publish(convert.from_joints(robot.joint_names, HOME, np.zeros(8), stamp_ns))
            if ticks % 2 == 0:
                beats.publish(heartbeat.write('', {}))
            if ticks % 5 == 0:
                proposals.publish(convert.from_effort(
                    robot.joint_names, np.sin(ticks * 0.05 + np.arange(8)) * 4.0, stamp_ns))
            state = {v.key: v.value for m in said[-3:] for s in m.status
                     for v in s.values}.get('state', '')
            if state != 'enabled' and time.monotonic() > asked + 1.0:
                asked = time.monotonic()
                clear.call_async(Trigger.Request())
                enable.call_async(SetBool.Request(data=True))
            followed += bool(begun) and state == 'enabled'
            if state == 'enabled' and not begun:
                begun, cpu, first = time.monotonic(), sum(process.cpu_times()[:2]), ticks
                wire.clear()
            while time.monotonic() < due:
                executor.spin_once(timeout_sec=max(0.0, due - time.monotonic()))
        elapsed = time.monotonic() - begun
        share = (sum(process.cpu_times()[:2]) - cpu) / elapsed
        gaps_ms = np.diff(wire) * 1e3
        values = {v.key: v.value for v in said[-1].status[0].values}
        print(f'enabled {100 * followed / (ticks - first):.0f} % of the time; on the wire '
              f'{len(wire) / elapsed:.1f} Hz, gap p50 '
              f'{np.percentile(gaps_ms, 50):.2f} ms, p99 {np.percentile(gaps_ms, 99):.2f} ms; '
              f'{100 * share:.1f} % of a core, {1e3 * share * elapsed / len(wire):.3f} ms of '
              f'processor time per command sent; it adds p50 {values["added_ms_p50"]} ms, '
              f'p99 {values["added_ms_p99"]} ms to a proposal (n = {values["proposals"]})')
    finally:
        gate.terminate()
        gate.wait(timeout=10)
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
