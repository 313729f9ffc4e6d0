"""The policy's heartbeat: that its process lives, what it says of itself, how old its sources are.

A DiagnosticStatus at 50 Hz from the executor's thread: inference that stalls does not silence it
(the age of commands shows that), a process that is killed or stopped does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from gato_ros.untrusted import SHOWN, plain

TOPIC = 'policy/heartbeat'
RATE_HZ = 50.0


def write(problem: str, ages_s: Mapping[str, float]) -> DiagnosticStatus:
    """Return the message; ``ages_s`` maps topics to seconds since the policy heard of them."""
    level = DiagnosticStatus.ERROR if problem else DiagnosticStatus.OK
    msg = DiagnosticStatus(level=level, name='policy', message=plain(problem))
    msg.values = [KeyValue(key=topic, value=f'{age:.4f}') for topic, age in ages_s.items()]
    return msg


def read(msg: DiagnosticStatus) -> tuple[str, dict[str, float]]:
    """Return (problem, ages); an age that is no number reads as NaN, which no limit lets pass."""
    ages = {}
    for item in msg.values:
        try:
            ages[item.key[:SHOWN]] = float(item.value)
        except ValueError:
            ages[item.key[:SHOWN]] = math.nan
    problem = '' if msg.level == DiagnosticStatus.OK else plain(f'policy: {msg.message}')
    return problem, ages
