"""Cameras and joint states in, proposals out. Proposals go to the safety node, never to the robot.

    in   the cameras and joint states of the robot's YAML file; prompt (String); sent_effort
    out  proposed_effort  JointState with the stamp of the observation that it answers
         ~/timing         String, JSON: stamp_ns, latency_ms, timing_ms, tokens, window
         /diagnostics

Callbacks only store. One worker thread owns the policy; it starts a step when every camera and the
joint state are new (see inputs.py) and the control period allows it (see pace.py).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Protocol

import numpy as np
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from gato_ros.config import ConfigError
from gato_ros.nodes import convert, diagnostics, qos
from gato_ros.nodes.inputs import Inputs, Snapshot
from gato_ros.nodes.mailbox import Mailbox, Stale
from gato_ros.nodes.pace import Pace
from gato_ros.nodes.params import ROBOT, Param, declare
from gato_ros.nodes.run import run
from gato_ros.spec import TORQUES, Action, Observation, RobotSpec, load_robot

PARAMS = (
    ROBOT,
    Param('checkpoint', '', "Folder with model.safetensors and config.json; '': the shipped one."),
    Param('prompt', '', 'What to do, in words, until something comes on the topic prompt.'),
    Param('lock_step', False, 'Answer every complete observation at once, as fast as they come.'),
    Param('device', 'cpu', 'Where torch computes: cpu or cuda.'),
    Param('threads', 1, "Torch's threads; 0 leaves the choice to torch.", 0, 256),
    Param('temperature', -1.0, "Of the action tokens; negative: the checkpoint's.", -1.0, 10.0),
    Param('seed', 0, 'Of the sampling, at each reset.', 0, 2**31 - 1),
    Param('settle_s', 0.01, 'Seconds to wait for messages of equal stamp before others are taken.',
          0.0, 1.0),
)


class Policy(Protocol):
    """What the node needs of a policy."""

    def reset(self, prompt: str = '') -> None: ...

    def act(self, observation: Observation,
            sent: Mapping[str, np.ndarray] | None = None) -> Action: ...


def load_policy(params: SimpleNamespace, robot: RobotSpec) -> Policy:
    """Load and warm up the policy; torch is imported here and not before."""
    import torch

    from gato_ros.policy.checkpoint import SHIPPED, CheckpointError, load_checkpoint
    from gato_ros.policy.policy import GatoPolicy

    if params.threads:
        torch.set_num_threads(params.threads)
    try:
        checkpoint = load_checkpoint(params.checkpoint or SHIPPED, device=params.device)
        policy = GatoPolicy(checkpoint, robot.timestep(), seed=params.seed, temperature=(
            params.temperature if params.temperature >= 0 else None))
    except CheckpointError as error:
        raise ConfigError(str(error)) from error
    policy.warm_up()
    return policy


class PolicyNode(Node):
    """The worker thread and what feeds it; ``load`` builds the policy, in that thread."""

    def __init__(self, load: Callable[[SimpleNamespace, RobotSpec], Policy] = load_policy) -> None:
        super().__init__('policy')
        self._params = declare(self, PARAMS)
        self._robot = load_robot(self._params.robot)
        self._prompt, self._lock_step = self._params.prompt, self._params.lock_step
        self._inputs = Inputs(self._robot, self._lock_step, self._params.settle_s)
        self._sent = Mailbox[JointState]('sent_effort', float('inf'), history=8)
        self._pace = Pace(self._robot.rate_hz)
        self._period_s = 1.0 / self._robot.rate_hz

        self._proposal: JointState | None = None  # the newest one
        self._new_prompt, self._epoch = True, 0
        self._message, self._level = 'waiting for observations', diagnostics.STALE
        self._statistics = diagnostics.StepStatistics()
        self._refused_s, self._window = 0.0, 0

        self._proposed = self.create_publisher(JointState, 'proposed_effort', qos.COMMAND)
        self._timing = self.create_publisher(String, '~/timing', qos.EVENTS)
        self._diagnostics = diagnostics.Diagnostics(self, 'policy', self._robot.name)
        self._ready, self._stop = threading.Event(), threading.Event()
        self.failure: BaseException | None = None
        self._worker = threading.Thread(target=self._live, args=(load,), name='policy')
        self._worker.start()
        self._ready.wait()  # the first calls are slow; nothing is subscribed to before them
        if self.failure is not None:
            raise self.failure

        for camera in self._robot.cameras:
            self.create_subscription(Image, camera.topic,
                                     partial(self._inputs.put_image, camera.name), qos.NEWEST)
        self.create_subscription(JointState, self._robot.joint_states_topic,
                                 self._inputs.put_joints, qos.JOINTS)
        self.create_subscription(JointState, 'sent_effort', self._on_sent, qos.EVENTS)
        self.create_subscription(String, 'prompt', self._on_prompt, qos.PROMPT)
        self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_sent(self, msg: JointState) -> None:
        self._sent.put(msg, convert.to_ns(msg.header.stamp))

    def _on_prompt(self, msg: String) -> None:
        self._prompt, self._new_prompt = msg.data, True

    def close(self) -> None:
        """End the worker."""
        self._stop.set()
        self._inputs.wake()
        self._worker.join(timeout=10.0)

    def _live(self, load: Callable[[SimpleNamespace, RobotSpec], Policy]) -> None:
        """Load the policy, then answer observations until the node closes."""
        try:
            policy = load(self._params, self._robot)
            self._ready.set()
            while not self._stop.is_set() and self.context.ok():
                self._inputs.wait(0.01)  # or sooner, when something arrives
                self._turn(policy)
        except Exception as error:  # nobody else would see it
            if self.context.ok():  # else it is only a publisher that has gone
                self.failure = error
                if self._ready.is_set():
                    self.context.try_shutdown()
        finally:
            self._ready.set()

    def _turn(self, policy: Policy) -> None:
        """Answer the newest observation if there is one that may be answered now."""
        if self._inputs.take_repeat() and self._proposal is not None:
            self._proposed.publish(self._proposal)
        try:
            snapshot = self._inputs.pick()
        except Stale as error:
            self._refuse(diagnostics.STALE, str(error))
            return
        if snapshot is None:
            return
        if self._new_prompt or snapshot.epoch != self._epoch:
            self._new_prompt, self._epoch = False, snapshot.epoch
            policy.reset(self._prompt)
            self._pace.restart()
            self._proposal = None
        if not self._may_start(snapshot):
            return
        self._inputs.use(snapshot)
        skipped = self._pace.start(snapshot.stamp_ns, time.monotonic())
        try:
            action = policy.act(snapshot.observation(self._robot), self._really_sent())
        except ValueError as error:  # ConvertError, or a value that cannot become a token
            self._refuse(diagnostics.ERROR, str(error))
            return
        self._propose(action, snapshot, skipped, policy)

    def _may_start(self, snapshot: Snapshot) -> bool:
        """Whether the period allows a step now; sleeps for less than a period if it does not."""
        if self._lock_step:
            return True
        wait = self._pace.wait_s(snapshot.stamp_ns, time.monotonic())
        if wait > 0:
            self._stop.wait(wait)
            self._inputs.wake()
        return wait <= 0

    def _really_sent(self) -> dict[str, np.ndarray] | None:
        """Return the answer to the last proposal; None when the safety node has said nothing."""
        if self._proposal is None:
            return None
        stamp_ns = convert.to_ns(self._proposal.header.stamp)
        deadline = time.monotonic() + (0.2 if self._lock_step else 0.0)
        while (letter := self._sent.at(stamp_ns)) is None:
            if time.monotonic() >= deadline:
                return None
            self._stop.wait(0.001)  # in lock-step it is on its way, for physics has moved
        return {TORQUES: convert.to_effort(letter.value, self._robot, 'sent_effort')}

    def _propose(self, action: Action, snapshot: Snapshot, skipped: int, policy: Policy) -> None:
        self._proposal = convert.from_effort(self._robot.joint_names, action.values[TORQUES],
                                             action.stamp_ns)
        self._proposed.publish(self._proposal)
        latency_ms = (time.monotonic() - snapshot.arrived_s) * 1e3
        self._statistics.add(latency_ms, skipped)
        self._window = getattr(getattr(policy, 'window', None), 'tokens', 0)
        self._change(diagnostics.OK, 'answering')
        self._timing.publish(String(data=json.dumps({
            'stamp_ns': action.stamp_ns, 'latency_ms': round(latency_ms, 3),
            'timing_ms': {name: round(value, 3) for name, value in action.timing_ms.items()},
            'tokens': np.asarray(action.tokens).tolist(), 'window': self._window})))

    def _refuse(self, level: bytes, reason: str) -> None:
        """Count a reason once a control period; no proposal goes out, so the gate will stop."""
        now = time.monotonic()
        if now - self._refused_s >= self._period_s or level == diagnostics.ERROR:
            self._refused_s = now
            kind = 'bad' if level == diagnostics.ERROR else 'stale'
            self._statistics.refusals[f'{reason.split(":")[0]} {kind}'] += 1
        self._change(level, reason)

    def _change(self, level: bytes, message: str) -> None:
        """Report at once when the level changes, otherwise once a second."""
        changed = level != self._level
        self._level, self._message = level, message
        if changed:
            self._report()

    def _report(self) -> None:
        self._diagnostics.publish(self._level, self._message, {
            **self._statistics.values(), 'tokens_in_window': self._window, 'prompt': self._prompt,
            'checkpoint': self._params.checkpoint or 'shipped'})


def main() -> int:
    """Run the node's process."""
    return run(PolicyNode)


if __name__ == '__main__':
    sys.exit(main())
