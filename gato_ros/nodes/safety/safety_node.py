"""The gate's process: the only one that writes to the robot's command topics. No torch.

    in   proposed_effort    JointState           stamp of the observation, names, commands
         policy/heartbeat   DiagnosticStatus     that the policy lives, and how old its sources are
         the robot's joint states
    out  the command topic of each controller    Float64MultiArray in the controller's joint order
         sent_effort        JointState           what was really sent in answer to that proposal
         /diagnostics
    srv  ~/enable SetBool, ~/stop Trigger, ~/clear_fault Trigger

The controllers hold their last command for ever. So a thread of its own, on the steady clock,
sends a command at ``publish_hz`` whatever else happens, and the guard decides which. It also reads
what arrives, and wakes for a proposal; rclpy's executor has only requests and the report.
"""

from __future__ import annotations

import gc
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from gato_ros.config import ConfigError
from gato_ros.nodes.common import convert, heartbeat, qos
from gato_ros.nodes.common.params import declare
from gato_ros.nodes.common.scheduling import SAFETY, take
from gato_ros.nodes.safety.gate_report import GateReport
from gato_ros.nodes.safety.params import PARAMS
from gato_ros.nodes.safety.reader import Reader
from gato_ros.nodes.safety.transport import avoid_shared_memory
from gato_ros.robot import load_robot
from gato_ros.safety.gate import Command, Joints
from gato_ros.safety.guard import Guard, GuardSettings
from gato_ros.safety.machine import State

LEAVE_S = 1.0  # at most, for the way to rest
EARLY_S = 2e-4  # a tick may come by so much too early: to wait for less takes as long


