"""A MuJoCo model (MJCF) as an arm, read as XML: nothing is compiled and no mesh is opened."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
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

TURNS = ('axisangle', 'xyaxes', 'zaxis')  # ways to give a rotation that are not read
ACTUATORS = ('motor', 'general', 'position', 'velocity', 'intvelocity', 'damper')


def read_mjcf(path: Path, without: Collection[str] = ()) -> Arm:
    """Read an arm on a fixed base; joints in ``without`` are taken as fixed where they are at 0.

    Raises DescriptionError for what cannot be a robot here: free and ball joints, joints without
    an actuator or coupled to others, names that cannot be used, and all that read_root refuses.
    """
    return _Reader(path, without).read()


class _Reader:
    """One file: its defaults by class, its angles' unit, its actuators by joint."""

    def __init__(self, path: Path, without: Collection[str]) -> None:
        self.root, self.where, self.without = read_root(path, 'mujoco'), str(path), without
        if next(self.root.iter('include'), None) is not None:
            raise DescriptionError(f'{path} includes another file, expected one file: MuJoCo '
                                   'writes it (mujoco.MjSpec.from_file, then to_xml)')
        compiler = self.root.find('compiler')
        said = {} if compiler is None else compiler.attrib
        self.to_rad = 1.0 if said.get('angle') == 'radian' else math.pi / 180
        if said.get('eulerseq', 'xyz') != 'xyz':
            raise DescriptionError(f'{path} has the eulerseq {brief(said["eulerseq"])}, expected '
                                   'xyz, or quat in its place')
        self.limited = said.get('autolimits', 'true') == 'true'
        self.defaults: dict[str, dict[str, dict[str, str]]] = {'main': {}}
        for element in self.root.findall('default'):
            self._read_defaults(element, element.get('class', 'main'), {})
        self.joints: list[Moving] = []
        self.steps: dict[str, Step] = {}
        self.actuators = {a.get('joint'): a for group in self.root.findall('actuator')
                          for a in group if a.tag in ACTUATORS and a.get('joint')}

    def read(self) -> Arm:
        known = {joint.get('name') for joint in self.root.iter('joint')}
        for name in self.without:
            if name not in known:
                raise DescriptionError(f'{self.where} has no joint {brief(name)}, which is to be '
                                       'left out')
        coupled = {e.get(key) for group in self.root.findall('equality')
                   for e in group.findall('joint') for key in ('joint1',)}
        for world in self.root.findall('worldbody'):
            for body in world.findall('body'):
                self._body(body, 'world', 'main')
        for joint in self.joints:
            if joint.name not in self.actuators:
                why = ('is coupled to another' if joint.name in coupled else
                       'has no actuator of its own')
                raise DescriptionError(
                    f'{self.where}: joint {joint.name!r} {why}, expected a motor in <actuator>: '
                    f'leave it out (--without {joint.name}) if the robot moves it by itself')
        name = named(self.root.get('model', 'mujoco_model').replace(' ', '_'), 'the model',
                     self.where)
        return check_arm(Arm(name, tuple(self.joints), self.steps, self.where))

    def _read_defaults(self, element: Element, name: str,
                       above: dict[str, dict[str, str]]) -> None:
        mine = {tag: dict(values) for tag, values in above.items()}
        for child in element:
            if child.tag != 'default':
                mine[child.tag] = mine.get(child.tag, {}) | child.attrib
        self.defaults[name] = mine
        for child in element.findall('default'):
            self._read_defaults(child, child.get('class', ''), mine)

    def _values(self, element: Element, inherited: str) -> dict[str, str]:
        """Return an element's attributes, with those of its class where it has none."""
        name = element.get('class', inherited)
        if name not in self.defaults:
            raise DescriptionError(f'{self.where}: class {brief(name)} is nowhere in <default>')
        return self.defaults[name].get(element.tag, {}) | element.attrib

    def _body(self, body: Element, parent: str, inherited: str) -> None:
        name = named(body.get('name', f'body{len(self.steps)}'), 'a body', self.where)
        if name in self.steps:
            raise DescriptionError(f'{self.where}: two bodies are called {name!r}')
        inherited = body.get('childclass', inherited)
        pending = frame(self._vector(body.attrib, 'pos', 3, f'body {name!r}'),
                        self._rotation(body.attrib, f'body {name!r}'))
        if body.find('freejoint') is not None:
            raise DescriptionError(f'{self.where}: body {name!r} floats (freejoint), expected an '
                                   'arm on a fixed base')
        moving = list(self._moving(body, name, inherited))
        for number, (joint, axis, place) in enumerate(moving):
            here = frame(place, np.eye(3))
            link = name if number == len(moving) - 1 else f'{name}/{number}'
            self.joints.append(joint)
            self.steps[link] = Step(parent, pending @ here, joint.name, axis,
                                    frame(-place, np.eye(3)))
            parent, pending = link, np.eye(4)
        if not moving:
            self.steps[name] = Step(parent, pending, '', np.array([0.0, 0.0, 1.0]), np.eye(4))
        for child in body.findall('body'):
            self._body(child, name, inherited)

    def _moving(self, body: Element, owner: str, inherited: str
                ) -> Iterator[tuple[Moving, np.ndarray, np.ndarray]]:
        """Yield each joint of a body, its axis and its place in the body's frame."""
        for joint in body.findall('joint'):
            values = self._values(joint, inherited)
            name = named(joint.get('name'), f'a joint of body {owner!r}', self.where)
            kind, what = values.get('type', 'hinge'), f'joint {name!r}'
            if name in self.without:
                continue
            if kind not in ('hinge', 'slide'):
                raise DescriptionError(f'{self.where}: {what} is of type {brief(kind)}, expected '
                                       'hinge or slide: an arm on a fixed base')
            unit_of = self.to_rad if kind == 'hinge' else 1.0
            position = None
            if 'range' in values and values.get('limited', 'auto') != 'false' and (
                    self.limited or values.get('limited') == 'true'):
                low, high = unit_of * self._vector(values, 'range', 2, what)
                position = float(low), float(high)
            axis = (self._vector(values, 'axis', 3, what) if 'axis' in values
                    else np.array([0.0, 0.0, 1.0]))
            inertia = (float(self._vector(values, 'armature', 1, what)[0])
                       if 'armature' in values else 0.0)
            yield (Moving(name, 'revolute' if kind == 'hinge' else 'prismatic', position, None,
                          self._effort(name, values), inertia),
                   unit(axis, what, self.where), self._vector(values, 'pos', 3, what))

    def _effort(self, name: str, values: dict[str, str]) -> float | None:
        """Return the largest force of a joint's actuator on it, where the file gives one."""
        found = []
        if 'actuatorfrcrange' in values:
            found.append(self._vector(values, 'actuatorfrcrange', 2, f'joint {name!r}'))
        actuator = self.actuators.get(name)
        if actuator is not None:
            said = self._values(actuator, 'main')
            what = f'the actuator of joint {name!r}'
            gear = numbers(said.get('gear', '1').split(' ')[0] or '1', 1, f'gear of {what}',
                           self.where)[0]
            key = 'forcerange' if 'forcerange' in said else 'ctrlrange'
            if key in said and (key == 'forcerange' or actuator.tag == 'motor'):
                found.append(gear * self._vector(said, key, 2, what))
        return min((float(np.abs(limits).max()) for limits in found), default=None)

    def _vector(self, values: dict[str, str], key: str, count: int, what: str) -> np.ndarray:
        if key not in values:
            return np.zeros(count)
        return numbers(values[key], count, f'{key} of {what}', self.where)

    def _rotation(self, values: dict[str, str], what: str) -> np.ndarray:
        """Return float64[3, 3] of a body in its parent."""
        for key in TURNS:
            if key in values:
                raise DescriptionError(f'{self.where}: {what} is turned by {key}, expected quat '
                                       'or euler')
        if 'euler' in values:  # about the axes as they turn: x, y, z
            a, b, c = self.to_rad * self._vector(values, 'euler', 3, what)
            return rpy_matrix(a, 0, 0) @ rpy_matrix(0, b, 0) @ rpy_matrix(0, 0, c)
        if 'quat' not in values:
            return np.eye(3)
        w, x, y, z = unit(self._vector(values, 'quat', 4, what), what, self.where)
        return np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]])
