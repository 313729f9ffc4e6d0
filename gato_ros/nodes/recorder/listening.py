"""Hears everything that is recorded, as serialised bytes and as reliably as it is published."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from gato_ros.episodes.recordings.rosbag2 import offer, offers_text
from gato_ros.episodes.recordings.topics import EPISODE, LATCHED
from gato_ros.nodes.common import qos

# topic, bytes, received and sent at (ns), the publisher's number of it (0: unknown)
Hear = Callable[[str, bytes, int, int, int], None]


class Listening:
    """Subscriptions of a node to ``topics`` (topic -> type), which call ``hear``.

    A topic whose type's package is not installed is left out, in one sentence of the node's log.

    offers  topic -> how its publishers offer it, as rosbag2 writes it
    """

    def __init__(self, node: Node, topics: Mapping[str, str], hear: Hear,
                 offers: dict[str, str]) -> None:
        self._node, self._hear, self._offers = node, hear, offers
        self._kinds: dict[str, type] = {}
        missing: dict[str, list[str]] = {}
        for topic, kind in topics.items():
            try:
                self._kinds[topic] = message_class(kind)
            except ModuleNotFoundError:
                missing.setdefault(kind.split('/')[0], []).append(topic)
        for package, left_out in missing.items():
            node.get_logger().info(
                f'{" and ".join(left_out)} will not be recorded: the package {package} is not '
                f'installed, expected it from apt (ros-$ROS_DISTRO-{package.replace("_", "-")})')
        self._reliable: dict[str, bool] = {}
        self._readers: dict[str, Any] = {}
        self._adapt()
        node.create_timer(0.25, self._adapt, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _adapt(self) -> None:
        """Listen as reliably as every publisher of a topic offers."""
        for topic, kind in self._kinds.items():
            found = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
            if found:
                self._offers[topic] = _text(found)
            reliable = all(_reliable(offered) for offered in found)
            if self._reliable.get(topic) == reliable:
                continue
            if topic in self._readers:
                self._node.destroy_subscription(self._readers[topic])
            profile = qos.record(reliable)
            if topic in (EPISODE, *LATCHED) and reliable:
                profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
            self._reliable[topic] = reliable
            self._readers[topic] = self._node.create_subscription(
                kind, topic, partial(self._on_message, topic), profile, raw=True)

    def _on_message(self, topic: str, data: bytes, info: dict[str, Any]) -> None:
        alone = topic in self._readers and self._readers[topic].get_publisher_count() <= 1
        self._hear(topic, data, info['received_timestamp'], info['source_timestamp'],
                   (info['publication_sequence_number'] or 0) if alone else 0)


def _reliable(info: Any) -> bool:
    return bool(info.qos_profile.reliability == ReliabilityPolicy.RELIABLE)


def _text(infos: Sequence[Any]) -> str:
    """Return the offers of publishers in rosbag2's words; the graph does not tell their depth."""
    return offers_text([offer(
        _reliable(info), info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        info.qos_profile.depth or qos.EVENTS.depth) for info in infos])


def message_class(kind: str) -> type:
    """Return the class of a type such as ``std_msgs/msg/String``."""
    package, _, name = kind.split('/')
    return getattr(importlib.import_module(f'{package}.msg'), name)
