"""`gato-ros record replay` over real DDS: sensors as they were, actions through the gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from ros_bench import Bench, Processes, until
from sensor_msgs.msg import Image, JointState

from gato_ros.episodes.recordings.session import Session
from gato_ros.episodes.recordings.topics import sensors
from gato_ros.nodes.common import convert, qos
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
STEPS, PERIOD_NS = 20, 50_000_000
EFFORT = np.linspace(0.1, 0.8, 8)


def record(folder: Path, actions: bool = True) -> tuple[Path, dict[str, list[Any]]]:
    """Record one second; returns the file, and topic -> the messages in it."""
    session = Session(ROBOT, folder, {'source': 'teleoperation'}, min_free_mb=1)
    session.start('lift the red block', '')
    written: dict[str, list[Any]] = {}
    for step in range(STEPS):
        stamp = PERIOD_NS * (step + 1)
        seen = ROBOT.example_observation(step)
        rows = {camera.topic: convert.from_image(seen.images[camera.name], stamp, 'eye')
                for camera in ROBOT.cameras}
        rows['joint_states'] = convert.from_joints(ROBOT.joint_names, EFFORT * step, EFFORT, stamp)
        if actions:
            rows['sent_effort'] = convert.from_effort(ROBOT.joint_names, EFFORT, stamp)
        for topic, msg in rows.items():
            session.write(topic, stamp, serialize_message(msg))
            written.setdefault(topic, []).append(msg)
    return session.save('success').file, written


def stamp(msg: Any) -> int:
    return convert.to_ns(msg.header.stamp)


def replay(processes: Processes, *args: str | Path) -> Any:
    return processes.start('-m', 'gato_ros.tools.cli', 'record', 'replay', '--wait', '60',
                           *map(str, args))


def test_sensors_come_again_as_they_were_and_when_they_were(
        bench: Bench, processes: Processes, tmp_path: Path) -> None:
    file, written = record(tmp_path)
    heard = {topic: bench.record(Image if 'camera' in topic else JointState, topic, qos.RECORD)
             for topic in sensors(ROBOT)}
    process = replay(processes, file, '--speed', '2')
    assert process.wait(timeout=150) == 0
    assert process.log.read_text() == f'{STEPS * len(heard)} messages published\n'
    for topic, rows in heard.items():
        until(lambda rows=rows: len(rows) == STEPS, what=topic)
        assert [msg for _, msg in rows] == written[topic]
        took = rows[-1][0] - rows[0][0]
        expected = (STEPS - 1) * PERIOD_NS * 1e-9 / 2
        assert 0.8 * expected < took < 5.0, f'{took} s, expected {expected} s'  # or a slow machine


def test_actions_go_through_the_gate(bench: Bench, processes: Processes, tmp_path: Path) -> None:
    file, _ = record(tmp_path)
    proposed = bench.record(JointState, 'proposed_effort', qos.RECORD)
    sent = bench.record(JointState, 'sent_effort', qos.RECORD)
    sensed = bench.record(JointState, 'joint_states', qos.RECORD)
    processes.node('safety_node', simulation=True)
    until(lambda: bench.found('sent_effort'), what='the gate')
    process = replay(processes, file, '--what', 'actions')
    assert process.wait(timeout=150) == 0
    assert process.log.read_text() == f'{STEPS} messages published\n'
    until(lambda: {stamp(m) for _, m in sent
                   if np.array_equal(m.effort, EFFORT)} & {stamp(m) for _, m in proposed},
          what='a proposal that was passed on as it was')
    stamps = [stamp(msg) for _, msg in proposed]
    assert stamps == sorted(set(stamps)) and stamps[0] > 1e18  # of now, not of the recording
    assert sensed == []


@pytest.mark.parametrize(('args', 'words'), [
    (('--what', 'actions'), 'has no message on sent_effort, expected some'),
    (('--what', 'thoughts'), "--what is 'thoughts', expected sensors or actions"),
])
def test_what_cannot_be_replayed_is_one_sentence(processes: Processes, tmp_path: Path,
                                                 args: tuple[str, ...], words: str) -> None:
    file, _ = record(tmp_path, actions=False)
    process = replay(processes, file, *args)
    assert process.wait(timeout=150) == 2
    assert words in process.log.read_text().splitlines()[-1]
