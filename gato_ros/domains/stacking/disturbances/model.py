"""The blocks' world with a fourth block, and what of a model a disturbance changes for good."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from gato_ros.config import data_path
from gato_ros.domains.stacking.disturbances.conditions import (
    ARM_ARMATURE,
    ARM_DAMPING,
    ARM_FRICTION,
    COLOURS,
    Disturbance,
)
from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.world import World

FOURTH = 'fourth'  # its body, joint and geom


def fourth_block_model() -> mujoco.MjModel:
    """Return sim/stacking.xml with one more cube, the last of its bodies."""
    root = ElementTree.parse(data_path('sim', 'stacking.xml')).getroot()
    world = root.find('worldbody')
    assert world is not None
    body = ElementTree.SubElement(world, 'body', name=FOURTH, pos='0.5 0.2 0.02',
                                  childclass='block')
    ElementTree.SubElement(body, 'freejoint', name=FOURTH)
    ElementTree.SubElement(body, 'geom', name=FOURTH)
    return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding='unicode'))


def put_fourth(world: World, spot: np.ndarray, yaw: float) -> None:
    """Put the fourth block to ``spot`` float64[3] (m), at rest."""
    start = world.model.joint(FOURTH).qposadr[0]
    world.data.qpos[start:start + 3] = spot
    world.data.qpos[start + 3:start + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))


def change_model(world: World, disturbance: Disturbance) -> None:
    """Change what stays so for all episodes: the arm, its load, the table, light, colours."""
    model, arm = world.model, world.dof[world.arm]
    if disturbance.arm is not None:
        nominal = model.dof_damping[arm].copy()
        model.dof_damping[arm] = disturbance.arm * np.array(ARM_DAMPING)
        model.dof_armature[arm], model.dof_frictionloss[arm] = ARM_ARMATURE, ARM_FRICTION
        world.undamped = nominal - model.dof_damping[arm]
    model.dof_damping[arm] *= disturbance.damping
    model.body_mass[model.body('panda_hand').id] += disturbance.load_kg
    world.load_kg = disturbance.load_kg
    if disturbance.fourth:
        model.geom_rgba[model.geom(FOURTH).id, :3] = COLOURS[disturbance.fourth]
    if disturbance.table is not None:
        model.geom_rgba[model.geom('table').id, :3] = disturbance.table
    model.light_diffuse *= disturbance.light
    model.vis.headlight.ambient[:] *= disturbance.light
    model.vis.headlight.diffuse[:] *= disturbance.light
