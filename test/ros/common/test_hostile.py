"""Anybody may send anything on any topic: no node ends, and the gate goes on speaking.

GATO_HOSTILE says how many messages each topic gets: 200 in `make faults`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hostile import MB, NAMES, messages
from plant import ARM, ROBOT, SLOW, Plant
from ros_bench import Bench, Processes, until
from sensor_msgs.msg import CameraInfo, Image, JointState, Joy
from std_msgs.msg import Float64MultiArray, String

from gato_ros.episodes.recordings.definitions import FRAMES
from gato_ros.episodes.recordings.topics import recorded
from gato_ros.nodes.common import qos
from gato_ros.nodes.recorder.listening import message_class

COUNT = int(os.environ.get('GATO_HOSTILE', '6'))
GAP_S = 0.02  # between two commands, with nothing else to do for the machine
TOPICS: dict[str, type] = {
    **{topic: message_class(kind) for topic, kind in recorded(ROBOT).items() if kind != FRAMES},
    'policy/heartbeat': DiagnosticStatus, 'policy_effort': JointState, 'joy': Joy}
RELIABLE = {'proposed_effort', 'policy_effort'}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of demonstrations in which nothing is one."""
    folder = tmp_path / 'demos'
    folder.mkdir()
    os.mkfifo(folder / 'pipe.mcap')
    os.mkfifo(folder / 'pipe.safetensors')
    (folder / 'folder.mcap').mkdir()
    (folder / 'link.mcap').symlink_to('/dev/zero')
    (folder / 'loop.mcap').symlink_to('loop.mcap')
    return folder


@pytest.mark.sim
def test_no_message_ends_a_node_or_silences_the_gate(bench: Bench, processes: Processes,
                                                     folder: Path) -> None:
    plant = Plant(bench, processes, relay=False)
    others = [processes.node('recorder_node', folder=folder, follow_simulator=True),
              processes.start('-m', 'gato_ros.nodes.teleoperation.teleop_node', '--ros-args',
                              '-r', 'proposed_effort:=person_effort', web=True, port=0,
                              folder=folder)]
    plant.recover()
    until(lambda: bench.node.get_subscriptions_info_by_topic('/joy'), what='the teleop node')
    nodes = {'gate': plant.safety, 'policy': plant.policy, 'simulator': plant.simulator,
             'recorder': others[0], 'teleop': others[1]}
    for seed, (topic, kind) in enumerate(TOPICS.items()):
        publisher = bench.publisher(kind, topic, (
            qos.COMMAND if topic in RELIABLE else qos.EPISODES))
        until(publisher.get_subscription_count, what=topic)
        for msg in messages(kind, COUNT, seed):
            publisher.publish(msg)
            time.sleep(0.01)
        time.sleep(0.1)
        bench.drop(publisher)
        ended = [name for name, process in nodes.items() if process.poll() is not None]
        assert not ended, f'{ended} ended after {COUNT} messages on {topic}'
    plant.wire.clear()
    time.sleep(1.0)
    assert len(plant.wire) > 100 / SLOW and plant.state() == 'fault'
    plant.within_limits()
    plant.recover()  # every node still does what it is for


def gap_s(bench: Bench, wire: list, work: Any) -> float:
    """Return the longest silence on the wire while ``work`` is done and a little longer."""
    wire.clear()
    until(lambda: len(wire) > 20)
    work()
    count = len(wire)
    until(lambda: len(wire) > count + 20)
    return float(np.diff([moment for moment, _ in wire]).max())


WORST = {
    'five thousand equal names': lambda: JointState(name=[NAMES[0]] * 5000),
    'a hundred thousand names': lambda: JointState(name=['a'] * 100_000),
    'a name of a megabyte': lambda: JointState(name=['x' * MB]),
    'a hundred thousand values': lambda: JointState(name=NAMES, position=[0.0] * 120_000),
}


@pytest.mark.parametrize('topic', ['proposed_effort', 'joint_states'])
def test_no_single_message_stands_the_gate_still(bench: Bench, processes: Processes, topic: str
                                                 ) -> None:
    wire = bench.record(Float64MultiArray, ARM, qos.RECORD)
    said = bench.record(DiagnosticArray, '/diagnostics', qos.RECORD)
    processes.node('safety_node')
    publisher = bench.publisher(JointState, topic, qos.COMMAND)
    until(lambda: wire and publisher.get_subscription_count(), what='the gate')
    for name, make in WORST.items():
        msg = make()
        silences = [gap_s(bench, wire, lambda msg=msg: publisher.publish(msg)) for _ in range(3)]
        print(f'{topic}, {name}: largest gap {max(silences) * 1e3:.1f} ms')
        assert min(silences) < GAP_S * (1 if SLOW == 1 else 5), name
    if topic == 'proposed_effort':
        words = f'{topic}: a message of'
        until(lambda: any(words in s.message for _, m in said for s in m.status), what=words)


def test_pictures_and_words_that_lie_do_not_end_the_recorder_at_its_start(
        bench: Bench, processes: Processes, folder: Path) -> None:
    """Words on a latched topic come again at every start."""
    publisher = bench.publisher(String, 'sim/episode', qos.EPISODES)
    for words in ('{', '[' * 100_000, '{"status": 5}', '3'):
        publisher.publish(String(data=words))
    said = bench.record(DiagnosticArray, '/diagnostics', qos.RECORD)
    recorder = processes.node('recorder_node', folder=folder)
    until(lambda: any('sim/episode: a message that cannot be read' in s.message
                      for _, m in said for s in m.status), what='the words')
    assert recorder.poll() is None
    assert {Image, CameraInfo} <= set(TOPICS.values())  # whoever reads them is in the test above
