"""Real-time scheduling with manners: nobody holds a node's threads up, and they starve nobody.

The gate comes first, then the simulated robot, then the policy, whose steps are the longest, then
the recorder, which needs no more than to be in time before a driver's queue of 20 ms is full.

Whoever takes it keeps two rules. Where there are two cores or more, the last one is left to all
other programs. And a process that needs more than its share of a core over WINDOW_S seconds is
ordinary until it has needed less for as long again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from rclpy.node import Node

from gato_ros.nodes.common.params import Param

SAFETY, SIMULATOR, POLICY, RECORDER = 30, 20, 10, 5  # priorities; a controller manager takes 50
# Of a core, by priority: about three times what each needs at the shipped robots' rates.
SHARES = {SAFETY: 0.5, SIMULATOR: 0.8, POLICY: 0.8, RECORDER: 0.3}
WINDOW_S, LOOK_S = 5.0, 0.5
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
        _put(os.SCHED_RR, priority)
    except PermissionError:
        node.get_logger().warning(
            f'scheduling is real_time, and this user may not take priority {priority}: it stays '
            'ordinary; set rtprio to 98 in /etc/security/limits.conf')
        return
    _leave_a_core()
    threading.Thread(target=_watch, args=(node, priority), name='share', daemon=True).start()


def usable_cores(scheduling: str) -> int:
    """Return how many cores the process may use: real_time leaves one to the others."""
    cores = len(os.sched_getaffinity(0))
    return max(1, cores - 1) if scheduling == 'real_time' else cores


class Share:
    """How much of a core a process takes over the last WINDOW_S seconds.

    allowed  share of a core
    """

    def __init__(self, allowed: float) -> None:
        self.allowed, self.used = allowed, 0.0
        self._seen: deque[tuple[float, float]] = deque()

    def exceeded(self, now_s: float, cpu_s: float) -> bool | None:
        """Note the seconds of processor so far; None before a whole window was seen."""
        self._seen.append((now_s, cpu_s))
        if now_s - self._seen[0][0] < WINDOW_S:
            return None
        while now_s - self._seen[1][0] >= WINDOW_S:
            self._seen.popleft()
        then_s, before_s = self._seen[0]
        self.used = (cpu_s - before_s) / (now_s - then_s)
        return self.used > self.allowed

    def forget(self) -> None:
        """Begin a new window."""
        self._seen.clear()


def _watch(node: Node, priority: int) -> None:
    """Take the privilege away while it is overdrawn, for as long as the process lives."""
    share, privileged = Share(SHARES[priority]), True
    while node.context.ok():
        time.sleep(LOOK_S)
        exceeded = share.exceeded(time.monotonic(), time.process_time())
        if exceeded is None or exceeded != privileged:
            continue
        privileged = not exceeded
        share.forget()
        with suppress(PermissionError):
            _put(os.SCHED_RR if privileged else os.SCHED_OTHER, priority if privileged else 0)
        if node.context.ok():
            words = (f'{share.used:.2f} of a core over {WINDOW_S:g} s, at most {share.allowed:g} '
                     'may go before all other programs')
            node.get_logger().warning(f'real-time scheduling is back: {words}' if privileged
                                      else f'ordinary scheduling for now: {words}')


def _put(kind: int, priority: int) -> None:
    for thread in _threads():
        with suppress(ProcessLookupError):  # it has just ended
            os.sched_setscheduler(thread, kind, os.sched_param(priority))


def _leave_a_core() -> None:
    """Keep this process off the last of its cores: of two graphs' nodes, off the same one."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        for thread in _threads():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, cores - {max(cores)})


def _threads() -> list[int]:
    return [int(thread.name) for thread in Path('/proc/self/task').iterdir()]
