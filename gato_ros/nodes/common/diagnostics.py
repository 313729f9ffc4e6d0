"""Health as diagnostic_msgs: one status of a node, its level, its sentence, its figures."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Mapping

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from gato_ros.nodes.common import qos
from gato_ros.untrusted import plain

OK, WARN = DiagnosticStatus.OK, DiagnosticStatus.WARN
ERROR, STALE = DiagnosticStatus.ERROR, DiagnosticStatus.STALE


class Diagnostics:
    """Publishes one status; ``/diagnostics`` is global by convention and so absolute.

    Its name is the node's part in the graph behind the namespace: ``safety``, ``left/safety``.
    """

    def __init__(self, node: Node, name: str, hardware_id: str) -> None:
        self._node, self._hardware_id = node, hardware_id
        self._name = f'{node.get_namespace()}/{name}'.strip('/')
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', qos.EVENTS)

    def publish(self, level: bytes, message: str, values: Mapping[str, object]) -> None:
        """Publish one status with ``values`` as text."""
        status = DiagnosticStatus(level=level, name=self._name, message=plain(message),
                                  hardware_id=self._hardware_id)
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        msg = DiagnosticArray(status=[status])
        msg.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(msg)


class Spread:
    """The last thousand of a figure, for percentiles."""

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=1000)

    def add(self, value: float) -> None:
        self._values.append(value)

    def percentile(self, percent: float) -> float:
        """Return a percentile; 0 before anything was added."""
        return float(np.percentile(list(self._values) or [0.0], percent))

    def rate(self) -> float:
        """Return a thousand over the mean: the rate in Hz of intervals in ms."""
        return 1e3 / max(float(np.mean(list(self._values) or [np.inf])), 1e-9)


class StepStatistics:
    """Figures of a control loop: its rate, its latency, what it refused."""

    def __init__(self) -> None:
        self.steps = self.skipped = 0
        self._refused_s = -float('inf')
        self.refusals: Counter[str] = Counter()
        self._ends: deque[float] = deque(maxlen=1000)
        self._latencies_ms = Spread()

    def add(self, latency_ms: float, skipped: int) -> None:
        """Count a step that has just ended, and the control periods left out before it."""
        self.steps += 1
        self.skipped += skipped
        self._ends.append(time.monotonic())
        self._latencies_ms.add(latency_ms)

    def refuse(self, reason: str, bad: bool, period_s: float) -> None:
        """Count a reason once in ``period_s``; every time for what is bad, not only too old."""
        now = time.monotonic()
        if bad or now - self._refused_s >= period_s:
            self._refused_s = now
            self.refusals[f'{reason.split(":")[0]} {"bad" if bad else "stale"}'] += 1

    def values(self) -> dict[str, object]:
        """Return the figures: rate over five seconds, latency over the last thousand steps."""
        latency_ms = self._latencies_ms.percentile
        ends = [end for end in list(self._ends) if end > time.monotonic() - 5.0]
        rate = (len(ends) - 1) / (ends[-1] - ends[0]) if len(ends) > 1 else 0.0
        return {'rate_hz': f'{rate:.2f}', 'steps': self.steps, 'skipped_periods': self.skipped,
                'latency_ms_p50': f'{latency_ms(50):.1f}',
                'latency_ms_p99': f'{latency_ms(99):.1f}',
                'latency_ms_max': f'{latency_ms(100):.1f}',
                'refusals': json.dumps(dict(self.refusals))}