class SafetyNode(Node):
    """Feeds a Guard with what arrives, sends what it says, and reports why."""

    def __init__(self) -> None:
        super().__init__('safety')
        params = declare(self, PARAMS)
        take(self, params.scheduling, SAFETY, params.lock_step)
        self._robot = robot = load_robot(params.robot)
        self._guard = Guard(robot, GuardSettings(
            command_max_age_s=params.stale_periods / robot.rate_hz, stop=params.stop,
            heartbeat_max_age_s=params.heartbeat_max_age_s, blend=params.blend,
            observation_max_age_s=params.observation_max_age_s, deadline_s=params.deadline_s,
            tick_s=1.0 / params.publish_hz,
            simulation=params.simulation, lock_step=params.lock_step))
        if params.simulation or params.lock_step:
            self.get_logger().warning('the gate opens by itself: only for the simulator')
        self._lock = threading.Lock()  # of the guard and of what is below
        self._answer: JointState | None = None  # to the newest proposal
        self._answered = np.zeros(len(robot.joints))
        self._stamp_ns = -1  # of the newest proposal
        self._report = GateReport(self, robot, self._guard)

        self._commands = convert.Commands(robot)
        self._controllers = {name: self.create_publisher(Float64MultiArray, topic, qos.COMMAND)
                             for name, topic in robot.controllers.items()}
        self._sent = self.create_publisher(JointState, 'sent_effort', qos.EVENTS)
        self._reader = Reader(self)
        self._reader.subscribe(JointState, 'proposed_effort', self._on_proposal,
                               self._refuse_proposal, qos.COMMAND)
        self._reader.subscribe(JointState, robot.joint_states_topic, self._on_joints,
                               self._distrust_joints, qos.NEWEST)
        self._reader.subscribe(DiagnosticStatus, heartbeat.TOPIC, self._on_heartbeat,
                               self._distrust_heartbeat, qos.NEWEST)
        self.create_service(SetBool, '~/enable', self._on_enable)
        for name, ask in (('stop', self._guard.stop), ('clear_fault', self._guard.clear)):
            self.create_service(Trigger, f'~/{name}', partial(self._on_trigger, ask))
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # ROS time may stand still or jump
        self.create_timer(1.0, self._on_second, clock=steady)
        self._leaving = threading.Event()
        self._period_s = 1.0 / params.publish_hz
        self._loop = threading.Thread(target=self._run, args=(self._period_s,), name='gate')
        self._loop.start()

    # What arrives: requests in the executor's thread, the rest in the loop's.

    def _on_proposal(self, msg: JointState, waited_s: float) -> None:
        now = time.monotonic()
        stamp_ns = convert.to_ns(msg.header.stamp)
        with self._lock:
            if stamp_ns == self._stamp_ns and self._answer is not None:
                # Said twice because the answer was lost: the same answer, no fresh lease of life.
                self._report.repeats += 1
                self._sent.publish(self._answer)
                return
            self._stamp_ns = stamp_ns
            self._report.counts['proposals'] += 1
            try:
                values = convert.to_effort(msg, self._robot, 'proposed_effort')
            except convert.ConvertError as error:
                command = self._guard.refuse(str(error), now)
            else:
                command = self._guard.propose(values, stamp_ns, now)
            if not command.refused:  # what stops the arm leaves at the next tick
                self._send(command)
                self._report.added.add((waited_s + time.monotonic() - now) * 1e3)
            self._answer_with(command)
            self._report.counts['refused' if command.refused else 'limited'] += bool(
                command.reasons)
            self._report.judge(command)

    def _refuse_proposal(self, problem: str) -> None:
        with self._lock:
            self._report.counts['proposals'] += 1
            self._report.counts['refused'] += 1
            self._report.judge(self._guard.refuse(problem, time.monotonic()))

    def _on_joints(self, msg: JointState, _: float) -> None:
        if not convert.concerns(msg, self._robot):
            return  # another driver's on the same topic
        names, source = self._robot.joint_names, self._robot.joint_states_topic
        problem, joints = '', None
        try:
            joints = Joints(*(convert.joint_values(msg, names, part, source)
                              for part in ('position', 'velocity')))
        except convert.ConvertError as error:
            problem = str(error)
        with self._lock:
            self._guard.observe(joints, convert.to_ns(msg.header.stamp), time.monotonic(), problem)

    def _distrust_joints(self, problem: str) -> None:
        with self._lock:
            self._guard.distrust(problem)

    def _on_heartbeat(self, msg: DiagnosticStatus, _: float) -> None:
        problem, ages_s = heartbeat.read(msg)
        with self._lock:
            self._guard.beat(problem, ages_s, time.monotonic())

    def _distrust_heartbeat(self, problem: str) -> None:
        with self._lock:
            self._guard.beat(problem, {}, time.monotonic())

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response
                   ) -> SetBool.Response:
        return self._grant(self._guard.enable if request.data else self._guard.stop, response)

    def _on_trigger(self, ask: Callable[[float], str], _: Trigger.Request,
                    response: Trigger.Response) -> Trigger.Response:
        return self._grant(ask, response)

    def _grant(self, ask: Callable[[float], str], response: Any) -> Any:
        with self._lock:
            refusal = ask(time.monotonic())
            response.success = not refusal
            response.message = refusal or f'the gate is {self._guard.state.value}'
        self.get_logger().info(f'{ask.__name__}: {response.message}')
        return response

    # What goes out.

    def _run(self, period_s: float) -> None:
        """Send a command every period, on absolute deadlines, until the node leaves."""
        due = last = time.monotonic()
        while not self._leaving.is_set():
            self._reader.wait(due - time.monotonic())  # a proposal is answered in here
            if due - time.monotonic() > EARLY_S:
                continue
            self._reader.hear()
            now = time.monotonic()
            self._report.ticks.add((now - last) * 1e3)
            last, due = now, max(due + period_s, now)  # no burst after a pause
            with self._lock:
                command = self._guard.tick(now)
                if command is not None:
                    self._send(command)
                    self._correct(command)
                    self._report.judge(command)

    def _send(self, command: Command) -> None:
        for name, msg in self._commands(command.effort).items():
            self._controllers[name].publish(msg)
        self._guard.left(time.monotonic())

    def _correct(self, command: Command) -> None:
        """Say again what was sent in answer to the newest proposal, once it is something else."""
        if self._answer is not None and (self._answered != command.residual).any():
            self._answer_with(command)

    def _answer_with(self, command: Command) -> None:
        self._answered = command.residual
        self._answer = convert.from_effort(self._robot.joint_names, self._answered,
                                           self._stamp_ns, self._robot.interface)
        self._sent.publish(self._answer)

    def _on_second(self) -> None:
        """Once a second: who else writes to our topics, and how we are."""
        strangers = self._report.look()
        with self._lock:
            self._guard.trouble = strangers
            self._report.publish()

    @property
    def alive(self) -> bool:
        """Whether the loop runs; if not, the process must end, for nobody else sends commands."""
        return self._loop.is_alive()

    def leave(self) -> None:
        """End the loop, lead the arm to rest at the slew rate and wait until that has arrived."""
        self._leaving.set()
        self._loop.join(timeout=2.0)
        self._guard.stop(time.monotonic())
        deadline = time.monotonic() + LEAVE_S
        while self._guard.state is State.STOPPING and time.monotonic() < deadline:
            time.sleep(self._period_s)
            if (command := self._guard.tick(time.monotonic())) is not None:
                self._send(command)
        self._send(self._guard.gate.stop('the safety node leaves'))
        for publisher in self._controllers.values():
            publisher.wait_for_all_acked(Duration(seconds=0.2))


def main() -> int:
    """Spin until a signal comes; rclpy's own handlers would end the context before the stop."""
    leaving = threading.Event()
    node = None
    try:
        avoid_shared_memory()
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: leaving.set())
        node = SafetyNode()
        sys.setswitchinterval(2e-4)  # s: so long may the executor keep the loop from Python's lock
        gc.freeze()  # what is here by now stays: never look through it again
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not leaving.is_set():
            executor.spin_once(timeout_sec=0.1)
            if not node.alive:
                return 1
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
