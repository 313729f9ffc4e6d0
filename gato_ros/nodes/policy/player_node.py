"""Plays whatever world is there, with one checkpoint: timesteps in, buttons and commands out.

    in   world/episode, world/state, world/NAME/image_raw; ask (String), see talker.py
    out  world/joy, world/command: the answer, with the stamp of what it answers; text
    (nodes/common/world_messages.py says what they hold)

The world says which specification it has, and the checkpoint is looked into for it: this process
loads no simulator. Each domain is a context of its own over the same weights.
"""

from __future__ import annotations

import sys
import threading
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState, Joy
from std_msgs.msg import String

from gato_ros.nodes.common import convert, diagnostics, qos, world_messages
from gato_ros.nodes.common.listen import STATUS, fields, listen
from gato_ros.nodes.common.params import Param, declare
from gato_ros.nodes.common.run import PATIENCE_S, run
from gato_ros.nodes.policy.loading import engine_failure, open_checkpoint, open_speaker
from gato_ros.nodes.policy.params import ENGINE
from gato_ros.nodes.policy.talker import Talker
from gato_ros.policy.policy import GatoPolicy
from gato_ros.spec import Observation, TimestepSpec

PARAMS = (
    *ENGINE,
    Param('caption_s', 0.0, 'Seconds between captions of what is seen, on the topic caption; 0: '
          'none.', 0.0, 3600.0),
)


