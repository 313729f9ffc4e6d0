"""Where an episode starts: the arm near its home pose, the blocks anywhere without touching."""

from __future__ import annotations

import numpy as np

from gato_ros.domains.stacking.physics import mujoco
from gato_ros.domains.stacking.tasks import BLOCKS, Task
from gato_ros.domains.stacking.world import World

CENTRE = np.array([0.5, 0.0])  # m, of the workspace on the table
# m between centres: an open hand grasps one object without touching the next.
CLEARANCE = {'cubes': 0.09, 'seen': 0.10, 'unseen': 0.10}
START_NOISE_RAD = 0.06  # standard deviation of each joint of the arm


def reset(world: World, task: Task, rng: np.random.Generator) -> None:
    """Put arm and blocks at a start drawn from ``rng``, everything at rest."""
    mujoco.mj_resetData(world.model, world.data)
    qpos = world.data.qpos
    # By name: where a seed puts the arm does not depend on the robot's order of joints.
    for name, angle in sorted(zip(world.arm_names, world.home, strict=True)):
        noise = np.clip(rng.normal(0, START_NOISE_RAD), -2 * START_NOISE_RAD, 2 * START_NOISE_RAD)
        qpos[world.model.joint(name).qposadr] = angle + noise
    for name, place in world.body.opened.items():
        qpos[world.model.joint(name).qposadr] = place
    for name, spot in zip(BLOCKS, _spots(task, rng), strict=True):
        half = world.shapes[name].size[2]
        world.place(name, np.array([*spot, half]), rng.uniform(-np.pi, np.pi))
    mujoco.mj_forward(world.model, world.data)


def _spots(task: Task, rng: np.random.Generator) -> np.ndarray:
    """Return a centre for each block, float64[3, 2] in m, by rejection."""
    while True:
        spots = CENTRE + rng.uniform(-1, 1, (len(BLOCKS), 2)) * task.extent
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
        if np.all(gaps[np.triu_indices(len(BLOCKS), 1)] > CLEARANCE[task.shapes]):
            return spots
