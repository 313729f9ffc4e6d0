"""A robot's frames: of the chain in its YAML file, of a URDF, and where its cameras look from."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from gato_ros.config import ConfigError
from gato_ros.descriptions.arm import chain_to
from gato_ros.descriptions.frames import Frames, Placed, chain_urdf, quaternion
from gato_ros.descriptions.urdf import read_urdf
from gato_ros.kinematics import Chain, rpy_matrix
from gato_ros.robot import MountSpec, RobotSpec, load_robot

ROBOTS = ('panda_sim', 'fr3', 'franka_panda', 'ur5e', 'ur5e_robotiq', 'gen3', 'iiwa14')
SLIDER = """<robot name="gantry">
  <joint name="lift" type="prismatic">
    <parent link="floor"/><child link="carriage"/><origin xyz="0 0 0.5"/><axis xyz="0 0 1"/>
    <limit lower="0" upper="1" velocity="0.5" effort="100"/></joint>
  <joint name="turn" type="revolute">
    <parent link="carriage"/><child link="arm"/><origin xyz="0.1 0 0"/><axis xyz="0 1 0"/>
    <limit lower="-1" upper="1" velocity="1" effort="10"/></joint>
  <joint name="end" type="fixed">
    <parent link="arm"/><child link="hand"/><origin xyz="0 0 0.2"/></joint>
</robot>"""


def matrix(placed: Placed) -> np.ndarray:
    """Return float64[4, 4], by the quaternion's own formula."""
    x, y, z, w = placed.quaternion
    made = np.eye(4)
    made[:3, :3] = [[1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                    [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                    [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]]
    made[:3, 3] = placed.xyz
    return made


def where(frames: Frames, name: str, positions: dict[str, float]) -> np.ndarray:
    """Return a frame in the root's, float64[4, 4], as tf would find it."""
    tree = {one.child: one for one in (*frames.fixed, *frames.moving(positions))}
    found = np.eye(4)
    while name != frames.root:
        found = matrix(tree[name]) @ found
        name = tree[name].parent
    return found


@pytest.mark.parametrize('name', ROBOTS)
def test_the_tool_is_where_the_chain_has_it(name: str) -> None:
    robot, rng = load_robot(name), np.random.default_rng(0)
    frames = Frames(robot)
    for _ in range(5):
        positions = np.array([rng.uniform(*joint.position) for joint in robot.joints])
        pose = Chain(robot).pose(positions)
        tool = [link for link in frames.links if link.endswith('_link') or link == 'tool'][-1]
        found = where(frames, tool, dict(zip(robot.joint_names, positions, strict=True)))
        assert np.allclose(found[:3, 3], pose.position, atol=1e-7)
        assert np.allclose(found[:3, :3], pose.rotation, atol=1e-7)


@pytest.mark.parametrize('name', ROBOTS)
def test_the_description_reads_back_as_the_same_chain(name: str, tmp_path: Path) -> None:
    robot = load_robot(name)
    (tmp_path / 'arm.urdf').write_text(chain_urdf(robot))
    arm = read_urdf(tmp_path / 'arm.urdf')
    assert arm.name == robot.name
    chain = chain_to(arm, [*arm.steps][-1])
    assert [link.joint for link in chain] == [link.joint for link in robot.kinematics]
    for link, first in zip(chain, robot.kinematics, strict=True):
        assert np.allclose(link.xyz, first.xyz, atol=1e-8)
        assert np.allclose(rpy_matrix(*link.rpy), rpy_matrix(*first.rpy), atol=1e-8)
    limits = {joint.name: joint for joint in robot.joints}
    for joint in arm.joints:
        assert joint.position == pytest.approx(limits[joint.name].position)
        assert joint.effort == pytest.approx(limits[joint.name].effort)


def test_a_urdf_gives_its_own_frames_and_axes(tmp_path: Path) -> None:
    (tmp_path / 'gantry.urdf').write_text(SLIDER)
    robot = load_robot('ur5e')
    frames = Frames(robot, read_urdf(tmp_path / 'gantry.urdf'))
    assert (frames.root, frames.links) == ('floor', ('floor', 'carriage', 'arm', 'hand'))
    hand = where(frames, 'hand', {'lift': 0.3, 'turn': math.pi / 2})
    assert np.allclose(hand[:3, 3], [0.1 + 0.2, 0.0, 0.8])  # turned about y, up becomes ahead
    assert [(link, list(axis), slides) for link, axis, slides in frames.axes.values()] == [
        ('carriage', [0, 0, 1], True), ('arm', [0, 1, 0], False)]


def mounted(mount: MountSpec) -> RobotSpec:
    robot = load_robot('panda_sim')
    return dataclasses.replace(robot, cameras=(
        dataclasses.replace(robot.cameras[0], mount=mount),))


def test_a_camera_looks_along_the_z_of_its_optical_frame() -> None:
    frames = Frames(mounted(MountSpec((1.0, 2.0, 3.0), (0.0, math.pi / 2, 0.0))))
    optical = where(frames, 'camera_front_optical', {})
    assert np.allclose(optical[:3, 3], [1, 2, 3])
    right, down, ahead = optical[:3, :3].T
    assert np.allclose(ahead, [0, 0, -1])  # pitched down by a quarter turn
    assert np.allclose(right, [0, -1, 0]) and np.allclose(down, [-1, 0, 0])


def test_a_camera_on_a_frame_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'front' is mounted on 'roof', expected one of base"):
        Frames(mounted(MountSpec((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 'roof')))


def test_a_robot_without_a_chain_has_a_base_and_its_cameras() -> None:
    robot = dataclasses.replace(mounted(MountSpec((1.0, 0.0, 0.0), (0.0, 0.0, 0.0))),
                                kinematics=(), workspace=None)
    frames = Frames(robot)
    assert (frames.root, frames.moving({})) == ('base', [])
    assert [one.child for one in frames.fixed] == ['camera_front', 'camera_front_optical']
    with pytest.raises(ConfigError, match="'panda_sim' has no kinematics, expected the chain"):
        chain_urdf(robot)


@pytest.mark.parametrize('rpy', [(0, 0, 0), (math.pi, 0, 0), (0, math.pi, 0), (0, 0, math.pi),
                                 (0.3, -0.4, 3.0), (-2.9, 1.2, -0.1)])
def test_a_quaternion_turns_as_its_matrix_does(rpy: tuple[float, float, float]) -> None:
    turn = rpy_matrix(*rpy)
    found = quaternion(turn)
    assert np.allclose(matrix(Placed('', '', (0.0, 0.0, 0.0), found))[:3, :3], turn)
    assert np.isclose(np.linalg.norm(found), 1.0) and found[3] >= 0
