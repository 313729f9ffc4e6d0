"""Objects to stack: the 4 cm cube, and two sets of other shapes that have none in common.

Every object stands on a flat base, has a flat top for another one, and two parallel sides that
fit between the fingers. Learning may see the set 'seen'; 'unseen' is for evaluation alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal
from xml.etree import ElementTree

import numpy as np

from gato_ros.domains.stacking.bodies.arm import Arm
from gato_ros.domains.stacking.bodies.scene import arm_of, blocks_world, scene
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.tasks import BLOCKS
from gato_ros.robot import RobotSpec

# What of a model follows from the shape of a geom; all else stays as it is.
_FIELDS = ('geom_type', 'geom_dataid', 'geom_size', 'geom_rbound', 'geom_aabb', 'geom_pos',
           'geom_quat', 'geom_sameframe', 'body_inertia', 'body_invweight0', 'dof_invweight0',
           'dof_M0', 'bvh_aabb')


@dataclass(frozen=True)
class Shape:
    """One object in a frame of its own, upright along z.

    size     half its extent along x, y and z in m; y is the narrower side, which fingers close on
    outline  corners (x, y) in m of a prism's base
    """

    name: str
    kind: Literal['box', 'cylinder', 'prism']
    size: tuple[float, float, float]
    outline: tuple[tuple[float, float], ...] = ()


def _cuboid(x: int, y: int, z: int) -> Shape:
    """Return a cuboid of these sides in mm."""
    return Shape(f'cube {x}' if x == y == z else f'cuboid {x}x{y}x{z}', 'box',
                 (x / 2000, y / 2000, z / 2000))


def _cylinder(diameter: int, height: int) -> Shape:
    return Shape(f'cylinder {diameter}x{height}', 'cylinder',
                 (diameter / 2000, diameter / 2000, height / 2000))


def _prism(name: str, outline: np.ndarray, height: int) -> Shape:
    """Return a prism on an outline float64[n, 2] in mm about its middle."""
    x, y = np.abs(outline).max(axis=0) / 1000
    return Shape(f'{name} prism {1000 * 2 * y:.0f}x{height}', 'prism',
                 (round(float(x), 6), round(float(y), 6), height / 2000),
                 tuple((round(float(a), 6), round(float(b), 6)) for a, b in outline / 1000))


def _polygon(sides: int, width: int) -> np.ndarray:
    """Return a regular outline with an even number of sides, ``width`` mm between two of them."""
    angles = np.pi / 2 + np.pi / sides * (2 * np.arange(sides) + 1)
    return width / 2 / np.cos(np.pi / sides) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


_TRAPEZIUM = np.array([(-26, -18), (26, -18), (14, 18), (-14, 18)])
MASS = 0.05  # kg, of every object, as in sim/stacking.xml
CUBE = _cuboid(40, 40, 40)
SETS = {
    'cubes': (CUBE,),
    'seen': (_cuboid(34, 34, 34), _cuboid(46, 46, 46), _cuboid(56, 36, 36), _cuboid(38, 38, 52),
             _cylinder(40, 40), _cylinder(48, 32), _prism('hexagonal', _polygon(6, 40), 40)),
    'unseen': (_cuboid(30, 30, 30), _cuboid(50, 50, 50), _cuboid(60, 32, 44), _cuboid(50, 40, 28),
               _cylinder(44, 50), _prism('octagonal', _polygon(8, 44), 36),
               _prism('trapezoidal', _TRAPEZIUM, 40)),
}


def cube(side_mm: int) -> Shape:
    """Return a cube."""
    return _cuboid(side_mm, side_mm, side_mm)


def draw(kind: str, names: tuple[str, ...], seed: int) -> dict[str, Shape]:
    """Return a shape of the set ``kind`` for each block, as a function of the seed."""
    rng = np.random.default_rng((seed, 4))
    return {name: SETS[kind][rng.integers(len(SETS[kind]))] for name in names}


def shapes_model(robot: RobotSpec, another: str = '') -> mujoco.MjModel:
    """Return the robot's scene with every prism's mesh in it, ready for ``apply``.

    another  name of one more cube, the last of the bodies; '': none
    """
    return copy(_compile((), arm_of(robot), another))


def apply(model: mujoco.MjModel, shapes: Mapping[str, Shape], robot: RobotSpec) -> None:
    """Give the blocks of ``robot``'s shapes_model these shapes; each weighs what a cube does."""
    another = next((name for name in shapes if name not in BLOCKS), '')
    variant = _compile(tuple(shapes.items()), arm_of(robot), another)
    for field in _FIELDS:
        getattr(model, field)[:] = getattr(variant, field)


@lru_cache(maxsize=16)
def _compile(shapes: tuple[tuple[str, Shape], ...], arm: Arm | None, another: str = ''
             ) -> mujoco.MjModel:
    """Let MuJoCo work out what follows from the shapes; nobody changes the model it returns."""
    root = blocks_world()
    option, asset = root.find('option'), ElementTree.SubElement(root, 'asset')
    assert option is not None
    ElementTree.SubElement(option, 'flag', multiccd='enable')  # a cylinder rests on many points
    if another:
        bodies = root.find('worldbody')
        assert bodies is not None
        added = ElementTree.SubElement(bodies, 'body', name=another, pos='0.5 0.2 0.02',
                                       childclass='block')
        ElementTree.SubElement(added, 'freejoint', name=another)
        ElementTree.SubElement(added, 'geom', name=another)
    for shape in (*SETS['seen'], *SETS['unseen']):
        if shape.kind == 'prism':
            half = shape.size[2]
            corners = [(*corner, z) for z in (-half, half) for corner in shape.outline]
            ElementTree.SubElement(asset, 'mesh', name=shape.name, vertex=_text(*corners))
    for name, shape in shapes:
        body = root.find(f".//body[@name='{name}']")
        assert body is not None
        geom = next(body.iter('geom'))
        if shape.kind == 'prism':  # its inertia by hand: a mesh's own would turn the body's frame
            geom.attrib |= {'type': 'mesh', 'mesh': shape.name}
            ElementTree.SubElement(body, 'inertial', pos='0 0 0', mass=str(MASS),
                                   diaginertia=_text(_inertia(*shape.size)))
        else:
            size = shape.size if shape.kind == 'box' else shape.size[1:]
            geom.attrib |= {'type': shape.kind, 'size': _text(size)}
    return scene(arm, root)


def _inertia(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return the inertia in kg m^2 of an elliptic cylinder with these half extents."""
    return (MASS * (y * y / 4 + z * z / 3), MASS * (x * x / 4 + z * z / 3),
            MASS * (x * x + y * y) / 4)


def _text(*vectors: tuple[float, ...]) -> str:
    return ' '.join(f'{value:.9g}' for vector in vectors for value in vector)
