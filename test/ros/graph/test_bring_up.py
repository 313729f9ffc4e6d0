"""docs/bring_up.md walked with an arm that no file here names, as far as it goes without weights:
its URDF becomes a YAML file, the gate holds it at rest, and what is shown becomes training data.
"""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from geometry_msgs.msg import WrenchStamped
from ros_bench import TIMEOUT_S, Bench, Processes, until
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import SetBool, Trigger
from typer.testing import CliRunner

from gato_ros.episodes.recordings.inspect import inspect
from gato_ros.episodes.recordings.rosbag2 import write_folder
from gato_ros.nodes.common import convert, qos
from gato_ros.robot import load_robot
from gato_ros.tools.cli import app

JOINT = """  <joint name="{name}" type="revolute">
    <parent link="{parent}"/><child link="{child}"/><origin xyz="0 0 {z}"/><axis xyz="{axis}"/>
    <limit lower="-2" upper="2" velocity="1.5" effort="40"/></joint>
"""
URDF = '<robot name="heron">\n{}</robot>\n'.format(''.join(
    JOINT.format(name=name, parent=parent, child=child, z=z, axis=axis)
    for name, parent, child, z, axis in (('root', 'pole', 'neck', 0.3, '0 0 1'),
                                         ('neck_lift', 'neck', 'head', 0.4, '0 1 0'),
                                         ('beak', 'head', 'tip', 0.2, '1 0 0'))))
CAMERA = """cameras:
  - {name: eye, topic: eye/image_raw, height: 64, width: 64,
     mount: {xyz: [0.5, 0, 0.5], rpy: [0, 0.5, 0], link: head}}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A URDF, and the YAML file that the command made of it with a camera filled in."""
    urdf, file = tmp_path / 'heron.urdf', tmp_path / 'heron.yaml'
    urdf.write_text(URDF)
    done = CliRunner().invoke(app, ['robot', 'from-urdf', str(urdf), '--interface', 'effort',
                                    '--out', str(file)])
    assert done.exit_code == 0, done.output
    file.write_text(file.read_text().replace('cameras: []\n', CAMERA))
    return urdf, file


def call(bench: Bench, kind: type, name: str, **values: Any) -> Any:
    client = bench.node.create_client(kind, name)
    until(client.service_is_ready, what=name)
    future = client.call_async(kind.Request(**values))
    return until(lambda: future.done() and future.result(), what=f'the answer of {name}')


def test_from_a_urdf_to_a_demonstration(bench: Bench, processes: Processes,
                                        files: tuple[Path, Path], tmp_path: Path) -> None:
    urdf, file = files
    robot, demos = load_robot(file), tmp_path / 'demos'
    processes.node('safety_node', robot=file)
    processes.node('recorder_node', robot=file, folder=demos, task='look', sentence='look up')
    processes.node('frames_node', robot=file, urdf=urdf)
    torques = bench.record(Float64MultiArray, robot.controllers['arm_controller'], qos.RECORD)
    described = bench.record(String, 'robot_description', qos.LATCHED)
    wrenches = bench.record(WrenchStamped, 'sent_wrench', qos.RECORD)
    answers = bench.record(JointState, 'sent_effort', qos.RECORD)
    joints = bench.publisher(JointState, 'joint_states', qos.SENSORS)
    eye = bench.publisher(Image, 'eye/image_raw', qos.SENSORS)
    propose = bench.publisher(JointState, 'proposed_effort', qos.COMMAND)

    numbers = itertools.count(1)

    def step(patience_s: float = 1.0) -> None:
        """Say what a driver, a camera and a person's device would; wait for the gate's answer."""
        number = next(numbers)
        seen, stamp_ns = robot.example_observation(number), 1_000_000_000 + 50_000_000 * number
        joints.publish(convert.from_joints(robot.joint_names, seen.proprioception[
            'joint_positions'], seen.proprioception['joint_velocities'] * 0.0, stamp_ns))
        eye.publish(convert.from_image(seen.images['eye'], stamp_ns, 'camera_eye_optical'))
        propose.publish(convert.from_effort(robot.joint_names, robot.scale, stamp_ns))
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline and not (
                answers and convert.to_ns(answers[-1][1].header.stamp) == stamp_ns):
            time.sleep(0.005)

    until(lambda: step() or (answers and torques and described and wrenches), what='the nodes')
    assert described[0][1].data == URDF, 'the description is the file itself'
    assert 'recording' in call(bench, Trigger, 'recorder/start').message
    for _ in range(30):
        step(TIMEOUT_S)
    saved = call(bench, SetBool, 'recorder/save', data=True).message
    assert 'saved' in saved

    # Nobody has enabled the gate: at rest, whatever is proposed.
    assert all(list(msg.data) == [0.0, 0.0, 0.0] for _, msg in torques)
    assert {msg.header.frame_id for _, msg in wrenches} == {'neck', 'head', 'tip'}
    recording, = demos.glob('*.mcap')
    verdict = inspect(recording, robot)
    assert verdict.contents.about['sentence'] == 'look up'
    # On a busy machine what has not reached the recorder yet is left out.
    assert verdict.refusal == '' and verdict.steps >= 5, saved
    about = yaml.safe_load(write_folder(recording, tmp_path / 'bag').read_text())
    topics = {row['topic_metadata']['name']: row for row in about[
        'rosbag2_bagfile_information']['topics_with_message_count']}
    assert topics['/robot_description']['message_count'] == 1, 'said before the recording began'
    assert {name: row['topic_metadata']['offered_qos_profiles'][0]['durability']
            for name, row in topics.items()
            if name in ('/robot_description', '/joint_states')} == {
        '/robot_description': 'transient_local', '/joint_states': 'volatile'}
