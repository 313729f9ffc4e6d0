"""The policy node: what it answers, what it refuses and why, and how it recovers."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_bench import ROOT, Bench, Processes, until
from scripted_policy import HomePolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from gato_ros.nodes import convert, qos
from gato_ros.nodes.policy_node import PolicyNode
from gato_ros.spec import POSITIONS, load_robot

ROBOT = load_robot('panda_sim')


class Robot:
    """Publishes as a robot does, and listens to the policy node."""

    def __init__(self, bench: Bench) -> None:
        self.policy = HomePolicy()
        self.node = bench.add(PolicyNode(load=lambda params, robot: self.policy))
        self._images = {c.name: bench.publisher(Image, c.topic, qos.SENSORS)
                        for c in ROBOT.cameras}
        self._joints = bench.publisher(JointState, 'joint_states', qos.SENSORS)
        self._sent = bench.publisher(JointState, 'sent_effort', qos.EVENTS)
        self.prompt = bench.publisher(String, 'prompt', qos.PROMPT)
        self.proposals = bench.record(JointState, 'proposed_effort', qos.EVENTS)
        self.said = bench.record(DiagnosticArray, '/diagnostics', qos.EVENTS)
        self.timing = bench.record(String, 'policy/timing', qos.EVENTS)
        everyone = [*self._images.values(), self._joints, self._sent, self.prompt]
        until(lambda: all(p.get_subscription_count() for p in everyone), what='policy node')

    def observe(self, ms: int, break_joints: Callable[[JointState], None] = lambda msg: None,
                break_image: Callable[[Image], None] = lambda msg: None) -> None:
        """Publish one observation; the callables may spoil it."""
        msg = convert.from_joints(ROBOT.joint_names, np.full(8, ms / 1e4), np.zeros(8),
                                  ms * 1_000_000)
        break_joints(msg)
        self._joints.publish(msg)
        for name, publisher in self._images.items():
            image = convert.from_image(np.full((64, 64, 3), ms % 251, np.uint8), ms * 1_000_000,
                                       name)
            if name == 'front':
                break_image(image)
            publisher.publish(image)

    def answer(self, ms: int) -> JointState:
        """Publish a good observation and return the proposal for it."""
        self.observe(ms)
        return until(lambda: [m for _, m in self.proposals
                              if convert.to_ns(m.header.stamp) == ms * 1_000_000],
                     what=f'a proposal for {ms} ms')[0]

    def send(self, effort: list[float], ms: int) -> None:
        """Publish what the safety node made of a proposal."""
        self._sent.publish(convert.from_effort(ROBOT.joint_names, np.array(effort),
                                               ms * 1_000_000))

    def status(self, level: bytes, since: int = 0) -> DiagnosticStatus:
        """Wait for a status of this level behind the first ``since`` ones."""
        return until(lambda: [s for _, m in self.said[since:] for s in m.status
                              if s.level == level], what=f'level {level!r}')[-1]


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


@pytest.fixture
def robot(bench: Bench) -> Robot:
    return Robot(bench)


def test_an_observation_is_answered_with_its_stamp(robot: Robot) -> None:
    msg = robot.answer(50)
    assert tuple(msg.name) == ROBOT.joint_names and np.isfinite(msg.effort).all()
    assert (robot.policy.seen[0].images['wrist'] == 50).all()
    timing = json.loads(until(lambda: robot.timing)[0][1].data)
    assert timing['stamp_ns'] == 50_000_000 and len(timing['tokens']) == 8
    assert 0 < timing['latency_ms'] < 1000


def spoil(name: str, value: object) -> Callable[[Image], None]:
    return lambda msg: setattr(msg, name, value)


def nan_position(msg: JointState) -> None:
    msg.position[2] = math.nan


def drop_joint(msg: JointState) -> None:
    msg.name = [*msg.name[:-1], 'other']


@pytest.mark.parametrize(('damage', 'words'), [
    ({'break_joints': nan_position}, 'joint_states: the position of panda_joint3 is nan'),
    ({'break_joints': drop_joint}, 'joint_states: panda_finger_joint1 missing'),
    ({'break_image': spoil('encoding', 'yuv422')}, "the encoding is 'yuv422', expected rgb8"),
    ({'break_image': spoil('height', 32)}, 'the image is 32x64, expected 64x64'),
    ({'break_image': spoil('step', 100)}, 'with a step of 100, expected 64 rows of 192'),
])
def test_bad_input_gives_its_sentence_and_no_proposal(robot: Robot, damage: dict,
                                                      words: str) -> None:
    robot.observe(50, **damage)
    status = robot.status(DiagnosticStatus.ERROR)
    assert words in status.message
    refusals = json.loads(values(status)['refusals'])
    assert [n for reason, n in refusals.items() if reason.endswith(' bad')] == [1]
    assert robot.proposals == [] and robot.policy.seen == []
    said = len(robot.said)
    robot.answer(100)  # it recovers with the next good observation
    assert robot.status(DiagnosticStatus.OK, said)


def test_silence_is_named_and_nothing_is_proposed(robot: Robot) -> None:
    robot.answer(50)
    said = len(robot.said)
    status = robot.status(DiagnosticStatus.STALE, said)
    assert ': the newest message is' in status.message
    assert len(robot.proposals) == 1
    robot.answer(5000)


def test_unordered_joints_give_the_same_observation(robot: Robot) -> None:
    def shuffle(msg: JointState) -> None:
        order = [5, 2, 7, 0, 1, 6, 4, 3]
        msg.name = [msg.name[i] for i in order]
        msg.position = np.arange(8.0)[order].tolist()

    robot.observe(50, break_joints=shuffle)
    until(lambda: robot.policy.seen)
    assert robot.policy.seen[0].proprioception[POSITIONS].tolist() == list(range(8))


def test_what_was_really_sent_reaches_the_policy(robot: Robot) -> None:
    robot.answer(50)
    robot.send([1.5] * 8, 50)
    until(lambda: robot.node._sent.newest())
    robot.answer(100)
    robot.answer(150)  # nothing was said about the proposal for 100
    assert robot.policy.sent[0] is None and robot.policy.sent[2] is None
    assert robot.policy.sent[1].tolist() == [1.5] * 8


@pytest.mark.parametrize('bench', [{'prompt': 'lift'}], indirect=True)
def test_a_prompt_and_a_jump_back_in_time_reset_the_policy(robot: Robot) -> None:
    robot.answer(50)
    assert robot.policy.prompts == ['lift']
    robot.prompt.publish(String(data='stack the red block on the blue block'))
    until(lambda: robot.node._prompt.startswith('stack'))
    robot.answer(100)
    robot.answer(150)
    robot.answer(40)
    assert robot.policy.prompts == ['lift'] + ['stack the red block on the blue block'] * 2
    assert robot.policy.sent[-1] is None
    assert 'stack' in values(robot.status(DiagnosticStatus.STALE, len(robot.said)))['prompt']


def test_an_observation_that_comes_again_gets_the_same_proposal(robot: Robot) -> None:
    first = robot.answer(50)
    robot.observe(50)
    until(lambda: len(robot.proposals) > 1)
    assert all(m == first for _, m in robot.proposals) and len(robot.policy.seen) == 1


@pytest.mark.parametrize('bench', [{'lock_step': True}], indirect=True)
def test_in_lock_step_every_observation_is_answered_at_once(robot: Robot) -> None:
    started = time.monotonic()
    for ms in range(50, 2050, 50):
        robot.send([0.0] * 8, ms - 50)
        robot.answer(ms)
    assert len(robot.policy.seen) == 40
    assert time.monotonic() - started < 40 * 0.25


def test_a_missing_checkpoint_is_one_sentence(processes: Processes, tmp_path: Path) -> None:
    process = processes.node('policy_node', checkpoint=tmp_path / 'nowhere')
    assert process.wait(timeout=60) == 1
    assert process.log.read_text().splitlines()[-1] == (
        f'error: {tmp_path}/nowhere is no checkpoint: config.json is missing')


def test_a_checkpoint_of_another_robot_is_one_sentence(processes: Processes, checkpoint: Path,
                                                       tmp_path: Path) -> None:
    other = shutil.copytree(checkpoint, tmp_path / 'other')
    config = json.loads((other / 'config.json').read_text())
    config['timestep']['images'] = config['timestep']['images'][:1]
    (other / 'config.json').write_text(json.dumps(config))
    process = processes.node('policy_node', checkpoint=other)
    assert process.wait(timeout=60) == 1
    assert 'error: the checkpoint (' in process.log.read_text().splitlines()[-1]


def test_an_unknown_robot_is_one_sentence(processes: Processes, tmp_path: Path) -> None:
    path = tmp_path / 'arm.yaml'
    robot = yaml.safe_load((ROOT / 'config/robots/panda_sim.yaml').read_text())
    path.write_text(yaml.safe_dump({**robot, 'rate': 3}))
    process = processes.node('policy_node', robot=path)
    assert process.wait(timeout=60) == 1
    assert "unknown key 'rate'" in process.log.read_text().splitlines()[-1]
