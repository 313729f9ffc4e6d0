"""Publishes a recording again: what the robot saw, or what it was told, through the gate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.serialization import deserialize_message

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.mcap_file import BagError, raw_messages, read_about
from gato_ros.episodes.recordings.topics import ACTIONS, finished, sensors
from gato_ros.nodes.common import qos
from gato_ros.nodes.recorder.listening import message_class
from gato_ros.robot import RobotSpec

WAIT_S = 5.0  # for somebody who listens
SETTLE_S = 0.5  # a listener is known here a moment before it knows of us, and would miss the start


def replay(file: Path, robot: RobotSpec, what: str = 'sensors', speed: float = 1.0,
           wait_s: float = WAIT_S) -> int:
    """Publish with the recording's own gaps and return how many messages.

    what  'sensors': on the robot's topics, with the recorded stamps. 'actions': what was sent, as
          proposals with stamps of now, which the safety node judges like any other's.
    wait_s  at most, for somebody who listens to each topic

    Raises BagError when there is nothing to publish.
    """
    if what not in ('sensors', 'actions'):
        raise ConfigError(f'--what is {what!r}, expected sensors or actions')
    robot = finished(robot, read_about(file))
    wanted = sensors(robot) if what == 'sensors' else {ACTIONS[0]: 'sensor_msgs/msg/JointState'}
    if next(_chosen(file, wanted), None) is None:
        raise BagError(f'{file} has no message on {", ".join(wanted)}, expected some')
    rclpy.init()
    node = Node('replay')
    try:
        publishers = {topic: node.create_publisher(
            message_class(kind), topic if what == 'sensors' else 'proposed_effort',
            qos.RECORD if what == 'sensors' else qos.COMMAND) for topic, kind in wanted.items()}
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and not all(
                p.get_subscription_count() for p in publishers.values()):
            time.sleep(0.05)
        time.sleep(SETTLE_S)
        count = _publish(node, file, wanted, publishers, what, speed)
        for publisher in publishers.values():
            publisher.wait_for_all_acked(rclpy.duration.Duration(seconds=1.0))
        return count
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _chosen(file: Path, wanted: dict[str, str]) -> Iterator[tuple[Any, Any, Any]]:
    return raw_messages(file, lambda topic: topic.strip('/') in wanted)


def _publish(node: Node, file: Path, wanted: dict[str, str], publishers: dict[str, Any],
             what: str, speed: float) -> int:
    clock, count, began, first = Clock(clock_type=ClockType.SYSTEM_TIME), 0, 0.0, 0
    for _, channel, message in _chosen(file, wanted):
        topic = channel.topic.strip('/')
        if not count:
            began, first = time.monotonic(), message.log_time
        due = began + (message.log_time - first) * 1e-9 / speed
        time.sleep(max(0.0, due - time.monotonic()))
        if not node.context.ok():
            return count
        if what == 'sensors':
            publishers[topic].publish(message.data)
        else:
            msg = deserialize_message(message.data, message_class(wanted[topic]))
            msg.header.stamp = clock.now().to_msg()
            publishers[topic].publish(msg)
        count += 1
    return count
