"""What of a world's model a disturbance changes for good, and the fourth block."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.disturbances.conditions import (
    ARM_ARMATURE,
    ARM_DAMPING,
    ARM_FRICTION,
    COLOURS,
    Disturbance,
)
from gato_ros.domains.stacking.reset import CENTRE
from gato_ros.domains.stacking.tasks import BLOCKS, EXTENT
from gato_ros.domains.stacking.world import World

FOURTH = 'fourth'  # its body, joint and geom
CLEAR = 0.09  # m between blocks' centres


def put_fourth(world: World, spot: np.ndarray, yaw: float) -> None:
    """Put the fourth block to ``spot`` float64[3] (m), at rest."""
    start = world.model.joint(FOURTH).qposadr[0]
    world.data.qpos[start:start + 3] = spot
    world.data.qpos[start + 3:start + 7] = (np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))


def free_spot(world: World, rng: np.random.Generator) -> np.ndarray:
    """Return a place for the fourth block, float64[3] in m, clear of the three."""
    half = world.model.geom(FOURTH).size[2]
    while True:
        spot = CENTRE + rng.uniform(-1, 1, 2) * EXTENT['wide']
        if min(np.linalg.norm(world.block(name)[:2] - spot) for name in BLOCKS) > CLEAR:
            return np.array([*spot, half])


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
        model.geom(FOURTH).rgba[:3] = COLOURS[disturbance.fourth]
    if disturbance.table is not None:
        model.geom('table').rgba[:3] = disturbance.table
    model.light_diffuse *= disturbance.light
    model.vis.headlight.ambient[:] *= disturbance.light
    model.vis.headlight.diffuse[:] *= disturbance.light
