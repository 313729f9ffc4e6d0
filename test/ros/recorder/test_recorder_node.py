"""The recorder as a process over real DDS: what came by is in the file, whatever ends it."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from ros_bench import Bench, Processes, until
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gato_ros.episodes.episode import read_slice
from gato_ros.episodes.recordings.bag import import_bag
from gato_ros.episodes.recordings.mcap_file import raw_messages, read_about
from gato_ros.nodes.common import convert, qos
from gato_ros.nodes.recorder.listening import message_class
from gato_ros.nodes.sensing.inputs import Inputs
from gato_ros.robot import TORQUES, load_robot
from gato_ros.tokens.sequence import TimestepTokenizer

ROBOT = load_robot('panda_sim')
SENTENCE = 'stack the red block on the blue block'
SCRIPTED = str(Path(__file__).parents[1] / 'helpers' / 'scripted_policy.py')
ROOM = QoSProfile(depth=500)


def call(bench: Bench, kind: type, name: str, **values: Any) -> Any:
    """Call a service of the recorder and return its answer."""
    client = bench.node.create_client(kind, f'recorder/{name}')
    assert client.wait_for_service(timeout_sec=60)
    future = client.call_async(kind.Request(**values))
    return until(lambda: future.done() and future.result(), what=f'the answer of {name}')


def recorded(file: Path) -> dict[str, list[Any]]:
    """Return topic -> messages, decoded by ROS itself: padding bytes mean nothing."""
    found: dict[str, list[Any]] = {}
    for schema, channel, message in raw_messages(file):
        found.setdefault(channel.topic.strip('/'), []).append(
            deserialize_message(message.data, message_class(schema.name)))
    return found


class Robot:
    """Publishes pictures, joint states and what was sent; remembers it."""

    def __init__(self, bench: Bench) -> None:
        best_effort = QoSProfile(depth=500, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._joints = bench.publisher(JointState, 'joint_states', ROOM)
        self._images = {c.name: bench.publisher(
            Image, c.topic, best_effort if c.name == 'wrist' else ROOM) for c in ROBOT.cameras}
        self._sent = bench.publisher(JointState, 'sent_effort', ROOM)
        self._prompt = bench.publisher(String, 'prompt', qos.PROMPT)
        self.published: dict[str, list[Any]] = {}

    def ready(self) -> bool:
        """Whether the recorder listens to everything."""
        if not all(publisher.get_subscription_count() for publisher in
                   (*self._images.values(), self._joints, self._sent, self._prompt)):
            return False
        time.sleep(0.5)  # a listener is known here a moment before it knows of us
        return True

    def say(self, words: str) -> None:
        self._prompt.publish(String(data=words))

    def step(self, number: int) -> None:
        """Publish one control step."""
        observation, stamp_ns = ROBOT.example_observation(number), (number + 1) * 50_000_000
        rows: list[tuple[str, Any, Any]] = [(
            c.topic, self._images[c.name],
            convert.from_image(observation.images[c.name], stamp_ns, '')) for c in ROBOT.cameras]
        n = len(ROBOT.joints)
        rows += [('joint_states', self._joints, convert.from_joints(
            ROBOT.joint_names, np.full(n, 0.01), np.zeros(n), stamp_ns)),
            ('sent_effort', self._sent,
             convert.from_effort(ROBOT.joint_names, np.full(n, 0.5), stamp_ns))]
        for topic, publisher, msg in rows:
            publisher.publish(msg)
            self.published.setdefault(topic, []).append(msg)
        time.sleep(0.01)  # pictures are best effort: no burst that no camera would send


@pytest.fixture
def robot(bench: Bench) -> Robot:
    return Robot(bench)


def test_start_save_and_discard(bench: Bench, processes: Processes, robot: Robot,
                                tmp_path: Path) -> None:
    processes.node('recorder_node', folder=tmp_path / 'demos', min_free_mb=1)
    until(robot.ready, what='the recorder')
    assert not call(bench, SetBool, 'save', data=True).success
    robot.say(SENTENCE)
    until(lambda: call(bench, Trigger, 'start').success, what='a start')
    again = call(bench, Trigger, 'start')
    assert not again.success and 'expected to save or to discard it first' in again.message
    for number in range(40):
        robot.step(number)
    diagnostics = bench.record(*_diagnostics())
    until(lambda: _messages(diagnostics) >= 160, what='160 messages')
    saved = call(bench, SetBool, 'save', data=True)
    assert saved.success, saved.message
    file, = (tmp_path / 'demos').glob('*.mcap')
    found = recorded(file)
    assert {topic: found[topic] for topic in robot.published} == robot.published
    about = read_about(file)
    assert (about['outcome'], about['sentence']) == ('success', SENTENCE)
    assert json.loads(about['lost']) == {}
    assert import_bag(file, tmp_path / 'out', ROBOT).steps == 40
    assert call(bench, Trigger, 'start').success
    assert 'discarded' in call(bench, Trigger, 'discard').message
    assert list((tmp_path / 'demos').iterdir()) == [file]


def test_what_still_comes_of_the_scene_before_is_thrown_away(
        bench: Bench, processes: Processes, robot: Robot, tmp_path: Path) -> None:
    processes.node('recorder_node', folder=tmp_path / 'demos', min_free_mb=1)
    until(robot.ready, what='the recorder')
    robot.say(SENTENCE)
    diagnostics = bench.record(*_diagnostics())
    until(lambda: call(bench, Trigger, 'start').success, what='a start')
    robot.step(30)
    until(lambda: _messages(diagnostics) >= 5, what='a step and the prompt')
    robot.published.clear()
    for number in range(20):  # time begins anew
        robot.step(number)
    until(lambda: _messages(diagnostics) >= 81, what='20 steps and the prompt')
    assert call(bench, SetBool, 'save', data=True).success
    file, = (tmp_path / 'demos').iterdir()
    found = recorded(file)
    assert {topic: found[topic] for topic in robot.published} == robot.published


def _diagnostics() -> tuple[type, str, Any]:
    from diagnostic_msgs.msg import DiagnosticArray
    return DiagnosticArray, '/diagnostics', qos.EVENTS


def _messages(rows: list) -> int:
    """Return how many messages the recorder says it has written."""
    values = [value.value for _, msg in rows for status in msg.status
              if status.name == 'recorder' for value in status.values if value.key == 'messages']
    return int(values[-1]) if values else 0


def test_kill_9_and_the_next_start_recovers(bench: Bench, processes: Processes, robot: Robot,
                                            tmp_path: Path) -> None:
    folder = tmp_path / 'demos'
    recorder = processes.node('recorder_node', folder=folder, min_free_mb=1, sentence='"lift"')
    until(robot.ready, what='the recorder')
    diagnostics = bench.record(*_diagnostics())
    assert call(bench, Trigger, 'start').success
    for number in range(30):
        robot.step(number)
    until(lambda: _messages(diagnostics) >= 120, what='120 messages')
    until(lambda: next(folder.glob('*.part')).stat().st_size > 300_000, what='a chunk on disk')
    recorder.send_signal(signal.SIGKILL)
    recorder.wait()
    assert list(folder.glob('*.mcap')) == []
    processes.node('recorder_node', folder=folder, min_free_mb=1)
    file = until(lambda: next(folder.glob('*.mcap'), None), what='the recovered file')
    found = recorded(file)
    for topic, published in robot.published.items():
        assert found[topic] == published[:len(found[topic])] and len(found[topic]) > 20, topic
    assert 'the recorder ended before it was saved' in read_about(file)['recovered']


@pytest.mark.sim
def test_whole_episodes_are_the_same_tokens_from_the_file_and_live(
        bench: Bench, processes: Processes, tmp_path: Path) -> None:
    """Two episodes of the graph in lock-step, once from DDS as the policy takes it, once saved."""
    rows: list[tuple[str, Any]] = []
    for topic, kind in [(c.topic, Image) for c in ROBOT.cameras] + [
            ('joint_states', JointState), ('sent_effort', JointState)]:
        bench.node.create_subscription(kind, topic, lambda msg, topic=topic: rows.append(
            (topic, msg)), qos.RECORD)
    processes.node('recorder_node', folder=tmp_path / 'demos', min_free_mb=1,
                   follow_simulator=True, source='policy')
    until(lambda: bench.node.count_subscribers('sim/episode'), what='the recorder')
    processes.node('sim_node', mode='lock_step', seeds='[5,6]', time_limit_s=2.0)
    processes.node('safety_node', lock_step=True, simulation=True)
    until(lambda: bench.found('sim/episode', 'joint_states', 'sent_effort'), what='discovery')
    until(lambda: bench.node.count_subscribers('sent_effort') >= 3, what='everybody')
    processes.start(SCRIPTED, lock_step=True, autostart=True)
    files = sorted(until(lambda: len(found := list((tmp_path / 'demos').glob('*.mcap'))) == 2
                         and found, what='two recordings'))
    episodes = split(rows)
    tokenizer = TimestepTokenizer(ROBOT.timestep())
    for file, messages in zip(files, episodes, strict=True):
        done = import_bag(file, tmp_path / 'out', ROBOT)
        assert done.steps == 40 and done.incomplete == 0 and done.skew.max_s == 0.0
        assert read_about(file)['outcome'] == 'failure'
        data = read_slice(done.file, 0, done.steps)
        bag = tokenizer.encode(data['image'], data['tensor'], data['sent'])
        blocks = live(messages, tokenizer)
        assert len(blocks) == done.steps
        for step, block in enumerate(blocks):
            assert bag.ids[step].tolist() == block.ids.tolist()
            assert np.array_equal(bag.patches[step], block.patches)


def split(rows: list[tuple[str, Any]]) -> list[dict[int, dict[str, Any]]]:
    """Return, for each episode, stamp -> topic -> message; time begins anew with each."""
    episodes: dict[str, list[dict[int, Any]]] = {}
    for topic, msg in rows:
        parts, stamp = episodes.setdefault(topic, [{}]), convert.to_ns(msg.header.stamp)
        if parts[-1] and stamp < max(parts[-1]):
            parts.append({})
        parts[-1][stamp] = msg
    count = len(episodes['sent_effort'])
    return [{stamp: {topic: parts[index].get(stamp) for topic, parts in episodes.items()}
             for stamp in episodes['sent_effort'][index]} for index in range(count)]


def live(messages: dict[int, dict[str, Any]], tokenizer: TimestepTokenizer) -> list[Any]:
    """Return the timesteps as the policy node takes them from its subscriptions."""
    inputs, blocks = Inputs(ROBOT, lock_step=True), []
    for _, found in sorted(messages.items()):
        inputs.put_joints(found['joint_states'])
        for camera in ROBOT.cameras:
            inputs.put_image(camera.name, found[camera.topic])
        snapshot = inputs.pick()
        inputs.use(snapshot)
        observation = snapshot.observation(ROBOT)
        blocks.append(tokenizer.encode(
            observation.images, observation.proprioception,
            {TORQUES: convert.to_effort(found['sent_effort'], ROBOT, 'sent_effort')}))
    return blocks
