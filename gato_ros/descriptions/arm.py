"""What a description says of an arm: moving joints in their order, and how they hang together.

    arm = read_urdf(Path('arm.urdf'))
    chain_to(arm, 'tool0')                # the kinematics of a robot's YAML file
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element

import numpy as np

from gato_ros.config import ConfigError
from gato_ros.kinematics import rpy_matrix
from gato_ros.robot import MOST, LinkSpec
from gato_ros.untrusted import Refused, brief, parse_xml, read_text

NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_./-]{0,99}')
SMALL = 1e-9  # m, rad: nothing
DIGITS = 9  # of a place or an angle in a YAML file


class DescriptionError(ConfigError):
    """A description that cannot be made into a robot; it names the file and what to do."""


@dataclass(frozen=True)
class Moving:
    """A joint that moves by a motor of its own; what the file does not say is None, or 0.

    position  limits, rad or m;  velocity  rad/s or m/s;  effort  Nm or N;  inertia  kg m2 or kg
    """

    name: str
    kind: Literal['revolute', 'prismatic']
    position: tuple[float, float] | None
    velocity: float | None
    effort: float | None
    inertia: float = 0.0


@dataclass(frozen=True, eq=False)
class Step:
    """From one link to the next: a frame, a joint in it about ``axis`` ('': fixed), a frame.

    before, after  float64[4, 4];  axis  float64[3] in the frame of ``before``
    """

    parent: str
    before: np.ndarray
    joint: str
    axis: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class Arm:
    """``steps`` leads to each link from its parent; ``joints`` in the order of the file."""

    name: str
    joints: tuple[Moving, ...]
    steps: dict[str, Step]
    where: str


def read_root(path: Path, wanted: str) -> Element:
    """Return the root element of a stranger's XML file.

    Raises DescriptionError when it cannot be read, is beyond a budget, or is no ``wanted``.
    """
    try:
        root = parse_xml(read_text(path))
    except OSError as error:
        raise DescriptionError(f'{path} cannot be read: {error.strerror}') from error
    except Refused as error:
        raise DescriptionError(f'{path} is refused: {error}') from error
    if root.tag != wanted:
        raise DescriptionError(f'{path} begins with <{brief(root.tag)[1:-1]}>, expected '
                               f'<{wanted}>')
    return root


def named(text: str | None, what: str, where: str) -> str:
    """Return a name that may stand in topics and YAML files; DescriptionError for another."""
    if text is None or not NAME.fullmatch(text):
        raise DescriptionError(f'{where}: {what} is called {brief(text)}, expected 1 to 100 '
                               'letters, digits, _, ., / or -')
    return text


def numbers(text: str, count: int, what: str, where: str) -> np.ndarray:
    """Return float64[count] from a text; DescriptionError unless it is that many, all finite."""
    try:
        found = np.array([float(word) for word in text.split()])
    except ValueError:
        found = np.zeros(0)
    if found.shape != (count,) or not np.isfinite(found).all():
        raise DescriptionError(f'{where}: {what} is {brief(text)}, expected {count} finite '
                               f'number{"s" if count > 1 else ""}')
    return found


def unit(axis: np.ndarray, what: str, where: str) -> np.ndarray:
    """Return a vector of length 1; DescriptionError for one without length."""
    length = float(np.linalg.norm(axis))
    if length < SMALL:
        raise DescriptionError(f'{where}: {what} has the axis 0 0 0, expected a direction')
    return axis / length


def frame(xyz: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Return float64[4, 4] from float64[3] in m and float64[3, 3]."""
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = rotation, xyz
    return made


def check_arm(arm: Arm) -> Arm:
    """Return ``arm``; DescriptionError when its joints are none, too many, or repeat."""
    names = [joint.name for joint in arm.joints]
    if not 0 < len(names) <= MOST:
        raise DescriptionError(f'{arm.where} has {len(names)} joints that move, expected 1 to '
                               f'{MOST}')
    if len(set(names)) < len(names):
        raise DescriptionError(f'{arm.where}: joint names repeat: {brief(names)}')
    return arm


def default_tool(arm: Arm) -> str:
    """Return the link behind the last turning joint; '' when these joints are no one chain."""
    turning = [joint.name for joint in arm.joints if joint.kind == 'revolute']
    links = {step.joint: link for link, step in arm.steps.items() if step.joint}
    best = max((links[name] for name in turning), default='',
               key=lambda link: len(_way(arm, link)))
    met = {step.joint for step in _way(arm, best)} if best else set()
    return best if set(turning) <= met else ''


def chain_to(arm: Arm, tool: str) -> tuple[LinkSpec, ...]:
    """Return the chain from the base to a link, each joint about its frame's z axis.

    Raises DescriptionError for an unknown link, and for a joint on the way that slides.
    """
    if tool not in arm.steps:
        raise DescriptionError(f'{arm.where} has no link {brief(tool)} that hangs on another; '
                               f'known: {", ".join(arm.steps)}')
    slides = {joint.name for joint in arm.joints if joint.kind == 'prismatic'}
    links, pending = [], np.eye(4)
    for step in _way(arm, tool):
        if step.joint in slides:
            raise DescriptionError(f'{arm.where}: joint {step.joint!r} on the way to {tool!r} '
                                   'slides, expected a chain of joints that turn')
        pending = pending @ step.before
        if step.joint:
            turn = frame(np.zeros(3), z_to(step.axis))
            links.append(_link(pending @ turn, step.joint))
            pending = turn.T
        pending = pending @ step.after
    if not np.allclose(pending, np.eye(4), atol=SMALL):
        links.append(_link(pending, ''))
    return tuple(links)


def _way(arm: Arm, link: str) -> list[Step]:
    """Return the steps from the base to a link."""
    way: list[Step] = []
    while link in arm.steps:
        if len(way) > len(arm.steps):
            raise DescriptionError(f'{arm.where}: link {link!r} hangs on itself, expected a tree')
        way.append(arm.steps[link])
        link = way[-1].parent
    return way[::-1]


def z_to(axis: np.ndarray) -> np.ndarray:
    """Return the rotation float64[3, 3] with the least turn that takes z to ``axis``."""
    if axis[2] > 1 - SMALL:
        return np.eye(3)
    if axis[2] < SMALL - 1:
        return np.diag([1.0, -1.0, -1.0])
    x, y, z = axis
    return np.array([[1 - x * x / (1 + z), -x * y / (1 + z), x],
                     [-x * y / (1 + z), 1 - y * y / (1 + z), y], [-x, -y, z]])


def rpy_of(rotation: np.ndarray) -> tuple[float, float, float]:
    """Return roll, pitch and yaw about fixed axes of a rotation float64[3, 3]."""
    pitch = math.atan2(-rotation[2, 0], math.hypot(rotation[0, 0], rotation[1, 0]))
    if math.hypot(rotation[0, 0], rotation[1, 0]) > 1e-7:
        roll = math.atan2(rotation[2, 1], rotation[2, 2])
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    else:  # the first and the last turn have one axis
        roll, yaw = 0.0, math.atan2(-rotation[0, 1], rotation[1, 1])
    assert np.allclose(rpy_matrix(roll, pitch, yaw), rotation, atol=1e-6)
    return roll, pitch, yaw


def _link(placed: np.ndarray, joint: str) -> LinkSpec:
    roll, pitch, yaw = (_rounded(v) for v in rpy_of(placed[:3, :3]))
    x, y, z = (_rounded(v) for v in placed[:3, 3])
    return LinkSpec((x, y, z), (roll, pitch, yaw), joint)


def _rounded(value: float) -> float:
    return round(float(value), DIGITS) + 0.0  # no -0.0
