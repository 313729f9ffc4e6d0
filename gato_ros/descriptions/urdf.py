"""A URDF file as an arm. Meshes are never opened; xacro must have run before."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from gato_ros.descriptions.arm import (
    Arm,
    DescriptionError,
    Moving,
    Step,
    check_arm,
    frame,
    named,
    numbers,
    read_root,
    unit,
)
from gato_ros.kinematics import rpy_matrix
from gato_ros.untrusted import brief


def read_urdf(path: Path, without: Collection[str] = ()) -> Arm:
    """Read an arm on a fixed base; joints in ``without`` are taken as fixed where they are at 0.

    Raises DescriptionError for what cannot be a robot here: joints that float, lie in a plane or
    mimic others, names that cannot be used, and all that read_root refuses.
    """
    return arm_of(read_root(path, 'robot'), str(path), without)


def arm_of(root: Element, where: str, without: Collection[str] = ()) -> Arm:
    """Return the arm that a URDF's root element describes; raises as read_urdf."""
    if any(element.tag.startswith('xacro:') for element in root.iter()):
        raise DescriptionError(f'{where} holds xacro macros, expected what '
                               f'`xacro {Path(where).name}` makes of them')
    joints, steps = [], {}
    known = {joint.get('name') for joint in root.findall('joint')}
    for name in without:
        if name not in known:
            raise DescriptionError(f'{where} has no joint {brief(name)}, which is to be left out')
    for joint in root.findall('joint'):
        name = named(joint.get('name'), 'a joint', where)
        parent, child = (_link(joint, tag, name, where) for tag in ('parent', 'child'))
        if child in steps:
            raise DescriptionError(f'{where}: link {child!r} hangs on two joints, expected a tree')
        moving = None if name in without else _moving(joint, name, where)
        axis = np.array([0.0, 0.0, 1.0])
        if moving:
            joints.append(moving)
            axis = unit(_vector(joint.find('axis'), 'xyz', '1 0 0', f'axis of joint {name!r}',
                                where), f'joint {name!r}', where)
        origin, what = joint.find('origin'), f'origin of joint {name!r}'
        before = frame(_vector(origin, 'xyz', '0 0 0', what, where),
                       rpy_matrix(*_vector(origin, 'rpy', '0 0 0', what, where)))
        steps[child] = Step(parent, before, name if moving else '', axis, np.eye(4))
    return check_arm(Arm(named(root.get('name'), 'the robot', where), tuple(joints), steps, where))


def _moving(joint: Element, name: str, where: str) -> Moving | None:
    """Return a joint that moves, or None for a fixed one."""
    kind = joint.get('type')
    if kind == 'fixed':
        return None
    if kind not in ('revolute', 'continuous', 'prismatic'):
        raise DescriptionError(f'{where}: joint {name!r} is of type {brief(kind)}, expected '
                               'revolute, continuous, prismatic or fixed: an arm on a fixed base')
    mimic = joint.find('mimic')
    if mimic is not None:
        raise DescriptionError(f'{where}: joint {name!r} mimics {brief(mimic.get("joint"))}, '
                               'expected a motor of its own: leave it out (--without '
                               f'{name}), and it moves all the same')
    limit = joint.find('limit')

    def value(key: str) -> float | None:
        text = limit.get(key) if limit is not None else None
        return (None if text is None else
                float(numbers(text, 1, f'{key} of joint {name!r}', where)[0]))

    low, high = value('lower'), value('upper')
    position = None
    if kind != 'continuous' and (low is not None or high is not None):
        position = (low or 0.0, high or 0.0)  # URDF: what is left out is 0
    return Moving(name, 'prismatic' if kind == 'prismatic' else 'revolute', position,
                  value('velocity') or None, value('effort') or None)


def _link(joint: Element, tag: str, name: str, where: str) -> str:
    element = joint.find(tag)
    text = None if element is None else element.get('link')
    return named(text, f'the {tag} link of joint {name!r}', where)


def _vector(element: Element | None, key: str, otherwise: str, what: str, where: str
            ) -> np.ndarray:
    text = otherwise if element is None else element.get(key, otherwise)
    return numbers(text, 3, f'{key} of the {what}', where)
