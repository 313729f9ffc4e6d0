"""The simulator behind a robot's topics: physics, cameras, joint states and the clock.

    in   each controller's command topic        real_time: the newest values act
         sent_effort                            lock_step: the answer to one observation acts
    out  joint_states, cameras with camera_info, clock (behind a namespace /NAMESPACE/clock)
         camera/front/points                    PointCloud2, with point_cloud
         sim/episode                            String, JSON: seed, task, status, failure, ...
    srv  ~/next (Trigger), with on_request      the next scene

Time starts anew at every reset, so stamps jump back: consumers clear what they remember. An
episode stands still on its first observation until that has been answered: it waits for everyone.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger

from gato_ros.domains.stacking.env import StackingEnv
from gato_ros.domains.stacking.tasks import load_task
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.common.listen import listen
from gato_ros.nodes.common.params import ROBOT, Param, declare
from gato_ros.nodes.common.run import PATIENCE_S, run_process
from gato_ros.nodes.common.scheduling import SCHEDULING, SIMULATOR, take
from gato_ros.nodes.sensing.mailbox import Mailbox, Stale
from gato_ros.nodes.simulator.robot_topics import RobotTopics
from gato_ros.robot import load_robot
from gato_ros.spec import Observation
from gato_ros.untrusted import brief

SLICE_S = 0.01  # real_time: physics advances by this, and joint states follow at 100 Hz
COMMAND_AGE_S = 0.2  # real_time: an older command counts as zero residual, as on a careful robot
RESEND_S = 0.5  # an observation without an answer is sent again: someone was not there yet
PARAMS = (
    ROBOT,
    SCHEDULING,
    Param('task', 'stack_wide', 'What to do and where the blocks may lie, such as '
          'lift_red_narrow.'),
    Param('seeds', [0], 'One episode for each seed.'),
    Param('mode', 'real_time', 'real_time: physics runs with the clock. lock_step: physics waits '
          'for the answer to each observation.', choices=('real_time', 'lock_step')),
    Param('randomise', False, 'Draw light, colours, cameras, friction and masses at each reset.'),
    Param('time_limit_s', 0.0, "Seconds of an episode; 0: the task's.", 0.0, 86_400.0),
    Param('wait', True, 'real_time: an episode stands still until its first observation has been '
          'answered; false: physics runs at once, as on a real arm.'),
    Param('on_request', False, 'real_time: a scene stays, whatever happens in it, until ~/next is '
          'called; seeds go on upwards from the last one. For people.'),
    Param('exit_when_done', False, 'Leave after the last seed instead of standing still.'),
    Param('point_cloud', False, 'Publish the front camera also as PointCloud2.'),
    Param('viewer', False, "Show MuJoCo's window; needs a display."),
)


class SimNode(Node):
    """One loop thread owns the environment and its OpenGL context; callbacks only store."""

    def __init__(self) -> None:
        super().__init__('sim')
        self._params = params = declare(self, PARAMS)
        self._robot = robot = load_robot(params.robot)
        self._task = load_task(params.task)
        self._lock_step = params.mode == 'lock_step'
        take(self, params.scheduling, SIMULATOR, self._lock_step)
        self._period_s = 1.0 / robot.rate_hz
        self._stop, self._sent, self._next = (threading.Event() for _ in range(3))
        self._answers = Mailbox[JointState]('sent_effort', float('inf'))
        self._joints = {name: convert.controller_joints(robot, name) for name in robot.controllers}
        self._commands = {name: Mailbox[np.ndarray](topic, COMMAND_AGE_S,
                                                    limit_set_in='the simulated robot')
                          for name, topic in robot.controllers.items()}

        self._topics = RobotTopics(self, robot, params.point_cloud)
        self._episode = self.create_publisher(String, 'sim/episode', qos.EPISODES)
        if params.on_request:
            self.create_service(Trigger, '~/next', self._on_next)
        listen(self, JointState, 'sent_effort', self._on_sent, qos.EVENTS)
        for name, topic in robot.controllers.items():
            listen(self, Float64MultiArray, topic, partial(self._on_command, name), qos.COMMAND)
        self.failure: BaseException | None = None
        self._worker = threading.Thread(target=self._live, name='physics')
        self._worker.start()

    def _on_sent(self, msg: JointState) -> None:
        try:
            convert.to_effort(msg, self._robot, 'sent_effort')
        except convert.ConvertError as error:
            self.get_logger().error(f'{error}; passed over', throttle_duration_sec=1.0)
            return
        self._answers.put(msg, convert.to_ns(msg.header.stamp))
        self._sent.set()

    def _on_next(self, _: Any, response: Any) -> Any:
        self._next.set()
        self._sent.set()
        response.success, response.message = True, 'the next scene begins'
        return response

    def _on_command(self, controller: str, msg: Float64MultiArray) -> None:
        if len(msg.data) != len(self._joints[controller]) or not np.isfinite(msg.data).all():
            self.get_logger().error(
                f'{self._robot.controllers[controller]}: {brief(list(msg.data))} was ignored, '
                f'expected {len(self._joints[controller])} finite values',
                throttle_duration_sec=1.0)
            return
        self._commands[controller].put(np.array(msg.data), 0)

    def close(self) -> None:
        """End the loop."""
        self._stop.set()
        self._sent.set()
        self._worker.join(timeout=PATIENCE_S)

    def _running(self) -> bool:
        return not self._stop.is_set() and self.context.ok()

    def _live(self) -> None:
        """Run one episode after another; the environment lives and dies in this thread."""
        try:
            self._env = StackingEnv(self._robot, self._task, self._params.randomise)
            with closing(self._env), closing(self._topics), self._window() as window:
                seeds = [int(seed) for seed in self._params.seeds]
                further = itertools.count(seeds[-1] + 1) if self._params.on_request else ()
                for seed in itertools.chain(seeds, further):
                    if not self._running():
                        break
                    self._run_episode(seed, window)
            if self._params.exit_when_done:
                self._episode.wait_for_all_acked(Duration(seconds=1.0))
                self.context.try_shutdown()
        except Exception as error:  # nobody else would see it
            if self._running():
                self.failure = error
                self.context.try_shutdown()

    def _run_episode(self, seed: int, window: Any) -> None:
        env = self._env
        observation = env.reset(seed)
        for box in (self._answers, *self._commands.values()):
            box.clear()
        self._next.clear()
        self._announce(seed, 'running', 0, 0.0)
        effort = np.zeros(len(self._robot.joints))
        if self._params.wait or self._lock_step:
            effort = self._answer(observation)
        if rivals := self._topics.rivals():
            self.get_logger().error(rivals)
        started, steps, said = time.monotonic(), 0, False
        while self._running() and not self._over():
            if self._lock_step:
                observation = env.step(effort)
                if not self._over():
                    effort = self._answer(observation)
            else:
                if steps == 0:  # physics starts now, under the command that has just come
                    self._due_s = time.monotonic()
                    for name, joints in self._joints.items():
                        self._commands[name].put(effort[joints], 0)
                self._pass_period()
            steps += 1
            if env.success and not said:
                said = True
                self._announce(seed, 'success', steps, time.monotonic() - started)
            if window is not None:
                window.sync()
        if self._running() and not said:
            self._announce(seed, 'failed', steps, time.monotonic() - started)

    def _over(self) -> bool:
        if self._params.on_request:
            return self._next.is_set()
        limit_s = self._params.time_limit_s or self._env.time_limit_s
        return self._env.success or self._env.time_s >= limit_s - 1e-6

    def _announce(self, seed: int, status: str, steps: int, wall_s: float) -> None:
        failure = self._env.failure if status == 'failed' else ''
        self._episode.publish(String(data=json.dumps({
            'seed': seed, 'task': self._task.name, 'sentence': self._env.task.sentence,
            'status': status, 'failure': failure, 'steps': steps,
            'sim_s': round(steps * self._period_s, 3), 'wall_s': round(wall_s, 3)})))
        self.get_logger().info(f'{self._task.name} seed {seed}: {status} {failure}'.rstrip())

    def _answer(self, observation: Observation) -> np.ndarray:
        """Publish an observation until it is answered; return float64[N] that was sent."""
        resend_s = 0.0
        while self._running():
            if time.monotonic() >= resend_s:
                self._topics.publish(self._env, observation)
                resend_s = time.monotonic() + RESEND_S
            letter = self._answers.newest()
            # A person's answer to a key in between has a stamp just behind the observation's.
            if letter is not None and 0 <= (letter.stamp_ns - observation.stamp_ns
                                            ) * 1e-9 < self._period_s:
                return convert.to_effort(letter.value, self._robot, 'sent_effort')
            self._sent.wait(min(RESEND_S, 0.1))
            self._sent.clear()
        return np.zeros(len(self._robot.joints))

    def _pass_period(self) -> None:
        """Pass one control period in real time: slices of physics, then the cameras."""
        slices = max(1, round(self._period_s / SLICE_S))
        for index in range(slices):
            # The command that is there when a slice begins acts on it; its result is published
            # when the slice ends on the steady clock, and the pictures are ready by then.
            self._env.advance(self._effort(), self._period_s / slices)
            observation = self._env.observe() if index + 1 == slices else None
            self._due_s += self._period_s / slices
            late_s = time.monotonic() - self._due_s
            if late_s > 2 * self._period_s:  # this machine is too slow: time stretches
                self._due_s += late_s
            self._stop.wait(max(0.0, -late_s))
            if observation is None:
                self._topics.publish_joints(self._env)
            else:
                self._topics.publish(self._env, observation)

    def _effort(self) -> np.ndarray:
        """Return float64[N] of the controllers' newest commands, zero for one that is too old."""
        effort = np.zeros(len(self._robot.joints))
        for name, joints in self._joints.items():
            try:
                effort[joints] = self._commands[name].fresh().value
            except Stale as error:
                self.get_logger().warning(f'zero residual: {error}', throttle_duration_sec=1.0)
        return effort

    def _window(self) -> Any:
        """Return MuJoCo's window as a context manager, or nothing."""
        if not self._params.viewer:
            return nullcontext()
        if not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
            self.get_logger().warning('viewer is true and there is no display: no window')
            return nullcontext()
        import mujoco.viewer

        return mujoco.viewer.launch_passive(self._env.world.model, self._env.world.data)


def main() -> int:
    """Run the node's process."""
    run_process(SimNode)


if __name__ == '__main__':
    sys.exit(main())
