"""Subscriptions that a thread of its own reads as soon as a message comes.

rclpy's executor takes much longer for each message, and holds Python's lock while it does. What is
longer than the gate needs is not even taken apart: no sender decides what the loop does meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from gato_ros.nodes.common.listen import read
from gato_ros.untrusted import Refused


class Reader:
    """Reads the newest messages of some topics in the thread that calls ``wait`` and ``hear``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._subscriptions: list[Subscription] = []
        self._waiting = _rclpy.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)

    def subscribe(self, kind: Any, topic: str, take: Callable[[Any, float], None],
                  refuse: Callable[[str], None], qos: QoSProfile) -> None:
        """Let ``take`` have messages, each with the seconds for which it has waited here.

        ``refuse`` gets the sentence of one that is too long or cannot be read.
        """
        def hear(data: bytes, waited_s: float) -> None:
            try:
                msg = read(data, kind, topic)
            except Refused as error:
                refuse(str(error))
                return
            take(msg, waited_s)

        self._subscriptions.append(self._node.create_subscription(
            kind, topic, hear, qos, callback_group=_Unexecuted()))

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until the first topic has a message, which is taken at once."""
        first = self._subscriptions[0]
        with first.handle:
            self._waiting.clear_entities()
            self._waiting.add_subscription(first.handle)
            self._waiting.wait(max(0, int(seconds * 1e9)))
        _take(first)

    def hear(self) -> None:
        """Take a message from each of the other topics that has one."""
        for subscription in self._subscriptions[1:]:
            _take(subscription)


def _take(subscription: Subscription) -> None:
    with subscription.handle:
        found = subscription.handle.take_message(subscription.msg_type, True)
    if found is not None:
        data, about = found
        subscription.callback(data, 1e-9 * (time.time_ns() - about['received_timestamp']))


class _Unexecuted(CallbackGroup):
    """What the executor leaves alone."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        pass
