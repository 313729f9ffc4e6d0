"""What the gate says of itself: once a second, and at once when its state changes or gets bad.

That proposals are being limited can change with every tick: it waits for the next report, which
names the newest limit since the last one.
"""

from __future__ import annotations

import time
from collections import Counter

from rclpy.node import Node

from gato_ros.nodes.common import diagnostics
from gato_ros.robot import RobotSpec
from gato_ros.safety.gate import Command
from gato_ros.safety.guard import Guard
from gato_ros.safety.machine import State


class GateReport:
    """Turns a guard's state and commands into diagnostics; not thread-safe.

    counts   proposals, and how many were limited or refused; stops
    added    ms from a proposal's arrival until its command has left
    ticks    ms from one tick to the next
    repeats  proposals whose stamp came twice since the last report
    """

    def __init__(self, node: Node, robot: RobotSpec, guard: Guard) -> None:
        self.counts: Counter[str] = Counter(
            dict.fromkeys(('proposals', 'limited', 'refused', 'stopped'), 0))
        self.added, self.ticks = diagnostics.Spread(), diagnostics.Spread()
        self.repeats = 0
        self._node, self._robot, self._guard = node, robot, guard
        self._diagnostics = diagnostics.Diagnostics(node, 'safety', robot.name)
        self._state, self._level, self._message = State.DISABLED, diagnostics.STALE, ''
        self._known = 0  # joint states whose stamp came twice, up to the last report
        self._limit = ''  # the newest since the last report
        self._figures: dict[str, str] = {}

    def judge(self, command: Command) -> None:
        """Note what was sent; report at once what may not wait."""
        guard = self._guard
        state, reason = guard.state, '; '.join(command.reasons)
        if state is State.ENABLED and not guard.refusal:
            level, words = diagnostics.OK, 'proposals pass unchanged'
            self._limit = reason or self._limit
        elif state is State.READY:
            level, words = diagnostics.OK, 'waiting to be enabled'
        else:
            waiting = state is State.DISABLED and not guard.refusal
            level = diagnostics.STALE if waiting else diagnostics.ERROR
            words = guard.machine.fault or reason
        changed = (state, level) != (self._state, self._level)
        if changed and state is State.STOPPING:
            self.counts['stopped'] += 1
        self._state, self._level, self._message = state, level, words
        if changed:
            if level == diagnostics.ERROR:
                self._node.get_logger().warning(f'{state.value}: {words}',
                                                throttle_duration_sec=1.0)
            self.publish()

    def look(self) -> str:
        """Take the figures of the next reports; return who else publishes on the command topics.

        It takes a millisecond, so the gate does not wait for it: the one call without the lock.
        """
        self._figures = {
            'publish_hz': f'{self.ticks.rate():.1f}',
            'tick_ms_p99': f'{self.ticks.percentile(99):.2f}',
            'tick_ms_max': f'{self.ticks.percentile(100):.2f}',
            'added_ms_p50': f'{self.added.percentile(50):.3f}',
            'added_ms_p99': f'{self.added.percentile(99):.3f}'}
        found = {topic: self._node.get_publishers_info_by_topic(
            self._node.resolve_topic_name(topic)) for topic in self._robot.controllers.values()}
        return '; '.join(
            f'{len(who)} nodes publish on {topic}, expected the safety node alone: '
            + ', '.join(f'{p.node_namespace.rstrip("/")}/{p.node_name}' for p in who)
            for topic, who in found.items() if len(who) > 1)

    def publish(self) -> None:
        """Report how the gate is."""
        guard, source = self._guard, self._guard.joint_states
        notes = [f'{source.name}: a stamp came twice'] if source.duplicates > self._known else []
        notes += ['proposed_effort: a stamp came twice'] if self.repeats else []
        notes += [guard.trouble] if guard.trouble not in self._message else []
        if self._state in (State.STOPPING, State.FAULT):  # the fault is remembered; does it last?
            notes += [f'now: {problem}' for problem in guard.problems(time.monotonic())]
        level, words = self._level, self._message
        if level == diagnostics.OK and self._limit:
            level, words = diagnostics.WARN, self._limit
        self._known, self.repeats, self._limit = source.duplicates, 0, ''
        self._diagnostics.publish(
            level, '; '.join([f'{self._state.value}: {words}', *notes]),
            {'state': self._state.value, 'fault': guard.machine.fault, **self.counts,
             'duplicates': source.duplicates, **self._figures})
