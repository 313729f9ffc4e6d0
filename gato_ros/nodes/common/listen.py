"""Subscriptions of which no sender decides what they cost: a message's length comes first.

What is longer than its topic needs is never taken apart, and counts as a message that cannot be
read. Words that hold JSON are read within budgets, and only for the fields that are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from rclpy._rclpy_pybind11 import RMWError
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from gato_ros.untrusted import Refused, parse_json, plain

SMALL = 16_384  # bytes: joint states of two hundred joints, a prompt, a heartbeat
STATUS = 65_536  # diagnostics of a whole robot, figures of a step
LONGEST_LIST = 4096  # numbers in a field


def read(data: bytes, kind: Any, topic: str, largest: int = SMALL) -> Any:
    """Return the message; raises Refused for one that is too long or no such message."""
    if len(data) > largest:
        raise Refused(f'{topic}: a message of {len(data)} bytes, expected at most {largest}')
    try:
        return deserialize_message(data, kind)
    except (RMWError, ValueError, RuntimeError) as error:  # ValueError: text that is no UTF-8
        raise Refused(f'{topic}: a message of {len(data)} bytes is no {kind.__name__}') from error


def listen(node: Node, kind: Any, topic: str, take: Callable[[Any], object], qos: QoSProfile,
           largest: int = SMALL, refuse: Callable[[str], None] | None = None) -> None:
    """Call ``take`` with what comes on a topic; ``refuse``, or the log, gets the sentence of a
    message that cannot be read.
    """
    def hear(data: bytes) -> None:
        try:
            msg = read(data, kind, topic, largest)
        except Refused as error:
            if refuse is None:
                node.get_logger().warning(f'{error}; passed over', throttle_duration_sec=1.0)
            else:
                refuse(str(error))
            return
        take(msg)

    node.create_subscription(kind, topic, hear, qos, raw=True)


def fields(text: str, wanted: Mapping[str, type], limit: int = STATUS) -> dict[str, Any]:
    """Return the wanted fields of a JSON object that are there.

    wanted  name -> str, int, float (finite, an int serves) or list (of such, LONGEST_LIST at most)

    Raises Refused for a text that is no such object, and for a field of another type.
    """
    found = parse_json(text, limit)
    if not isinstance(found, dict):
        raise Refused(f'it is a {type(found).__name__}, expected an object')
    for name, kind in wanted.items():
        if name in found and not _fits(found[name], kind):
            raise Refused(f'{name} is {plain(repr(found[name])[:400], 80)}, expected '
                          f'{"numbers" if kind is list else kind.__name__}')
    return {name: found[name] for name in wanted if name in found}


def _fits(value: Any, kind: type) -> bool:
    if kind is list:
        return (isinstance(value, list) and len(value) <= LONGEST_LIST
                and all(_fits(item, float) for item in value))
    if kind is float:
        return (isinstance(value, int | float) and not isinstance(value, bool)
                and abs(value) < 1e300 and math.isfinite(value))
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
