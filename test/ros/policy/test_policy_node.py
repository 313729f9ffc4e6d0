"""The policy node: what it answers, what it refuses and why, and how it recovers."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.serialization import serialize_message
from ros_bench import ROOT, Bench, Processes, until
from scripted_policy import HomePolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from gato_ros.config import ConfigError
from gato_ros.episodes.prompts import STEPS
from gato_ros.episodes.recordings.session import Session
from gato_ros.nodes import MODULES
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.policy.policy_node import PolicyNode
from gato_ros.policy.checkpoint import ANY_PAIR
from gato_ros.robot import POSITIONS, RobotSpec, load_robot
from gato_ros.tokens.sequence import TimestepTokenizer

ROBOT = load_robot('panda_sim')
CYCLOPS = dataclasses.replace(ROBOT, name='cyclops', cameras=ROBOT.cameras[:1])


class Robot:
    """Publishes as a robot does, and listens to the policy node."""

    def __init__(self, bench: Bench, node_here: bool = True,
                 policy: HomePolicy | None = None) -> None:
        self.policy = policy or HomePolicy()
        if node_here:
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

    def hear(self, words: str, **expected: str) -> None:
        """Wait for a status whose message holds these words, and which has these values."""
        until(lambda: any(words in s.message and expected.items() <= values(s).items()
                          for _, m in self.said for s in m.status), what=f'{words}, {expected}')


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
    ({'break_image': spoil('encoding', '16UC1')}, "the encoding is '16UC1', expected rgb8"),
    ({'break_image': spoil('height', 32)}, 'a step of 192, expected 32 rows of 192'),
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
    until(lambda: robot.node._prompter.words.startswith('stack'))
    robot.answer(100)
    robot.answer(150)
    robot.answer(40)
    assert robot.policy.prompts == ['lift'] + ['stack the red block on the blue block'] * 2
    assert robot.policy.sent[-1] is None
    assert 'stack' in values(robot.status(DiagnosticStatus.STALE, len(robot.said)))['prompt']


def record_demonstration(folder: Path, robot: RobotSpec = ROBOT) -> Path:
    """Record ten steps of an arm at rest."""
    session = Session(robot, folder, {'source': 'teleoperation'}, min_free_mb=1)
    session.start('lift the red block', '')
    for stamp in range(50_000_000, 550_000_000, 50_000_000):
        rows = {'joint_states': convert.from_joints(robot.joint_names, np.zeros(8), np.zeros(8),
                                                    stamp),
                'sent_effort': convert.from_effort(robot.joint_names, np.zeros(8), stamp)}
        for camera in robot.cameras:
            rows[camera.topic] = convert.from_image(np.zeros((64, 64, 3), np.uint8), stamp, '')
        for topic, msg in rows.items():
            session.write(topic, stamp, serialize_message(msg))
    return session.save('success').file


def test_a_demonstration_is_pinned_and_a_foreign_one_is_refused(
        processes: Processes, bench: Bench, checkpoint: Path, tmp_path: Path) -> None:
    file = record_demonstration(tmp_path / 'demos')
    foreign = record_demonstration(tmp_path / 'others', CYCLOPS)
    processes.node('policy_node', autostart=True, checkpoint=checkpoint, folder=file.parent)
    robot = Robot(bench, node_here=False)
    step = len(TimestepTokenizer(ROBOT.timestep()).layout())

    def window(ms: int) -> int:
        robot.answer(ms)
        return until(lambda: [t['window'] for _, m in robot.timing
                              if (t := json.loads(m.data))['stamp_ns'] == ms * 1_000_000])[0]

    def said(prompt: str, words: str = '') -> dict[str, str]:
        return until(lambda: [found for _, m in robot.said for s in m.status
                              if (found := values(s))['prompt'] == prompt and words in s.message],
                     what=f'{prompt} in force')[-1]

    assert window(50) == step
    shown = f'{file.name}#first'
    robot.prompt.publish(String(data=shown))
    pinned = said(shown)
    assert window(100) == (STEPS + 1) * step
    robot.prompt.publish(String(data=f'{foreign}#last'))
    said(shown, f"the prompt '{foreign}#last' is refused: {foreign} was recorded by robot "
                "'cyclops' with specification")
    assert window(150) == (STEPS + 2) * step  # the former holds
    robot.prompt.publish(String(data='lift'))
    assert said('lift')['prompt_id'] != pinned['prompt_id']
    assert window(200) < STEPS * step


@pytest.mark.slow
def test_what_it_reads_in_a_demonstration_is_reported(
        processes: Processes, bench: Bench, tmp_path: Path) -> None:
    """The checkpoint that has learnt to says what the end of an episode shows, from pictures."""
    subprocess.run([sys.executable, '-m', 'gato_ros.tools.cli', 'collect', '--out', tmp_path,
                    '--episodes', '1', '--task', 'stack_green_on_blue_wide'], check=True)
    file, = tmp_path.glob('*.safetensors')
    processes.node('policy_node', autostart=True, checkpoint=ANY_PAIR, folder=tmp_path,
                   prompt=f'{file.name}#last')
    robot = Robot(bench, node_here=False)
    robot.hear('nothing has arrived')  # it is active
    robot.answer(50)
    robot.hear('', prompt=f'{file.name}#last',
               prompt_read_as='stack the green block on the blue block')
    robot.prompt.publish(String(data='lift'))  # nothing is seen any more, so it is not read yet
    robot.hear('', prompt='lift', prompt_read_as='')
    assert not any(found['prompt'] == 'lift' and found['prompt_read_as']
                   for _, m in robot.said for found in map(values, m.status))


def test_a_sentence_that_is_not_understood_moves_nothing_and_is_told(bench: Bench) -> None:
    class Hearing(HomePolicy):
        def reset(self, prompt: str = '', *, pinned: bool = True) -> None:
            self.understood = '' if 'coffee' in prompt else 'lift the red block'
            self.refusal = '' if self.understood else f'I do not understand: {prompt!r}'

    text = bench.record(String, 'text', qos.EVENTS)
    robot = Robot(bench, policy=Hearing())
    robot.prompt.publish(String(data='make coffee'))
    robot.hear('nothing has arrived', prompt='make coffee')
    gripper = [*[0.0] * 7, 5.0]
    assert list(robot.answer(50).effort) == [0.0] * 8
    robot.send(gripper, 50)
    assert until(lambda: [m for _, m in text])[0].data == "I do not understand: 'make coffee'"
    robot.hear("I do not understand: 'make coffee'",
               prompt_refused="I do not understand: 'make coffee'")
    assert list(robot.answer(100).effort) == gripper, 'what it holds it does not drop'
    assert not robot.policy.seen
    robot.prompt.publish(String(data='Lift RED!'))
    robot.hear('', prompt='Lift RED!')
    assert any(robot.answer(150).effort), 'the next sentence holds'
    robot.hear('answering', prompt_read_as='lift the red block', prompt_refused='')
    assert [m.data for _, m in text][-1] == 'lift the red block'


def test_a_rolling_prompt_that_would_be_gone_at_once_is_refused(
        processes: Processes, bench: Bench) -> None:
    processes.node('policy_node', autostart=True, prompt='lift', pin_prompt=False)
    robot = Robot(bench, node_here=False)
    robot.hear('nothing has arrived')  # it is active
    robot.observe(50)
    robot.hear('prompt: a rolling prompt of 1 blocks was given')
    assert not robot.proposals


def test_a_foreign_demonstration_as_parameter_is_one_sentence(
        processes: Processes, checkpoint: Path, tmp_path: Path) -> None:
    foreign = record_demonstration(tmp_path, CYCLOPS)
    process = processes.node('policy_node', autostart=True, checkpoint=checkpoint,
                             prompt=f'{foreign}#last')
    assert process.wait(timeout=60) == 1
    assert process.log.read_text().splitlines()[-1].startswith(
        f"error: the prompt '{foreign}#last' is refused: {foreign} was recorded by robot "
        "'cyclops' with specification")


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


def test_a_device_that_disappears_ends_the_node_with_its_sentence(robot: Robot) -> None:
    from gato_ros.policy.engine import EngineError

    def gone(*_: object) -> None:
        raise EngineError('the engine (cuda) cannot go on: CUDA error: device lost')

    robot.policy.act = gone
    robot.observe(50)
    until(lambda: robot.node.failure is not None, what='the end of the worker')
    assert isinstance(robot.node.failure, ConfigError)  # printed as one line, exit code 1
    assert str(robot.node.failure) == ('the engine (cuda) cannot go on: CUDA error: device lost; '
                                       'start the node again')
    assert robot.proposals == []


def test_without_a_compiler_the_node_answers_eagerly_and_says_why(
        bench: Bench, processes: Processes, checkpoint: Path, monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    process = processes.node('policy_node', autostart=True, checkpoint=checkpoint)
    robot = Robot(bench, node_here=False)
    assert len(robot.answer(50).effort) == 8
    sentence = ('eager float32, for no C++ compiler (c++, g++, clang++) is on the PATH; on Debian '
                'and Ubuntu install g++')
    assert values(robot.status(DiagnosticStatus.OK))['engine'] == sentence
    assert sentence in process.log.read_text()


def test_under_another_name_in_a_namespace_it_is_heard_and_told_apart(
        processes: Processes, bench: Bench) -> None:
    processes.start('-m', MODULES['policy_node'], '--ros-args', '-r', '__ns:=/left',
                    '-r', '__node:=bob')
    beats = bench.record(DiagnosticStatus, '/left/policy/heartbeat', qos.NEWEST)
    said = bench.record(DiagnosticArray, '/diagnostics', qos.EVENTS)
    until(lambda: beats, what='the heartbeat that the gate listens to')
    until(lambda: said, what='its diagnostics')
    assert {status.name for _, msg in said for status in msg.status} == {'left/policy'}


def test_a_missing_checkpoint_is_one_sentence(processes: Processes, tmp_path: Path) -> None:
    process = processes.node('policy_node', autostart=True, checkpoint=tmp_path / 'nowhere')
    assert process.wait(timeout=60) == 1
    assert process.log.read_text().splitlines()[-1] == (
        f'error: {tmp_path}/nowhere is no checkpoint: config.json is missing')


def test_a_checkpoint_of_another_robot_is_one_sentence(processes: Processes, checkpoint: Path,
                                                       tmp_path: Path) -> None:
    other = shutil.copytree(checkpoint, tmp_path / 'other')
    config = json.loads((other / 'config.json').read_text())
    timestep = config['domains']['stacking']['timestep']
    timestep['images'] = timestep['images'][:1]
    (other / 'config.json').write_text(json.dumps(config))
    process = processes.node('policy_node', autostart=True, checkpoint=other)
    assert process.wait(timeout=60) == 1
    assert 'error: the checkpoint (' in process.log.read_text().splitlines()[-1]


def test_more_threads_than_cores_are_refused(processes: Processes) -> None:
    process = processes.node('policy_node', autostart=True, threads=256)
    assert process.wait(timeout=60) == 1
    assert process.log.read_text().splitlines()[-1].startswith(
        'error: threads is 256, expected at most')


def test_an_unknown_robot_is_one_sentence(processes: Processes, tmp_path: Path) -> None:
    path = tmp_path / 'arm.yaml'
    robot = yaml.safe_load((ROOT / 'config/robots/panda_sim.yaml').read_text())
    path.write_text(yaml.safe_dump({**robot, 'rate': 3}))
    process = processes.node('policy_node', autostart=True, robot=path)
    assert process.wait(timeout=60) == 1
    assert "unknown key 'rate'" in process.log.read_text().splitlines()[-1]
