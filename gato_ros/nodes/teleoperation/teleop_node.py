"""A person moves the arm: wishes in, proposals out, through the same gate as the policy's.

    in   the cameras and joint states of the robot's YAML file; joy (Joy);
         policy_effort (JointState): a policy's proposals, passed on while nobody holds the button
    out  proposed_effort, recorder/mark (String: JSON, who acts from which stamp on; or a remark)

An observation is answered as the policy node answers it, so a recorded demonstration is what the
policy would have seen; a button or key in between is answered at once. While nobody acts the
answer is rest: no residual torque. cockpit.py adds a page, keyboard.py a terminal.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import JointState, Joy
from std_msgs.msg import String

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.topics import MARK
from gato_ros.jog import Jog, Wish
from gato_ros.nodes.common import convert, heartbeat, qos
from gato_ros.nodes.common.listen import listen
from gato_ros.nodes.common.pace import Pace
from gato_ros.nodes.common.params import ROBOT, Param, declare
from gato_ros.nodes.common.run import run
from gato_ros.nodes.sensing.cameras import Cameras
from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.nodes.sensing.mailbox import Stale
from gato_ros.nodes.teleoperation.control import Control
from gato_ros.nodes.teleoperation.gamepad import Gamepad, gamepad_wish
from gato_ros.robot import load_robot

PARAMS = (
    ROBOT,
    Param('speed', 0.5, 'Of a gamepad, as a share of full speed.', 0.05, 1.0),
    Param('command_age_s', 0.06, 'Seconds after which a held button that is not heard of counts '
          'as let go.', 0.02, 0.5),
    Param('lock_step', False, 'Answer observations and nothing in between: physics waits.'),
    Param('policy_on', True, 'Pass on what a policy proposes while nobody holds the button; the '
          'page can change it.'),
    Param('web', False, 'Serve the cockpit, a page.'),
    Param('host', '127.0.0.1', 'Address of the page.'),
    Param('port', 8400, 'Of the page; 0: any that is free.', 0, 65535),
    Param('token', '', "That the page's address must carry; '': one is made."),
    Param('folder', 'demos', 'Whose demonstrations the page offers as prompts.'),
    Param('gamepad', '', "A device such as /dev/input/js0; '': only the topic joy."),
)


class TeleopNode(Node):
    """One worker thread answers; ``control`` is where sources put wishes.

    policy_on  whether a policy's proposals are passed on while nobody holds the button
    """

    def __init__(self) -> None:
        super().__init__('teleop')
        self.params = declare(self, PARAMS)
        self.robot = robot = load_robot(self.params.robot)
        self.control = Control(self.params.command_age_s)
        self.inputs = Inputs(robot, self.params.lock_step)
        self.policy_on = self.params.policy_on
        self._jog, self._pace = Jog(robot), Pace(robot.rate_hz)
        self._period_s, self._acted_s = 1.0 / robot.rate_hz, 0.0
        self._joints: JointState | None = None  # the newest
        self._actor, self._stamp_ns, self._epoch = '', -1, 0
        self._said: JointState | None = None  # the newest proposal
        self._done: Wish | None = None  # what the last proposal followed
        self._policy_s = -float('inf')
        self._proposed = self.create_publisher(JointState, 'proposed_effort', qos.COMMAND)
        self._heartbeat = self.create_publisher(DiagnosticStatus, heartbeat.TOPIC, qos.NEWEST)
        self._marks = self.create_publisher(String, MARK, qos.EVENTS)
        self._cameras = Cameras(self, self.inputs)
        listen(self, JointState, robot.joint_states_topic, self._on_joints, qos.JOINTS)
        listen(self, JointState, 'policy_effort', self._on_policy, qos.COMMAND)
        listen(self, Joy, 'joy', self._on_joy, qos.NEWEST)
        if self.params.gamepad:
            self._open_gamepad(Path(self.params.gamepad))
        self.create_timer(1.0 / heartbeat.RATE_HZ, self._beat,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._stop = threading.Event()
        self._lock = threading.Lock()  # of publishing, so that stamps never go back
        self.failure: BaseException | None = None
        self._worker = threading.Thread(target=self._live, name='teleop')
        self.cockpit: Any = None
        if self.params.web:
            from gato_ros.nodes.teleoperation.cockpit import Cockpit
            self.cockpit = Cockpit(self, self.params.host, self.params.port, self.params.token)
            print(f'cockpit: {self.cockpit.address}', flush=True)
        self._worker.start()

    # Sources.

    def _on_joints(self, msg: JointState) -> None:
        if convert.concerns(msg, self.robot):
            self._joints = msg
            self.inputs.put_joints(msg)

    def _on_joy(self, msg: Joy) -> None:
        self._put_gamepad(msg.axes, msg.buttons)

    def _put_gamepad(self, axes: Any, buttons: Any) -> None:
        wish = gamepad_wish(axes, buttons, self.params.speed)
        if wish is not None:
            self.control.put('the gamepad', wish)
        else:
            self.control.release('the gamepad')

    def _open_gamepad(self, device: Path) -> None:
        try:
            gamepad = Gamepad(device, self._put_gamepad)
        except OSError as error:
            raise ConfigError(f'gamepad {device} cannot be opened: {error.strerror} (parameter '
                              'gamepad)') from error
        gamepad.start()
        self.create_timer(0.02, gamepad.poll, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_policy(self, msg: JointState) -> None:
        """Pass on what a policy proposes, while nobody holds the button."""
        self._policy_s = time.monotonic()
        if self.policy_on and self.control.wish() is None:
            self._publish(msg, convert.to_ns(msg.header.stamp), 'policy')

    def _beat(self) -> None:
        """Tell the gate that somebody lives who may propose, while no policy says it."""
        if time.monotonic() - self._policy_s > 0.5:
            self._heartbeat.publish(heartbeat.write('', self.inputs.ages_s()))

    # The worker's.

    def _live(self) -> None:
        try:
            while not self._stop.is_set() and self.context.ok():
                self.control.changed.wait(0.004)
                self.control.changed.clear()
                self._turn()
        except Exception as error:  # nobody else would see it
            if self.context.ok():
                self.failure = error
                self.context.try_shutdown()

    def _turn(self) -> None:
        """Answer a new observation, or a wish that has changed."""
        now, wish = time.monotonic(), self.control.wish()
        if self.inputs.take_repeat() and self._said is not None:
            self._proposed.publish(self._said)  # it was lost
        try:
            snapshot = self.inputs.pick()
        except Stale:
            snapshot = None
        if snapshot is not None and snapshot.epoch != self._epoch:
            self._epoch, self._stamp_ns = snapshot.epoch, -1
            self._pace.restart()
            self._jog.restart()
        if snapshot is not None and self._pace.wait_s(snapshot.stamp_ns, now) <= 0:
            self.inputs.use(snapshot)
            self._pace.start(snapshot.stamp_ns, now)
            self._answer(wish, snapshot.joints.value, snapshot.stamp_ns, now)
        elif not self.params.lock_step and urgent(wish, self._done) and self._joints is not None:
            # Between two observations, so that no observation goes without its answer.
            stamp_ns = (self._stamp_ns + 1 if self._stamp_ns >= 0
                        else convert.to_ns(self._joints.header.stamp))
            self._answer(wish, self._joints, stamp_ns, now)

    def _answer(self, wish: Wish | None, joints: JointState, stamp_ns: int, now: float) -> None:
        released, self._done = wish is None and self._done is not None, wish
        if wish is None:
            self._jog.restart()
            if not released and self.policy_on and now - self._policy_s < 0.5:
                return  # the policy answers
            effort = self._jog.rest()
        else:
            try:
                positions = convert.joint_values(joints, self.robot.joint_names, 'position',
                                                 self.robot.joint_states_topic)
            except convert.ConvertError as error:
                self.get_logger().error(str(error), throttle_duration_sec=1.0)
                return
            dt = min(now - self._acted_s, self._period_s)
            effort = self._jog.act(positions, wish, dt)
        self._acted_s = now
        self._publish(convert.from_effort(self.robot.joint_names, effort, stamp_ns,
                                          self.robot.interface),
                      stamp_ns, 'rest' if wish is None else 'person')

    def _publish(self, msg: JointState, stamp_ns: int, actor: str) -> None:
        """Propose, with stamps that rise until time begins anew, and mark who acts."""
        with self._lock:
            if stamp_ns <= self._stamp_ns and self._stamp_ns - stamp_ns < 1_000_000_000:
                return
            self._stamp_ns, self._said = stamp_ns, msg
            self._proposed.publish(msg)
            if actor != self._actor:
                self._actor = actor
                self._marks.publish(String(data=json.dumps({'actor': actor,
                                                            'stamp_ns': stamp_ns})))

    def remark(self, words: str) -> None:
        """Say an operator's words to whoever records."""
        self._marks.publish(String(data=words))

    @property
    def actor(self) -> str:
        """Who acts: person, policy or rest; '' before the first proposal."""
        return self._actor

    def positions(self) -> list[float]:
        """Return the joints' positions in the robot's order, rad; [] while there are none."""
        with suppress(convert.ConvertError):
            if self._joints is not None:
                return convert.joint_values(self._joints, self.robot.joint_names, 'position',
                                            self.robot.joint_states_topic).tolist()
        return []

    def tool(self) -> np.ndarray | None:
        """Return float64[3]: where the tool is, m, base frame; None before the first joints."""
        positions = self.positions()
        return self._jog.tool(np.array(positions)) if positions else None

    def close(self) -> None:
        """End the worker; the gate stops the arm."""
        if self.cockpit is not None:
            self.cockpit.close()
        self._stop.set()
        self.control.changed.set()
        self._worker.join(timeout=1.0)


def urgent(wish: Wish | None, former: Wish | None) -> bool:
    """Whether a change cannot wait for the next observation: a button, a direction, no slide."""
    def signs(given: Wish | None) -> tuple | None:
        if given is None:
            return None
        values = (*given.linear, *given.angular, *given.joints, given.gripper)
        return (*np.sign(values), given.home)
    return signs(wish) != signs(former)


def main() -> int:
    """Run the node's process; what it writes is for its user alone: it tells the page's token."""
    os.umask(0o077)
    return run(TeleopNode)


if __name__ == '__main__':
    sys.exit(main())
