"""The gate's process: the only one that writes to the robot's command topics. No torch.

    in   proposed_effort  JointState             stamp of the observation, names, effort
    out  the command topic of each controller    Float64MultiArray in the controller's joint order
         sent_effort      JointState             what was really sent in answer to that proposal
         /diagnostics

The controllers hold their last command for ever. So a timer on the steady clock repeats the
command, and turns it into the stop command when no good proposal comes any more.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from gato_ros.config import ConfigError
from gato_ros.nodes import convert, diagnostics, qos
from gato_ros.nodes.params import ROBOT, Param, declare
from gato_ros.safety import Command, SafetyGate
from gato_ros.spec import load_robot

REPEAT_HZ = 100.0
PARAMS = (
    ROBOT,
    Param('stale_periods', 2.0, 'Control periods without a proposal after which the arm is '
          'stopped.', 1.0, 20.0),
    Param('lock_step', False, 'Physics waits for each command, so silence is no danger: never '
          'stop for it. Only for the simulator.'),
)


class SafetyNode(Node):
    """Judges each proposal as it comes; repeats or stops between them."""

    def __init__(self) -> None:
        super().__init__('safety')
        params = declare(self, PARAMS)
        self._robot = load_robot(params.robot)
        self._gate = SafetyGate(self._robot)
        self._lock_step = params.lock_step
        self._period_s = 1.0 / self._robot.rate_hz
        self._limit_s = params.stale_periods * self._period_s
        if self._lock_step:
            self.get_logger().warning('lock_step: no stop when proposals cease')

        self._command = self._gate.stop('no proposal yet')
        self._answer: JointState | None = None  # to the newest proposal
        self._stamp_ns = -1  # of the newest proposal
        self._accepted_s = -float('inf')  # steady arrival of the newest accepted proposal
        self._level, self._message = diagnostics.STALE, 'no proposal yet'
        self._counts: Counter[str] = Counter(
            dict.fromkeys(('proposals', 'limited', 'refused', 'stopped'), 0))

        self._controllers = {
            name: self.create_publisher(Float64MultiArray, topic, qos.COMMAND)
            for name, topic in self._robot.controllers.items()}
        self._sent = self.create_publisher(JointState, 'sent_effort', qos.EVENTS)
        self._diagnostics = diagnostics.Diagnostics(self, 'safety', self._robot.name)
        self.create_subscription(JointState, 'proposed_effort', self._on_proposal, qos.COMMAND)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # ROS time may stand still or jump
        self.create_timer(1.0 / REPEAT_HZ, self._on_timer, clock=steady)
        self.create_timer(1.0, self._report, clock=steady)

    def _on_proposal(self, msg: JointState) -> None:
        now = time.monotonic()
        stamp_ns = convert.to_ns(msg.header.stamp)
        if stamp_ns == self._stamp_ns and self._answer is not None:
            # Said twice because the answer was lost: the same answer, and no fresh lease of life.
            self._sent.publish(self._answer)
            return
        if stamp_ns < self._stamp_ns:
            self._send(self._gate.stop('time began anew'))
        self._stamp_ns = stamp_ns
        self._counts['proposals'] += 1
        # No more than a period: after a pause the arm may not jump. In lock-step physics knows no
        # time but the period, and runs must repeat exactly.
        dt = self._period_s if self._lock_step else min(now - self._accepted_s, self._period_s)
        try:
            effort = convert.to_effort(msg, self._robot, 'proposed_effort')
        except convert.ConvertError as error:
            command = self._gate.stop(str(error))
        else:
            command = self._gate.check(effort, dt)
        self._send(command)
        self._answer = convert.from_effort(self._robot.joint_names, command.effort, stamp_ns)
        self._sent.publish(self._answer)
        if not command.refused:
            self._accepted_s = now
        self._judge(command)

    def _judge(self, command: Command) -> None:
        """Turn what the gate said into the state that diagnostics show."""
        message = '; '.join(command.reasons)
        if command.refused:
            self._counts['refused'] += 1
            self._change(diagnostics.ERROR, message)
        elif command.reasons:
            self._counts['limited'] += 1
            self._change(diagnostics.WARN, message)
        else:
            self._change(diagnostics.OK, 'proposals pass unchanged')

    def _on_timer(self) -> None:
        age = time.monotonic() - self._accepted_s
        silent = not self._lock_step and age > self._limit_s
        if silent and not self._command.refused:
            self._counts['stopped'] += 1
            reason = (f'no proposal for {age:.2f} s, expected one every {self._period_s:g} s '
                      f'(stale_periods allows {self._limit_s:g} s)')
            self._command = self._gate.stop(reason)
            self._change(diagnostics.STALE, reason)
        self._send(self._command)

    def _send(self, command: Command) -> None:
        self._command = command
        for name, msg in convert.to_commands(command.effort, self._robot).items():
            self._controllers[name].publish(msg)

    def _change(self, level: bytes, message: str) -> None:
        """Report at once when the level changes, otherwise once a second."""
        changed = level != self._level
        self._level, self._message = level, message
        if changed:
            if level in (diagnostics.ERROR, diagnostics.STALE):
                self.get_logger().warning(message, throttle_duration_sec=1.0)
            self._report()

    def _report(self) -> None:
        self._diagnostics.publish(self._level, self._message, self._counts)

    def leave(self) -> None:
        """Send the stop command and wait until it has arrived."""
        self._send(self._gate.stop('the safety node leaves'))
        for publisher in self._controllers.values():
            publisher.wait_for_all_acked(Duration(seconds=0.2))


def main() -> int:
    """Spin until a signal comes; rclpy's own handlers would end the context before the stop."""
    leaving = threading.Event()
    node = None
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: leaving.set())
        node = SafetyNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not leaving.is_set():  # the timer wakes it a hundred times a second
            executor.spin_once(timeout_sec=0.1)
    except ConfigError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    finally:
        if node is not None:
            node.leave()
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


if __name__ == '__main__':
    sys.exit(main())
