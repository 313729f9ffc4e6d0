"""Real-time scheduling: no other program of the machine holds a node's threads up.

The gate comes first, then the simulated robot, then the policy, whose steps are the longest, then
the recorder, which needs no more than to be in time before a driver's queue of 20 ms is full. None
is anywhere near a whole core: the kernel leaves 5 % to the others in any case.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from rclpy.node import Node

from gato_ros.nodes.common.params import Param

SAFETY, SIMULATOR, POLICY, RECORDER = 30, 20, 10, 5  # priorities; a controller manager takes 50
SCHEDULING = Param(
    'scheduling', 'ordinary', 'real_time: SCHED_RR for all threads of the process where the '
    'system permits it (ulimit -r), except in lock-step; ordinary: as all other programs.',
    choices=('ordinary', 'real_time'))


def take(node: Node, scheduling: str, priority: int, lock_step: bool) -> None:
    """Put all threads of this process under SCHED_RR; those that they start inherit it.

    A system that refuses is a warning of the node's.
    """
    if scheduling != 'real_time' or lock_step:
        return
    try:
        for thread in Path('/proc/self/task').iterdir():
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(priority))
    except PermissionError:
        node.get_logger().warning(
            f'scheduling is real_time, and this user may not take priority {priority}: it stays '
            'ordinary; set rtprio to 98 in /etc/security/limits.conf')
