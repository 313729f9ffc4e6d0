"""Cameras and joint states in, proposals out. Proposals go to the safety node, never to the robot.

    in   the cameras and joint states of the robot's YAML file; prompt (String); sent_effort;
         ask (String), see talker.py, which answers on text; there it is also said what the
         policy understood of a prompt: a sentence that it does not understand moves nothing
    out  proposed_effort   JointState with the stamp of the observation that it answers
         policy/timing     String, JSON: stamp_ns, latency_ms, timing_ms, tokens, window
         policy/heartbeat  DiagnosticStatus at 50 Hz (see heartbeat.py)
         /diagnostics

A managed node (see managed.py): nothing is proposed unless it is active. Callbacks only store; the
worker owns the policy and starts a step when every camera and the joint state are new (inputs.py)
and the control period allows it (pace.py).
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from gato_ros.config import ConfigError
from gato_ros.episodes.recordings.topics import TIMING
from gato_ros.nodes.common import convert, diagnostics, heartbeat, qos
from gato_ros.nodes.common.listen import listen
from gato_ros.nodes.common.managed import ManagedNode
from gato_ros.nodes.common.pace import Pace
from gato_ros.nodes.common.params import declare
from gato_ros.nodes.common.run import run_process
from gato_ros.nodes.common.scheduling import POLICY, take
from gato_ros.nodes.policy.loading import Policy, engine_failure, load_policy, open_speaker
from gato_ros.nodes.policy.params import PARAMS
from gato_ros.nodes.policy.prompter import Prompter
from gato_ros.nodes.policy.still import still
from gato_ros.nodes.policy.talker import Talker
from gato_ros.nodes.sensing.cameras import Cameras
from gato_ros.nodes.sensing.inputs import Inputs, Snapshot
from gato_ros.nodes.sensing.mailbox import Mailbox, Stale
from gato_ros.robot import RobotSpec, load_robot
from gato_ros.spec import Action, Observation

TOLD = 50  # sentences at most that diagnostics name, of those that a checkpoint was trained on


class PolicyNode(ManagedNode):
    """The worker thread and what feeds it; ``load`` builds the policy, in that thread."""

    def __init__(self, load: Callable[[SimpleNamespace, RobotSpec], Policy] = load_policy) -> None:
        super().__init__('policy')
        self._params = declare(self, PARAMS)
        self._robot = load_robot(self._params.robot)
        self._lock_step = self._params.lock_step
        self._prompter = Prompter(self._robot, Path(self._params.folder))
        self._prompter.put(self._params.prompt)
        self._inputs = Inputs(self._robot, self._lock_step, self._params.settle_s, look=True)
        self._sent = Mailbox[JointState]('sent_effort', float('inf'), history=8)
        self._pace = Pace(self._robot.rate_hz)
        self._period_s = 1.0 / self._robot.rate_hz

        self._proposal: JointState | None = None  # the newest one
        self._sequence = -1, 0  # the numbers of its prompt and of its epoch
        self._message, self._level = 'waiting for observations', diagnostics.STALE
        self._statistics = diagnostics.StepStatistics()
        self._window, self._capacity = 0, 0
        self._engine, self._hash = '', ''
        self._said, self._refusal = '', ''  # of the prompt, as the policy reads it
        self._sentences: tuple[str, ...] = ()

        self._proposed = self.create_lifecycle_publisher(JointState, 'proposed_effort',
                                                         qos.COMMAND)
        self._timing = self.create_lifecycle_publisher(String, TIMING, qos.EVENTS)
        self._beat = self.create_publisher(DiagnosticStatus, heartbeat.TOPIC, qos.NEWEST)
        self._diagnostics = diagnostics.Diagnostics(self, 'policy', self._robot.name)
        self._load = load
        self._talker = Talker(self, self._params.caption_s)
        self.add_post_set_parameters_callback(self._prompter.follow)
        if self._params.autostart:
            self.start()  # the first calls are slow; nothing is subscribed to before them

        self._cameras = Cameras(self, self._inputs)
        listen(self, JointState, self._robot.joint_states_topic, self._inputs.put_joints,
               qos.JOINTS)
        listen(self, JointState, 'sent_effort', lambda msg: self._sent.put(
            msg, convert.to_ns(msg.header.stamp)), qos.EVENTS)
        listen(self, String, 'prompt', lambda msg: self._prompter.put(msg.data), qos.PROMPT,
               refuse=self._prompter.refuse)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._report, clock=steady)
        self.create_timer(1.0 / heartbeat.RATE_HZ, self._on_beat, clock=steady)

    def _on_beat(self) -> None:
        problem = self._inputs.problem() if self._active.is_set() else 'it is not active'
        self._beat.publish(heartbeat.write(problem, self._inputs.ages_s()))

    def _obstacle(self) -> str:
        return '' if self._params.autostart else self._inputs.problem()

    def _begin(self) -> None:
        """Pin the prompt anew: what was seen before the activation counts no more."""
        self._sequence = -1, 0

    def _check_change(self, parameters: Sequence[Parameter]) -> None:
        super()._check_change([p for p in parameters if p.name != 'prompt'])
        for parameter in parameters:
            if parameter.name == 'prompt' and self.has_parameter('prompt'):
                self._prompter.load(parameter.value)  # refused if it cannot serve

    def _work(self) -> None:
        """Load the policy, then answer observations while active."""
        for param in PARAMS:
            setattr(self._params, param.name, self.get_parameter(param.name).value)
        self._prompter.wait()
        if self._prompter.refusal and not self._prompter.number:  # of the parameter
            raise ConfigError(self._prompter.refusal)
        policy = self._load(self._params, self._robot)
        self._engine, self._capacity = policy.engine.name, policy.window.capacity
        self._hash, self._sentences = policy.checkpoint_hash, policy.sentences
        if policy.fallback_reason:
            self._engine += f', for {policy.fallback_reason}'
            self.get_logger().warning(self._engine)
        take(self, self._params.scheduling, POLICY, self._lock_step)
        self._talker.start(lambda cameras: open_speaker(policy, cameras))
        self._ready.set()
        try:
            while not self._stop.is_set() and self.context.ok():
                self._inputs.wait(0.01)  # or sooner, when something arrives
                if self._active.is_set():
                    with engine_failure():
                        self._turn(policy)
        finally:
            self._talker.stop()

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
            if not self._lock_step and (problem := self._inputs.problem()):
                self._refuse(diagnostics.STALE, problem)
            else:
                self._look_ahead(policy)
            return
        if not self._pin_prompt(snapshot, policy) or not self._may_start(snapshot, policy):
            return
        self._inputs.use(snapshot)
        skipped = self._pace.start(snapshot.stamp_ns, time.monotonic())
        try:
            observation = snapshot.observation(self._robot)
            self._talker.show(observation.images)
            if self._refusal:
                self._stay(observation)
                return
            action = policy.act(observation, self._really_sent())
        except ValueError as error:  # ConvertError, or a value that cannot become a token
            self._refuse(diagnostics.ERROR, str(error))
            return
        self._propose(action, snapshot, skipped, policy)

    def _pin_prompt(self, snapshot: Snapshot, policy: Policy) -> bool:
        """Begin a new sequence where the prompt or the time is another; False when refused."""
        if self._lock_step:
            self._prompter.wait()
        number = self._prompter.number
        if (number, snapshot.epoch) != self._sequence:
            try:
                policy.reset(self._prompter.prompt, pinned=self._params.pin_prompt)
            except ValueError as error:  # it leaves no room in this policy's window
                self._refuse(diagnostics.ERROR, f'prompt: {error}')
                return False
            self._sequence = number, snapshot.epoch
            told = policy.understood * (policy.understood != self._prompter.prompt)
            self._said, self._refusal = policy.said or told, policy.refusal
            if words := self._refusal or self._said:
                self._talker.tell(words)
            self._pace.restart()
            self._proposal = None
        return True

    def _look_ahead(self, policy: Policy) -> None:
        """Encode pictures that are here already while something else is on its way."""
        for sight in self._inputs.unseen_pictures():
            with contextlib.suppress(convert.ConvertError):  # refused with its observation
                policy.look(sight.camera.name, sight.image())

    def _may_start(self, snapshot: Snapshot, policy: Policy) -> bool:
        """Whether the period allows a step now; sleeps for less than a period if it does not."""
        if self._lock_step:
            return True
        wait = self._pace.wait_s(snapshot.stamp_ns, time.monotonic())
        if wait > 0:
            self._look_ahead(policy)
            self._stop.wait(wait)
            self._inputs.wake()
        return wait <= 0

    def _really_sent(self) -> dict[str, np.ndarray] | None:
        """Return the answer to the last proposal; None when the safety node has said nothing."""
        if self._proposal is None:
            return None
        letter = self._sent.wait_at(  # in lock-step it is on its way, for physics has moved
            convert.to_ns(self._proposal.header.stamp), 0.2 if self._lock_step else 0.0)
        if letter is None:
            return None
        return {self._robot.command_field: convert.to_effort(letter.value, self._robot,
                                                             'sent_effort')}

    def _propose(self, action: Action, snapshot: Snapshot, skipped: int, policy: Policy) -> None:
        self._proposal = convert.from_effort(
            self._robot.joint_names, action.values[self._robot.command_field], action.stamp_ns,
            self._robot.interface)
        self._proposed.publish(self._proposal)
        latency_ms = (time.monotonic() - snapshot.arrived_s) * 1e3
        self._statistics.add(latency_ms, skipped)
        self._window = policy.window.tokens
        if action.missing:
            self._change(diagnostics.WARN, f'answering, {action.missing} timesteps are missing in '
                         'what was seen before')
        else:
            self._change(diagnostics.OK, 'answering')
        self._timing.publish(String(data=json.dumps({
            'stamp_ns': action.stamp_ns, 'latency_ms': round(latency_ms, 3),
            'timing_ms': {name: round(value, 3) for name, value in (
                ('convert', snapshot.convert_ms), *action.timing_ms.items())},
            'tokens': np.asarray(action.tokens).tolist(), 'window': self._window,
            'missing': action.missing})))

    def _stay(self, observation: Observation) -> None:
        """Propose to move nothing, for the prompt was not understood."""
        command = still(self._robot, observation, self._really_sent())
        self._proposal = convert.from_effort(self._robot.joint_names, command,
                                             observation.stamp_ns, self._robot.interface)
        self._proposed.publish(self._proposal)
        self._change(diagnostics.WARN, self._refusal)

    def _refuse(self, level: bytes, reason: str) -> None:
        """Count a reason once a control period; no proposal goes out, so the gate will stop."""
        self._statistics.refuse(reason, level == diagnostics.ERROR, self._period_s)
        self._change(level, reason)

    def _change(self, level: bytes, message: str) -> None:
        """Report at once when the level changes, otherwise once a second."""
        changed = level != self._level
        self._level, self._message = level, message
        if changed:
            self._report()

    def _report(self) -> None:
        level, message = self._level, self._message
        if not self._active.is_set():
            level, message = diagnostics.STALE, 'not active'
        elif (problem := self._inputs.problem()) and problem not in message:
            message = f'{message}; {problem}'
        if self._prompter.refusal:
            level = max(level, diagnostics.WARN)
            message = f'{message}; {self._prompter.refusal}'
        self._diagnostics.publish(level, message, {
            **self._statistics.values(), 'tokens_in_window': self._window,
            'window_capacity': self._capacity,
            'prompt': self._prompter.words, 'prompt_id': self._prompter.identity,
            # Never the former demonstration's words beside a prompt that is not read yet.
            'prompt_read_as': self._said * (self._sequence[0] == self._prompter.number),
            'prompt_refused': self._refusal * (self._sequence[0] == self._prompter.number),
            'checkpoint': self._params.checkpoint or 'shipped',
            'engine': self._engine,
            'checkpoint_hash': self._hash,
            'sentences': json.dumps(self._sentences[:TOLD]),
            'ages_s': json.dumps({t: round(a, 3) for t, a in self._inputs.ages_s().items()}),
            'pictures': json.dumps(self._inputs.pictures()),
            'duplicates': json.dumps(self._inputs.duplicates())})


def main() -> int:
    """Run the node's process."""
    run_process(PolicyNode)


if __name__ == '__main__':
    sys.exit(main())
