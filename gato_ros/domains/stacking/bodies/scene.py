"""The blocks' world with a robot's own arm in it.

    model = scene(arm_of(load_robot('iiwa14_sim')))
"""

from __future__ import annotations

import json
from functools import lru_cache
from xml.etree import ElementTree

from gato_ros.config import data_path, from_dict, to_dict
from gato_ros.domains.stacking.bodies.arm import Arm, compiled
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.robot import RobotSpec

OWN_ARM = 'panda_link0'  # panda_sim's, in sim/stacking.xml


def arm_of(robot: RobotSpec) -> Arm | None:
    """Return the robot's arm, whose files are checked but once; None: panda_sim's.

    Raises ConfigError for models that do not fit the robot.
    """
    return None if robot.simulation is None else _arm(json.dumps(to_dict(robot)))


@lru_cache(maxsize=16)
def _arm(robot: str) -> Arm:
    return Arm(from_dict(RobotSpec, json.loads(robot), 'the robot'))


def blocks_world() -> ElementTree.Element:
    """Return sim/stacking.xml as a tree of its own, with panda_sim's arm in it."""
    return ElementTree.parse(data_path('sim', 'stacking.xml')).getroot()


def scene(arm: Arm | None, root: ElementTree.Element | None = None) -> mujoco.MjModel:
    """Return the world of ``root`` (with cubes, by default) with this arm in the Panda's place.

    Raises ConfigError for a model that does not go together with the blocks.
    """
    if arm is None:
        if root is None:
            return mujoco.MjModel.from_xml_path(str(data_path('sim', 'stacking.xml')))
        return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding='unicode'))
    root = blocks_world() if root is None else root
    bodies = root.find('worldbody')
    assert bodies is not None
    bodies.remove(next(body for body in bodies if body.get('name') == OWN_ARM))
    for part in ('equality', 'actuator'):
        root.remove(next(root.iter(part)))
    world = mujoco.MjSpec.from_string(ElementTree.tostring(root, encoding='unicode'))
    world.attach(arm.spec(), prefix='', frame=world.worldbody.add_frame())
    return compiled(world, f'robot {arm.robot.name!r} before the blocks')