class PlayerNode(Node):
    """One worker thread owns the contexts; callbacks only store."""

    def __init__(self) -> None:
        super().__init__('player')
        self._params = declare(self, PARAMS)
        self._checkpoint = open_checkpoint(self._params)
        self._policies: dict[str, GatoPolicy] = {}  # by the checkpoint's name of the domain
        self._changed = threading.Condition()
        self._episode: dict[str, Any] = {}  # the newest that runs
        self._source = ''  # what the checkpoint calls its domain; '': it does not know it
        self._state: JointState | None = None
        self._pictures: dict[str, Image] = {}
        self._cameras: dict[str, Any] = {}  # subscriptions
        self._playing = -1  # the episode that the context is of
        self._said: dict[Any, Any] = {}  # publisher -> its newest answer
        self._stopped = False
        self.failure: BaseException | None = None
        self._steps, self._message, self._level = 0, 'waiting for a world', diagnostics.STALE
        self._joy = self.create_publisher(Joy, world_messages.JOY, qos.EVENTS)
        self._command = self.create_publisher(JointState, world_messages.COMMAND, qos.EVENTS)
        self._diagnostics = diagnostics.Diagnostics(self, 'player', '')
        self._talker = Talker(self, self._params.caption_s)
        listen(self, String, world_messages.EPISODE_TOPIC, self._on_episode, qos.EPISODES)
        listen(self, JointState, world_messages.STATE, self._on_state, qos.EVENTS, STATUS)
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._worker = threading.Thread(target=self._live, name='player')
        self._worker.start()

    def close(self) -> None:
        """End the worker."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._worker.join(timeout=PATIENCE_S)

    def _on_episode(self, msg: String) -> None:
        try:
            episode = fields(msg.data, world_messages.EPISODE)
            if missing := set(world_messages.EPISODE) - set(episode):
                raise ValueError(f'{min(missing)} is missing')
        except ValueError as error:
            self._refuse(f'{world_messages.EPISODE_TOPIC}: {error}')
            return
        if episode['status'] != 'running':
            return
        domains = self._checkpoint.config.domains
        known = {name: domain.timestep for name, domain in domains.items()
                 if domain.timestep.hash == episode['spec']}
        source = episode['source'] if episode['source'] in known else next(reversed(known), '')
        if not source:
            self._refuse(f'the checkpoint does not know the world {episode["source"]!r} with the '
                         f'specification {episode["spec"]!r}, expected one of '
                         f'{", ".join(domains)}')
        elif source != self._source:
            self._look(known[source])
        with self._changed:
            self._episode, self._source = episode, source
            self._changed.notify()

    def _look(self, spec: TimestepSpec) -> None:
        """Listen to the pictures of a world, and no longer to those of another."""
        for reader in self._cameras.values():
            self.destroy_subscription(reader)
        with self._changed:
            self._pictures = {}
        self._cameras = {field.name: self.create_subscription(
            Image, world_messages.camera_of(field).topic, partial(self._on_picture, field.name),
            qos.pictures(True)) for field in spec.images}

    def _on_picture(self, name: str, msg: Image) -> None:
        with self._changed:
            self._pictures[name] = msg
            self._changed.notify()

    def _on_state(self, msg: JointState) -> None:
        with self._changed:
            self._state = msg
            self._changed.notify()

    def _refuse(self, message: str) -> None:
        """Say what is wrong, once, on text; again and again in the diagnostics."""
        if message != self._message:
            self.get_logger().error(message)
            self._talker.tell(message)
        self._level, self._message = diagnostics.ERROR, message

    def _report(self) -> None:
        self._diagnostics.publish(self._level, self._message, {
            'steps': self._steps, 'checkpoint_hash': self._checkpoint.hash,
            'domain': self._source, 'domains': ', '.join(self._policies)})

    def _live(self) -> None:
        try:
            with engine_failure():
                while not self._stopped and self.context.ok():
                    self._turn()
        except Exception as error:  # nobody else would see it
            if not self._stopped and self.context.ok():
                self.failure = error
                self.context.try_shutdown()
        finally:
            self._talker.stop()

    def _turn(self) -> None:
        """Answer the newest timestep, once it is whole and its episode has been announced."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._stopped or self._whole(), 0.1) or (
                    self._stopped):
                return
            state, pictures, episode, source = (self._state, dict(self._pictures), self._episode,
                                                self._source)
            self._state = None
        assert state is not None
        if self._said and state.header.stamp == next(iter(self._said.values())).header.stamp:
            for publisher, msg in self._said.items():
                publisher.publish(msg)  # it was lost
            return
        policy = self._policy(source)
        spec = policy.tokenizer.spec
        try:
            seen = Observation(
                {field.name: convert.to_image(pictures[field.name],
                                              world_messages.camera_of(field))
                 for field in spec.images},
                world_messages.to_numbers(state, spec.tensors, world_messages.STATE),
                stamp_ns=convert.to_ns(state.header.stamp))
            if episode['episode'] != self._playing:
                policy.reset(episode['sentence'], episode['seed'])
                self._playing = episode['episode']
            self._talker.show(seen.images)
            action = policy.act(seen)
        except ValueError as error:  # ConvertError, or a value that cannot become a token
            self._refuse(str(error))
            return
        self._answer(spec, action.values, action.stamp_ns)
        self._steps += 1
        self._level, self._message = DiagnosticStatus.OK, f'playing {episode["task"]}'

    def _whole(self) -> bool:
        state = self._state
        return (state is not None and bool(self._source)
                and state.header.frame_id == str(self._episode['episode'])
                and all(name in self._pictures and self._pictures[name].header.stamp
                        == state.header.stamp for name in self._cameras))

    def _policy(self, source: str) -> GatoPolicy:
        """Return the context of a domain; the first one loads the weights for all."""
        if source not in self._policies:
            chosen = self._params.temperature if self._params.temperature >= 0 else None
            if self._policies:
                first = next(iter(self._policies.values()))
                self._policies[source] = first.beside(source, chosen, self._params.seed)
            else:
                policy = GatoPolicy(self._checkpoint, source, chosen, self._params.seed,
                                    self._params.engine)
                policy.warm_up()
                self._policies[source] = policy
                self._talker.start(lambda cameras: open_speaker(policy, cameras))
        return self._policies[source]

    def _answer(self, spec: TimestepSpec, values: world_messages.Values, stamp_ns: int) -> None:
        self._said = {}
        if choices := world_messages.choices(spec):
            self._said[self._joy] = world_messages.from_buttons(choices, values, stamp_ns)
        if amounts := world_messages.amounts(spec):
            self._said[self._command] = world_messages.from_numbers(amounts, values, stamp_ns)
        for publisher, msg in self._said.items():
            publisher.publish(msg)


def main() -> int:
    """Run the node's process."""
    return run(PlayerNode)


if __name__ == '__main__':
    sys.exit(main())
