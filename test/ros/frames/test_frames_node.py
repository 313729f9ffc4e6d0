"""What RViz shows, over DDS: the description, efforts as wrenches, frames where tf2 is here."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from geometry_msgs.msg import WrenchStamped
from ros_bench import ROOT, Bench, Processes, until
from sensor_msgs.msg import JointState
from std_msgs.msg import String

from gato_ros.descriptions.urdf import read_urdf
from gato_ros.nodes.common import qos
from gato_ros.robot import load_robot

ROBOT = load_robot('panda_sim')
SINE = 0.479425538604203  # of half a radian
# What a driver says: other links, a joint about y, and a finger that mimics.
DRIVER = """<robot name="panda">
  <joint name="panda_joint1" type="revolute">
    <parent link="panda_link0"/><child link="panda_link1"/>
    <axis xyz="0 1 0"/><limit lower="-1" upper="1" velocity="1" effort="10"/></joint>
  <joint name="grip" type="prismatic"><parent link="panda_link1"/><child link="finger"/>
    <axis xyz="0 0 1"/><limit lower="0" upper="1" velocity="1" effort="1"/>
    <mimic joint="panda_joint1"/></joint>
</robot>"""


def wrenches(bench: Bench, topic: str, effort: list[float], frames: set[str]
             ) -> dict[str, Any]:
    """Return frame -> wrench of efforts that are published on ``topic``, once all are there."""
    rows = bench.record(WrenchStamped, topic.replace('effort', 'wrench'), qos.EVENTS)
    publisher = bench.publisher(JointState, topic, qos.EVENTS)
    msg = JointState(name=['panda_joint1', 'panda_joint2', 'panda_finger_joint1'], effort=effort)
    msg.header.stamp.sec = 7

    def heard() -> bool:  # again and again: the node may not hear us yet
        publisher.publish(msg)
        time.sleep(0.05)
        return frames <= {row[1].header.frame_id for row in rows}

    until(heard, what=f'wrenches in {frames}')
    assert all(row[1].header.stamp.sec == 7 for row in rows)
    return {row[1].header.frame_id: row[1].wrench for row in rows}


def test_the_arm_is_described_and_its_efforts_are_wrenches(
        bench: Bench, processes: Processes, tmp_path: Path) -> None:
    said = bench.record(String, 'robot_description', qos.LATCHED)
    process = processes.node('frames_node')
    (tmp_path / 'arm.urdf').write_text(until(lambda: said, what='a description')[0][1].data)
    assert {joint.name for joint in read_urdf(tmp_path / 'arm.urdf').joints} == {
        link.joint for link in ROBOT.kinematics if link.joint}
    found = wrenches(bench, 'sent_effort', [3.0, -2.0, 1.0],
                     {'panda_joint1_link', 'panda_joint2_link'})
    assert {frame: wrench.torque.z for frame, wrench in found.items()} == {
        'panda_joint1_link': 3.0, 'panda_joint2_link': -2.0}
    assert all(wrench.force.z == wrench.torque.x == 0.0 for wrench in found.values())
    words = process.log.read_text()
    assert 'Traceback' not in words
    for package in ('tf2_msgs', 'visualization_msgs'):
        try:
            __import__(package)
        except ModuleNotFoundError:
            assert f'the package {package} is not installed, expected it from apt' in words


def mounted_on(link: str, folder: Path) -> Path:
    """Return a file of the robot whose wrist camera is on another link."""
    text = (ROOT / 'config' / 'robots' / 'panda_sim.yaml').read_text()
    (folder / 'arm.yaml').write_text(text.replace('link: tool', f'link: {link}'))
    return folder / 'arm.yaml'


def test_a_drivers_description_says_where_wrenches_act(bench: Bench, processes: Processes,
                                                       tmp_path: Path) -> None:
    driver = bench.publisher(String, 'robot_description', qos.LATCHED)
    driver.publish(String(data=DRIVER))
    processes.node('frames_node', describe=False, robot=mounted_on('finger', tmp_path))
    found = wrenches(bench, 'proposed_effort', [3.0, 4.0, 5.0], {'panda_link1'})
    assert set(found) == {'panda_link1'} and found['panda_link1'].torque.y == 3.0
    assert bench.node.count_publishers('robot_description') == 1, 'the driver alone'


def test_frames_follow_the_joints_behind_a_namespace(bench: Bench, processes: Processes) -> None:
    tf2 = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs comes from apt alone')
    still = bench.record(tf2.TFMessage, '/tf_static', qos.LATCHED)
    moving = bench.record(tf2.TFMessage, '/tf', qos.RECORD)
    joints = bench.publisher(JointState, '/left/joint_states', qos.SENSORS)
    processes.start('-m', 'gato_ros.nodes.frames.frames_node', '--ros-args', '-r', '__ns:=/left')
    placed = {one.child_frame_id: one for one in until(
        lambda: still, what='/tf_static')[0][1].transforms}
    assert placed['left/camera_front'].header.frame_id == 'left/base'
    assert placed['left/camera_front'].transform.translation.x == pytest.approx(1.143)
    assert {'left/camera_front_optical', 'left/camera_wrist', 'left/tool'} <= set(placed)
    msg = JointState(name=['panda_joint1'], position=[1.0])
    until(lambda: joints.publish(msg) or moving, what='/tf')
    turned = {one.child_frame_id: one for one in moving[-1][1].transforms}
    assert turned['left/panda_joint1_link'].transform.rotation.z == pytest.approx(SINE)


def test_a_camera_on_no_frame_ends_the_node_with_a_sentence(processes: Processes,
                                                            tmp_path: Path) -> None:
    process = processes.node('frames_node', robot=mounted_on('roof', tmp_path))
    until(lambda: process.poll() is not None, what='the end')
    assert process.returncode == 1
    assert "camera 'wrist' is mounted on 'roof'" in process.log.read_text()
