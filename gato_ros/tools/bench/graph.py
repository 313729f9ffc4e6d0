"""The real graph under the watch: from a picture's stamp to the command on the wire.

How stamps of the simulator become ages is in ages.py. Where the machine is too slow for real
time the simulator stretches time; what passed since the joint state of the same stamp left is
therefore given beside the ages.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from gato_ros.domains.stacking.tasks import load_task
from gato_ros.nodes.common import convert, qos
from gato_ros.robot import POSITIONS, RobotSpec, load_robot
from gato_ros.tools.bench.ages import Message, ages
from gato_ros.tools.bench.settings import BenchError, BenchSettings
from gato_ros.tools.bench.stepper import percentiles
from gato_ros.tools.graph.children import Children

TASK = 'stack_wide'
SILENCE_S = 120.0


class Watch:
    """What the three nodes say, and when each message left: this process may be held up."""

    def __init__(self, robot: RobotSpec, node: Any) -> None:
        self.joints: list[Message] = []
        self.answers: list[Message] = []
        self.policy: dict[str, list[float]] = {}
        self.memory: list[dict[str, int]] = []  # largest so far of each process, twice a second
        for topic, kept in ((robot.joint_states_topic, self.joints),
                            ('sent_effort', self.answers)):
            node.create_subscription(JointState, topic, self._keeper(kept), qos.RECORD)
        node.create_subscription(String, 'policy/timing', self._on_timing, qos.RECORD)

    @staticmethod
    def _keeper(kept: list[Message]) -> Callable[[JointState, Mapping[str, int]], None]:
        def keep(msg: JointState, info: Mapping[str, int]) -> None:
            kept.append((convert.to_ns(msg.header.stamp) * 1e-9, info['source_timestamp'] * 1e-9))
        return keep

    def _on_timing(self, msg: String) -> None:
        step = json.loads(msg.data)
        times = {**step['timing_ms'], 'picture to proposal': step['latency_ms'],
                 'wait, convert, publish': step['latency_ms'] - step['timing_ms']['total']}
        for name, value in times.items():
            self.policy.setdefault(name, []).append(value)


def graph(settings: BenchSettings) -> dict[str, Any]:
    """Run simulator, safety node and policy node in real time for some minutes."""
    robot = load_robot(settings.robot)
    seeds = list(range(1000))
    nodes: dict[str, dict[str, object]] = {
        'sim': {'task': TASK, 'seeds': json.dumps(seeds), 'mode': 'real_time'},
        'safety': {'simulation': 'true', 'publish_hz': 100.0},
        'policy': {'autostart': 'true', 'prompt': json.dumps(load_task(TASK).sentence),
                   'checkpoint': json.dumps(str(settings.checkpoint)),
                   'device': settings.device}}
    for parameters in nodes.values():
        parameters['scheduling'] = settings.scheduling
    with Children(nodes, settings.out / 'log') as children:
        children.start('sim', 'policy')
        context = rclpy.Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        try:
            node = rclpy.create_node('bench', context=context)
            watch = Watch(robot, node)
            executor = SingleThreadedExecutor(context=context)
            executor.add_node(node)
            _spin(executor, watch, children, node, settings.minutes * 60)
            node.destroy_node()
        finally:
            rclpy.try_shutdown(context=context)
        memory = dict(children.memory_mb)
    found = ages(watch.joints, watch.answers, 1.0 / robot.rate_hz)
    count, periods = len(found.since_stamp), found.periods
    if not count or not periods:
        raise BenchError(f'{count} observations were answered in {settings.minutes:g} minutes; '
                         'the logs of the nodes say more')
    age = percentiles(found.since_stamp)
    refused = 'it stays ordinary' in (settings.out / 'log' / 'policy.log').read_text()
    return {'minutes': settings.minutes, 'answers': count, 'missed_periods': found.missed,
            'scheduling': settings.scheduling + ', not permitted' * refused,
            'in_time': round(count / (count + found.missed), 5),
            'sensor_to_command_ms': {**age, 'min': round(min(found.since_stamp), 4)},
            'arrival_to_command_ms': percentiles(found.since_sent),
            'p99_over_p50': round(age['p99'] / age['p50'], 3),
            'command_period_ms': {**percentiles(periods), 'p1': round(float(np.percentile(
                periods, 1)), 3), 'deviation': round(float(np.std(periods)), 3)},
            'policy_ms': {name: percentiles(times) for name, times in watch.policy.items()},
            'memory_MB': memory, 'memory_MB_every_10_s': watch.memory[::20]}


def _spin(executor: SingleThreadedExecutor, watch: Watch, children: Children, node: Any,
          seconds: float) -> None:
    """Listen until so much time has passed since the first answer."""
    begun, checked = False, 0.0
    moved = time.monotonic()
    until, answers = float('inf'), 0
    while time.monotonic() < until:
        executor.spin_once(timeout_sec=0.1)
        now = time.monotonic()
        if not begun and all(map(node.count_publishers, ('sim/episode', 'policy/timing'))):
            begun = True
            children.start('safety')  # without it no episode begins, so none is missed
        if now - checked < 0.5:
            continue
        checked = now
        children.check()
        watch.memory.append(dict(children.memory_mb))
        if len(watch.answers) > answers:
            until = min(until, now + seconds)
            moved, answers = now, len(watch.answers)
        elif now - moved > SILENCE_S:
            raise BenchError(f'no observation was answered for {SILENCE_S:g} s; the logs of the '
                             'nodes say more')


def message_times(robot: RobotSpec, count: int) -> dict[str, list[float]]:
    """Return ms for reading an observation's messages, and for publishing a proposal."""
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node('bench', context=context)
        publisher = node.create_publisher(JointState, 'bench/proposed_effort', qos.COMMAND)
        observation = robot.example_observation(0)
        images = {name: convert.from_image(image, 0, name)
                  for name, image in observation.images.items()}
        joints = convert.from_joints(robot.joint_names, observation.proprioception[POSITIONS],
                                     np.zeros(len(robot.joints)), 0)
        times: dict[str, list[float]] = {'convert': [], 'publish': []}
        for _ in range(count):
            start = time.perf_counter()
            convert.to_observation(images, joints, robot, 0)
            converted = time.perf_counter()
            publisher.publish(convert.from_effort(robot.joint_names,
                                                  np.zeros(len(robot.joints)), 0))
            times['convert'].append((converted - start) * 1e3)
            times['publish'].append((time.perf_counter() - converted) * 1e3)
        node.destroy_node()
        return times
    finally:
        rclpy.try_shutdown(context=context)
