"""A robot's frames, as tf has them, from its URDF, or from the chain in its YAML file.

    frames = Frames(robot)                    # or Frames(robot, read_urdf(path))
    frames.fixed, frames.moving({'panda_joint1': 0.3})

Without a URDF, ``chain_urdf`` writes one: links ``base``, ``JOINT_link`` and ``tool``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.descriptions.arm import Arm, frame, rpy_of, z_to
from gato_ros.descriptions.urdf import arm_of
from gato_ros.kinematics import rpy_matrix, turned
from gato_ros.robot import RobotSpec

BASE, TOOL = 'base', 'tool'
THICK = 0.04  # m, radius of the rods that stand for links
OPTICAL = rpy_matrix(-math.pi / 2, 0.0, -math.pi / 2)  # of a camera in its body (REP 103)
GREY = '0.75 0.75 0.78 1'


@dataclass(frozen=True)
class Placed:
    """A frame in its parent.

    xyz  m;  quaternion  x, y, z, w
    """

    parent: str
    child: str
    xyz: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


class Frames:
    """All frames of a robot.

    root   of the tree;  links  every frame's name, cameras left out
    fixed  frames that never move, cameras' bodies and optical frames among them
    axes   joint -> the frame behind it, its axis float64[3] there, and whether it slides

    Raises ConfigError for a camera on a frame that is not there.
    """

    def __init__(self, robot: RobotSpec, arm: Arm | None = None) -> None:
        if arm is None and robot.kinematics:
            arm = arm_of(ElementTree.fromstring(chain_urdf(robot)), robot.name)
        self._steps = dict(arm.steps) if arm else {}
        parents = [step.parent for step in self._steps.values()]
        self.root = next((link for link in parents if link not in self._steps), BASE)
        self.links = tuple(dict.fromkeys((self.root, *parents, *self._steps)))
        self._slides = {joint.name for joint in arm.joints if joint.kind == 'prismatic'} if (
            arm) else set()
        self.axes = {step.joint: (child, step.after[:3, :3].T @ step.axis,
                                  step.joint in self._slides)
                     for child, step in self._steps.items() if step.joint}
        self.fixed = [_placed(step.parent, child, step.before @ step.after)
                      for child, step in self._steps.items() if not step.joint]
        for camera in robot.cameras:
            if camera.mount is None:
                continue
            link = camera.mount.link or self.root
            if link not in self.links:
                raise ConfigError(f'robot {robot.name!r}: camera {camera.name!r} is mounted on '
                                  f'{link!r}, expected one of {", ".join(self.links)}')
            body = f'camera_{camera.name}'
            self.fixed += [
                _placed(link, body, frame(np.array(camera.mount.xyz),
                                          rpy_matrix(*camera.mount.rpy))),
                _placed(body, camera.frame, frame(np.zeros(3), OPTICAL))]

    def moving(self, positions: Mapping[str, float]) -> list[Placed]:
        """Return the frames behind joints, at their positions in rad or m; 0 where not known."""
        found = []
        for child, step in self._steps.items():
            if not step.joint:
                continue
            value = positions.get(step.joint, 0.0)
            moved = (frame(value * step.axis, np.eye(3)) if step.joint in self._slides
                     else frame(np.zeros(3), turned(np.eye(3), value * step.axis)))
            found.append(_placed(step.parent, child, step.before @ moved @ step.after))
        return found


def chain_urdf(robot: RobotSpec) -> str:
    """Return a URDF of the chain in a robot's YAML file: its joints, with rods for links.

    Joints that are not in the chain, such as a gripper's, are left out. Raises ConfigError for a
    robot without ``kinematics``.
    """
    if not robot.kinematics:
        raise ConfigError(f'robot {robot.name!r} has no kinematics, expected the chain from its '
                          'base to its tool (in its YAML file), or a URDF')
    root = ElementTree.Element('robot', name=robot.name)
    limits = {joint.name: joint for joint in robot.joints}
    parent = _link(root, BASE, robot.kinematics[0].xyz)
    last = len(robot.kinematics) - 1
    for number, step in enumerate(robot.kinematics):
        child = (f'{step.joint}_link' if step.joint else TOOL if number == last
                 else f'frame_{number}')
        joint = ElementTree.SubElement(root, 'joint', name=step.joint or f'{child}_joint',
                                       type='revolute' if step.joint else 'fixed')
        ElementTree.SubElement(joint, 'parent', link=parent)
        ElementTree.SubElement(joint, 'child', link=child)
        ElementTree.SubElement(joint, 'origin', xyz=_text(step.xyz), rpy=_text(step.rpy))
        if step.joint:
            known = limits[step.joint]
            low, high = known.position
            ElementTree.SubElement(joint, 'axis', xyz='0 0 1')
            ElementTree.SubElement(joint, 'limit', lower=f'{low:.9g}', upper=f'{high:.9g}',
                                   velocity=f'{known.velocity:.9g}', effort=f'{known.effort:.9g}')
        parent = _link(root, child, robot.kinematics[number + 1].xyz if number < last
                       else (0.0, 0.0, 0.0))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding='unicode')


def _link(root: ElementTree.Element, name: str, to: tuple[float, float, float]) -> str:
    """Add a link, with a rod to where the next one begins, where that is elsewhere."""
    link = ElementTree.SubElement(root, 'link', name=name)
    way = np.array(to)
    length = float(np.linalg.norm(way))
    if length > THICK:
        visual = ElementTree.SubElement(link, 'visual')
        ElementTree.SubElement(visual, 'origin', xyz=_text(way / 2),
                               rpy=_text(rpy_of(z_to(way / length))))
        geometry = ElementTree.SubElement(visual, 'geometry')
        ElementTree.SubElement(geometry, 'cylinder', radius=f'{THICK}', length=f'{length:.9g}')
        material = ElementTree.SubElement(visual, 'material', name='grey')
        ElementTree.SubElement(material, 'color', rgba=GREY)
    return name


def _text(values: np.ndarray | tuple[float, ...]) -> str:
    return ' '.join(f'{value + 0.0:.9g}' for value in values)


def _placed(parent: str, child: str, placed: np.ndarray) -> Placed:
    x, y, z = (float(value) for value in placed[:3, 3])
    return Placed(parent, child, (x, y, z), quaternion(placed[:3, :3]))


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Return x, y, z, w >= 0 of a rotation float64[3, 3]; Shepperd, by the largest of them."""
    m, trace = rotation, float(np.trace(rotation))
    squares = np.array([1 + 2 * m[0, 0] - trace, 1 + 2 * m[1, 1] - trace,
                        1 + 2 * m[2, 2] - trace, 1 + trace])
    rows = np.array([[squares[0], m[1, 0] + m[0, 1], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
                     [m[1, 0] + m[0, 1], squares[1], m[2, 1] + m[1, 2], m[0, 2] - m[2, 0]],
                     [m[0, 2] + m[2, 0], m[2, 1] + m[1, 2], squares[2], m[1, 0] - m[0, 1]],
                     [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]]])
    row = rows[int(np.argmax(squares))]
    row = row / np.linalg.norm(row) * (-1.0 if row[3] < 0 else 1.0)
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])
