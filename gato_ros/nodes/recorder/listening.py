"""Hears everything that is recorded, as serialised bytes and as reliably as it is published."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from gato_ros.episodes.recordings.topics import EPISODE
from gato_ros.nodes.common import qos

# topic, bytes, received and sent at (ns), the publisher's number of it (0: unknown)
Hear = Callable[[str, bytes, int, int, int], None]


class Listening:
    """Subscriptions of a node to ``topics`` (topic -> type), which call ``hear``."""

    def __init__(self, node: Node, topics: Mapping[str, str], hear: Hear) -> None:
        self._node, self._topics, self._hear = node, topics, hear
        self._reliable: dict[str, bool] = {}
        self._readers: dict[str, Any] = {}
        self._adapt()
        node.create_timer(0.25, self._adapt, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _adapt(self) -> None:
        """Listen as reliably as every publisher of a topic offers."""
        for topic, kind in self._topics.items():
            offers = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
            reliable = all(offer.qos_profile.reliability == ReliabilityPolicy.RELIABLE
                           for offer in offers)
            if self._reliable.get(topic) == reliable:
                continue
            if topic in self._readers:
                self._node.destroy_subscription(self._readers[topic])
            profile = qos.record(reliable)
            if topic == EPISODE and reliable:
                profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
            self._reliable[topic] = reliable
            self._readers[topic] = self._node.create_subscription(
                message_class(kind), topic, partial(self._on_message, topic), profile, raw=True)

    def _on_message(self, topic: str, data: bytes, info: dict[str, Any]) -> None:
        alone = topic in self._readers and self._readers[topic].get_publisher_count() <= 1
        self._hear(topic, data, info['received_timestamp'], info['source_timestamp'],
                   (info['publication_sequence_number'] or 0) if alone else 0)


def message_class(kind: str) -> type:
    """Return the class of a type such as ``std_msgs/msg/String``."""
    package, _, name = kind.split('/')
    return getattr(importlib.import_module(f'{package}.msg'), name)
