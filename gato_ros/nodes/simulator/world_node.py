"""Any domain's world behind topics: what it shows goes out, answers come in.

    in   world/joy, world/command               the answer to a timestep
    out  world/episode, world/state, world/NAME/image_raw, world/picture
    (nodes/common/world_messages.py says what they hold)

The world stands still until a timestep has been answered, and is never faster than ``rate_hz``: an
episode is the same as in ``gato-ros play``.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import String

from gato_ros.config import ConfigError
from gato_ros.domains.domain import DomainError, Values
from gato_ros.domains.registry import find_task
from gato_ros.domains.wrappers import Checked, fault_of, open_environment
from gato_ros.nodes.common import convert, qos, world_messages
from gato_ros.nodes.common.listen import STATUS, listen
from gato_ros.nodes.common.params import Param, declare
from gato_ros.nodes.common.run import PATIENCE_S, run
from gato_ros.spec import Observation, TimestepSpec

RESEND_S = 0.5  # a timestep without an answer is sent again: someone was not there yet
ACROSS = 320  # pixels of the picture for people
PARAMS = (
    Param('domain', 'cartpole', 'A name that `gato-ros domains` lists, or a file.'),
    Param('task', 'balance', 'One of its tasks.'),
    Param('seed', 0, 'Of the first episode; the next ones follow upwards.', 0, 2**31 - 1),
    Param('episodes', 0, 'How many; 0: without end.', 0, 1_000_000),
    Param('rate_hz', 20.0, 'Timesteps a second at most.', 0.1, 1000.0),
    Param('pause_s', 1.0, "Seconds for which an episode's end stays in view.", 0.0, 60.0),
    Param('exit_when_done', False, 'Leave after the last episode instead of standing still.'),
)


class WorldNode(Node):
    """One loop thread owns the environment; callbacks only store.

    episode  what was said last of the present episode
    """

    def __init__(self) -> None:
        super().__init__('world')
        self._params = params = declare(self, PARAMS)
        try:
            self._domain, self._task = find_task(f'{params.domain}/{params.task}')
        except DomainError as error:
            raise ConfigError(str(error)) from error
        if self._domain.robot is not None:
            raise ConfigError(f'the domain {params.domain!r} has a robot, expected one without: '
                              'sim_node puts a robot behind its gate')
        self.spec: TimestepSpec = self._domain.specification(self._task)
        self.episode: dict[str, Any] = {}
        self._stamp_ns = 0
        self._changed = threading.Condition()
        self._heard: dict[str, Joy | JointState] = {}  # the newest of each topic
        self._stopped = False
        cameras = {field.name: world_messages.camera_of(field) for field in self.spec.images}
        self._episode = self.create_publisher(String, world_messages.EPISODE_TOPIC, qos.EPISODES)
        self._state = self.create_publisher(JointState, world_messages.STATE, qos.SENSORS)
        self._images = {name: self.create_publisher(Image, camera.topic, qos.SENSORS)
                        for name, camera in cameras.items()}
        self._picture = self.create_publisher(Image, world_messages.PICTURE, qos.SENSORS)
        self._wanted = {topic for topic, fields in (
            (world_messages.JOY, world_messages.choices(self.spec)),
            (world_messages.COMMAND, world_messages.amounts(self.spec))) if fields}
        for topic, kind in ((world_messages.JOY, Joy), (world_messages.COMMAND, JointState)):
            if topic in self._wanted:
                listen(self, kind, topic, partial(self._hear, topic),
                       qos.EVENTS, STATUS)
        self.failure: BaseException | None = None
        self._worker = threading.Thread(target=self._live, name='world')
        self._worker.start()

    def _hear(self, topic: str, msg: Joy | JointState) -> None:
        with self._changed:
            self._heard[topic] = msg
            self._changed.notify()

    def close(self) -> None:
        """End the loop."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._worker.join(timeout=PATIENCE_S)

    def _running(self) -> bool:
        return not self._stopped and self.context.ok()

    def _live(self) -> None:
        """Run one episode after another; the environment lives and dies in this thread."""
        try:
            with closing(open_environment(self._domain)) as environment:
                first, count = self._params.seed, self._params.episodes
                seeds = range(first, first + count) if count else itertools.count(first)
                for seed in seeds:
                    if not self._running():
                        break
                    self._run_episode(environment, seed)
            if self._params.exit_when_done and self._running():
                self._episode.wait_for_all_acked(Duration(seconds=1.0))
                self.context.try_shutdown()
        except Exception as error:  # nobody else would see it
            if self._running():
                fault = fault_of(error)
                self.failure = error if fault is None else ConfigError(fault)
                self.context.try_shutdown()

    def _run_episode(self, environment: Checked, seed: int) -> None:
        observation = environment.reset(self._task, seed)
        number, steps = time.time_ns(), 0  # a number that no former process has had
        self._announce(environment, number, seed, steps)
        while self._running() and not environment.ended:
            began = time.monotonic()
            values = self._answer(environment, observation, number)
            if values is None:
                return
            observation, _ = environment.apply(values)
            steps += 1
            self.episode = {**self.episode, 'steps': steps, 'score': float(environment.score)}
            self._pass(1.0 / self._params.rate_hz - (time.monotonic() - began))
        if self._running():
            self._show(environment)
            self._announce(environment, number, seed, steps)
            self._pass(self._params.pause_s)

    def _pass(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, max(0.0, seconds))

    def _announce(self, environment: Checked, number: int, seed: int, steps: int) -> None:
        status = 'running' if not environment.ended else {
            None: 'ended', True: 'success', False: 'failed'}[environment.success]
        self.episode = {
            'episode': number, 'domain': self._domain.name, 'spec': self.spec.hash,
            'source': self._domain.source(self._task), 'task': self._task, 'seed': seed,
            'sentence': environment.sentence, 'status': status, 'steps': steps,
            'failure': environment.failure if status == 'failed' else '',
            'score': float(environment.score)}
        self._episode.publish(String(data=json.dumps(self.episode)))
        if status != 'running':
            self.get_logger().info(f'{self._task} seed {seed}: {status}, score '
                                   f'{environment.score:.4g} after {steps} steps')

    def _answer(self, environment: Checked, observation: Observation, number: int
                ) -> Values | None:
        """Publish a timestep until it is answered; return the answer, None at the end."""
        self._stamp_ns = max(self._stamp_ns + 1, time.time_ns())
        self._show(environment)
        while self._running():
            self._publish(observation, number)
            deadline = time.monotonic() + RESEND_S
            while self._running() and (left := deadline - time.monotonic()) > 0:
                with self._changed:
                    complete = self._changed.wait_for(
                        lambda: self._stopped or self._complete(), left)
                    heard, self._heard = (self._heard, {}) if complete else ({}, self._heard)
                if complete and self._running():
                    try:
                        return self._values(heard, environment)
                    except ValueError as error:  # ConvertError, ActionError
                        self.get_logger().error(f'{error}; passed over',
                                                throttle_duration_sec=1.0)
        return None

    def _complete(self) -> bool:
        """Whether the present timestep's answer is here."""
        return all(topic in self._heard and self._stamp_ns == convert.to_ns(
            self._heard[topic].header.stamp) for topic in self._wanted)

    def _values(self, heard: dict[str, Any], environment: Checked) -> Values:
        values: dict[str, np.ndarray] = {}
        if world_messages.JOY in heard:
            values |= world_messages.to_buttons(heard[world_messages.JOY],
                                                world_messages.choices(self.spec))
        if world_messages.COMMAND in heard:
            values |= world_messages.to_numbers(heard[world_messages.COMMAND],
                                                world_messages.amounts(self.spec),
                                                world_messages.COMMAND)
        environment.check(values)
        return values

    def _publish(self, observation: Observation, number: int) -> None:
        for name, publisher in self._images.items():
            publisher.publish(convert.from_image(observation.images[name], self._stamp_ns, name))
        self._state.publish(world_messages.from_numbers(
            self.spec.tensors, observation.proprioception, self._stamp_ns, str(number)))

    def _show(self, environment: Checked) -> None:
        """Draw what people see, where somebody looks."""
        if self._picture.get_subscription_count():
            self._picture.publish(convert.from_image(environment.picture(ACROSS), self._stamp_ns,
                                                     'world'))


def main() -> int:
    """Run the node's process."""
    return run(WorldNode)


if __name__ == '__main__':
    sys.exit(main())
